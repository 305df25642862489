"""names.yaml as the page reads and writes it: never over a change that the page has not seen."""

from __future__ import annotations

from pathlib import Path

from flows.naming.entries import Fields
from flows.workspace.names_following import remember_members
from stages.core.artifacts.categories import centroid_hash
from stages.core.artifacts.names_content import NAMES_FILE, NamesFile, encode_names, read_names
from stages.core.artifacts.shards import write_atomically
from stages.core.config.categories import SHORTEST_HASH
from stages.core.errors import UserError
from stages.core.files import read_text
from stages.core.hashing import hash_bytes


class Conflict(UserError):
    """The file or the clusters are no longer those that the page shows."""


def revision(path: Path = NAMES_FILE) -> str:
    """Hash of the file as it is now; of nothing where there is none."""
    return hash_bytes(path.read_bytes() if path.is_file() else b"")


def read_current(path: Path = NAMES_FILE) -> tuple[NamesFile, str]:
    """The names of the clusters that there are; a warning where the file's are of others, and left out.

    Raises:
        UserError: The file is not as it should be; names line and field.
    """
    content, found = read_names(path), centroid_hash()
    if not content.centroids or found.startswith(content.centroids):
        return content, ""
    kept = _kept_as(path, content.centroids)
    return NamesFile(), (
        f"{path} speaks of other clusters ({content.centroids[:SHORTEST_HASH]}) than there are now "
        f"({found[:SHORTEST_HASH]}); its names are left out here. When you save, the file as it is stays as {kept}."
    )


def save(fields: Fields, clusters: int, centroids: str, seen: str, path: Path = NAMES_FILE) -> str:
    """Write names.yaml; comments on lines of their own stay, at its top.

    Args:
        fields: What the page holds.
        clusters: K.
        centroids: Hash of the centroids that the page shows.
        seen: Revision of the file that the page knows; empty to write over whatever there is.
        path: The file.

    Returns:
        The revision that was written.

    Raises:
        UserError: Two categories of one name, or the like.
        Conflict: The file has changed since, or the clusters are others.
    """
    found = centroid_hash()
    if found != centroids:
        told = (
            f"there are others now ({found[:SHORTEST_HASH]})"
            if found
            else "there are none (`dvc repro` may be running)"
        )
        raise Conflict(
            f"nothing was saved: these names are of clusters {centroids[:SHORTEST_HASH]}, and {told}. What you typed "
            "stays on this page and below; open the page anew when the run is done"
        )
    text = encode_names(fields.to_file(clusters, centroids))
    if seen and seen != revision(path):
        raise Conflict(
            f"nothing was saved: {path} was changed since this page was opened, by another page or by hand. What you "
            "typed stays on this page and below"
        )
    _keep_other_names(path, found)
    head, _, rest = text.partition("\n")
    write_atomically(path, "\n".join([head, *_own_comments(path, head), rest]).encode())
    remember_members(path)
    return revision(path)


def _own_comments(path: Path, head: str) -> list[str]:
    lines = read_text(path).splitlines() if path.is_file() else []
    return [line for line in lines if line.startswith("#") and line != head]


def _keep_other_names(path: Path, found: str) -> None:
    """Keep a copy of names that are of other clusters."""
    try:
        content = read_names(path)
    except UserError:
        path.replace(path.with_suffix(".broken.yaml"))
        return
    if content.centroids and not found.startswith(content.centroids):
        _kept_as(path, content.centroids).write_bytes(path.read_bytes())


def _kept_as(path: Path, centroids: str) -> Path:
    return path.with_name(f"{path.stem}-{centroids[:SHORTEST_HASH]}{path.suffix}")
