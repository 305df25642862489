"""Names follow clusters: names.yaml is written over for clusters that were formed anew, by the members that they share.

What is needed of the old clusters lies in `names.members.parquet` beside names.yaml: the cluster of some of their
members, since the clusters themselves are gone once the stage has run again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.core.artifacts.categories import centroid_hash
from stages.core.artifacts.clusters import OUT, Assignments, read_assignments, read_centroids
from stages.core.artifacts.names_content import NAMES_FILE, NamedCategory, NamesFile, encode_names, read_names
from stages.core.artifacts.shards import contract_name, read_table, read_table_metadata, write_atomically, write_table
from stages.core.config.categories import SHORTEST_HASH
from stages.core.errors import UserError

MEMBERS_FILE = Path("names.members.parquet")
_REMEMBERED = 20_000
"""Members, drawn by a fixed seed: some hundred kilobytes, which git can keep beside names.yaml."""
_HALF = 0.5
"""Share that a category and the clusters that follow it must have of each other."""

Int64 = npt.NDArray[np.int64]


class Following(NamedTuple):
    """What has become of the names."""

    followed: list[str]
    """A line for each category that has followed."""
    lost: list[str]
    """A line for each that has not; the old file has it."""
    kept: Path | None
    """Where the old file lies; None where nothing had to be done."""
    note: str = ""
    """How many of the remembered members are gone; empty if none is."""


def remember_members(names: Path = NAMES_FILE, out: Path = OUT) -> bool:
    """Write beside names.yaml what its names need to follow the clusters later; returns whether it was written.

    Nothing is written where the file has no names, speaks of other clusters, or these are remembered already.
    """
    content, found = read_names(names), centroid_hash(out)
    members = names.parent / MEMBERS_FILE
    if not content.categories or not content.centroids or not found.startswith(content.centroids) or not found:
        return False
    if members.is_file() and read_table_metadata(members, "members")["centroids"] == found:
        return False
    drawn = _draw(read_assignments(out))
    columns = {"image_id": drawn.image_ids, "region_id": drawn.region_ids, "cluster_id": drawn.cluster_ids}
    head = {"contract": contract_name("members"), "centroids": found, "clusters": len(read_centroids(out).sizes)}
    write_table(members, pa.table(columns), head)
    return True


def follow_names(names: Path = NAMES_FILE, out: Path = OUT, old: Path | None = None) -> Following:
    """Write names.yaml over for the clusters that there are now.

    A new cluster follows a category if half or more of its members were in it; a category has followed if the clusters
    that follow it hold half or more of its members. So what split goes on as one, under its name.

    Args:
        names: The file; a copy of it stays beside it, under the hash of its clusters.
        out: The clusters that there are now.
        old: Folder of the clusters that the file speaks of, where no members were remembered.

    Raises:
        UserError: The file has an error, or the old clusters' members are not known.
    """
    content, found = read_names(names), centroid_hash(out)
    if not found:
        raise UserError(f"{out}: there are no clusters that names could follow; run `dvc repro cluster`")
    if not content.categories or not content.centroids or found.startswith(content.centroids):
        return Following([], [], None)
    before, clusters = _read_old(content.centroids, names, old)
    shared, unknown = _count_shared(before, read_assignments(out), (clusters, len(read_centroids(out).sizes)))
    kept: list[NamedCategory] = []
    told: dict[bool, list[str]] = {True: [], False: []}
    taken: set[int] = set()
    for entry in content.categories:
        ids, line = _follow(entry, shared, taken)
        taken |= set(ids)
        kept += [entry.model_copy(update={"ids": ids})] if ids else []
        told[bool(ids)].append(line)
    gone = f"{unknown} of {len(before.image_ids)} remembered members are gone, and were not counted"
    copy = names.with_name(f"{names.stem}.{content.centroids[:SHORTEST_HASH]}{names.suffix}")
    write_atomically(copy, names.read_bytes())
    write_atomically(names, encode_names(NamesFile(centroids=found, categories=tuple(kept))).encode())
    remember_members(names, out)
    return Following(told[True], told[False], copy, gone * bool(unknown))


def _follow(entry: NamedCategory, shared: Int64, taken: Iterable[int]) -> tuple[tuple[int, ...], str]:
    """Numbers of the clusters that follow an entry, largest first, none if it has not followed; and a line on it."""
    title = entry.name or entry.title
    numbers = ", ".join(map(str, entry.ids))
    if beyond := [one for one in entry.ids if one > len(shared)]:
        return (), f"{title}: {beyond[0]} is a part of a cluster that was cut, whose members are not known"
    rows = shared[np.array(entry.ids) - 1].sum(0)
    of_new = rows / np.maximum(shared.sum(0), 1)
    following = [
        int(cluster) + 1
        for cluster in np.argsort(-rows, kind="stable")
        if rows[cluster] and of_new[cluster] >= _HALF and int(cluster) + 1 not in taken
    ]
    places = np.array(following, np.int64) - 1
    reached = float(rows[places].sum() / max(int(rows.sum()), 1))
    if following and reached >= _HALF:
        pure = float(rows[places].sum() / shared[:, places].sum())
        new = ", ".join(map(str, following))
        return tuple(following), f"{title}: {numbers} → {new} ({100 * reached:.0f} % of it, {100 * pure:.0f} % of them)"
    if not rows.sum():
        return (), f"{title}: {numbers}: none of its members is left"
    best = int(rows.argmax())
    return (), (
        f"{title}: {numbers}: no clusters hold half of it and little else; most of it is in {best + 1} "
        f"({100 * rows[best] / rows.sum():.0f} % of it, {100 * of_new[best]:.0f} % of that)"
    )


def _count_shared(before: Assignments, now: Assignments, shape: tuple[int, int]) -> tuple[Int64, int]:
    """(old clusters, new clusters) members that are in both, and how many of the old ones are not there any more."""
    known = {
        (image_id, int(region)): int(cluster)
        for image_id, region, cluster in zip(before.image_ids, before.region_ids, before.cluster_ids, strict=True)
    }
    shared = np.zeros(shape, np.int64)
    for image_id, region, cluster in zip(now.image_ids, now.region_ids, now.cluster_ids, strict=True):
        if (was := known.pop((image_id, int(region)), None)) is not None:
            shared[was, cluster] += 1
    return shared, len(known)


def _read_old(centroids: str, names: Path, old: Path | None) -> tuple[Assignments, int]:
    """Members of the clusters that a file speaks of, and how many clusters these were."""
    members, short = names.parent / MEMBERS_FILE, centroids[:SHORTEST_HASH]
    if old is not None:
        if not (found := centroid_hash(old)).startswith(centroids) or not found:
            raise UserError(f"{old}: holds no clusters {short}, which {names} speaks of")
        return _draw(read_assignments(old)), len(read_centroids(old).sizes)
    head = read_table_metadata(members, "members") if members.is_file() else {}
    if not str(head.get("centroids", "")).startswith(centroids):
        raise UserError(
            f"{members}: does not know the clusters {short} that {names} speaks of; if a commit of dvc.lock has them: "
            "`dvc get . artifacts/cluster --rev COMMIT --out old`, and `luss names --follow --from old`"
        )
    table = read_table(members, "members")
    region_ids, cluster_ids = (table.column(name).to_numpy() for name in ("region_id", "cluster_id"))
    nowhere = np.zeros(len(table), np.float32)
    return Assignments(table.column("image_id").to_pylist(), region_ids, cluster_ids, nowhere), int(head["clusters"])


def _draw(assignments: Assignments) -> Assignments:
    chosen = np.zeros(len(assignments.image_ids), bool)
    chosen[np.random.default_rng(0).permutation(chosen.size)[:_REMEMBERED]] = True
    return assignments.take(chosen)
