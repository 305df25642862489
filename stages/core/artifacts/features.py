"""Artifact `features`: one embedding per image or region, in Parquet.

Parts of photographs that are rectangles carry their box, and where they are told apart their group; other rows have no
such columns.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.core.artifacts.shards import (
    ARTIFACTS,
    atomic_out,
    contract_name,
    explain_broken_parquet,
    open_table,
    read_manifest,
    read_table_metadata,
    shard_paths,
    write_table,
)
from stages.core.config.groups import GROUPS, Group
from stages.core.config.networks import Space

Box = tuple[float, float, float, float]
"""x, y, width and height of a part, as shares of the photograph's width and height."""

_SHARD_ROWS = 65536
OUT = ARTIFACTS / "extract"


class Feature(NamedTuple):
    """The embedding of one region of one photograph."""

    image_id: str
    region_id: int
    """0 is the whole image."""
    area: int
    """Pixels."""
    embedding: npt.NDArray[np.floating[Any]]
    """(D,)"""
    group: Group | None = None
    box: Box | None = None


class FeatureFormat(NamedTuple):
    """What all rows of the artifact have in common."""

    method: str
    """What a row stands for."""
    size: int
    """D"""
    dtype: str = "float32"
    """"float16" or "float32"."""
    space: Space = "stage4"
    """What the embeddings are made of."""
    has_groups: bool = False
    has_boxes: bool = False


class Features(NamedTuple):
    """The whole `features` artifact in memory, sorted by image and region."""

    image_ids: list[str]
    region_ids: npt.NDArray[np.int32]
    areas: npt.NDArray[np.int32]
    embeddings: npt.NDArray[Any]
    """(N, D) float32, or float16 where `read_features` was asked to keep that."""
    space: Space
    groups: npt.NDArray[np.int8] | None = None
    """(N,) positions in `GROUPS`; None where rows have no group."""
    boxes: npt.NDArray[np.float32] | None = None
    """(N, 4) as `Box`; None where rows have none."""


def write_features(rows: Iterable[Feature], size: int, dtype: str, method: str, space: Space = "stage4") -> None:
    """Write `artifacts/extract` from rows that come sorted by image id and region id; streams.

    Args:
        rows: The features.
        size: D.
        dtype: "float16" or "float32".
        method: What a row stands for.
        space: What the embeddings are made of.
    """
    pending, described = iter(rows), FeatureFormat(method, size, dtype, space)
    with atomic_out(OUT, "features", "extract", method) as out:
        for shard, chunk in enumerate(_chunks(pending)):
            write_feature_shard(out / f"part-{shard:05d}.parquet", described, chunk)


def write_feature_shard(path: Path, described: FeatureFormat, rows: list[Feature]) -> None:
    """Write one shard atomically, of rows sorted by image id and region id."""
    head = {"contract": contract_name("features"), "stage": "extract"}
    write_table(path, _to_table(rows, described), {**head, "method": described.method, "space": described.space})


def read_features(out: Path = OUT, among: Collection[str] | None = None, halves_above: int | None = None) -> Features:
    """Read `artifacts/extract`, shard by shard into one array; 1.2 million rows of 2048 take 10 GB, 5 in float16.

    Args:
        out: Where it lies.
        among: Images whose rows are kept; None for all.
        halves_above: Rows above which float16 stays as it is; None for float32 always.

    Raises:
        UserError: Missing, broken or of another version.
    """
    read_manifest(out, "features")
    paths = shard_paths(out)
    counts = [_count_rows(path) for path in paths]
    keeps_halves = halves_above is not None and sum(counts) > halves_above
    wanted = None if among is None else pa.array(among, pa.string())
    tables: list[pa.Table] = []
    embeddings, rows = np.empty((0, 0), np.float32), 0
    for path in paths:
        with explain_broken_parquet(path), open_table(path, "features") as file:
            table = file.read()
        if wanted is not None:
            table = table.filter(pc.is_in(table.column("image_id"), value_set=wanted))
        vectors = read_vectors(table, "embedding")
        if not tables:  # Memory that no row is written into is never taken.
            embeddings = np.empty((sum(counts), vectors.shape[1]), vectors.dtype if keeps_halves else np.float32)
        embeddings[rows : rows + len(table)] = vectors
        rows += len(table)
        tables.append(table.drop_columns("embedding"))
    table = pa.concat_tables(tables).combine_chunks()
    return Features(
        image_ids=table.column("image_id").to_pylist(),
        region_ids=table.column("region_id").to_numpy(),
        areas=table.column("area").to_numpy(),
        embeddings=embeddings[:rows],
        space=read_table_metadata(paths[0], "features")["space"],
        groups=read_groups(table),
        boxes=read_vectors(table, "box") if "box" in table.column_names else None,
    )


def _count_rows(path: Path) -> int:
    with open_table(path, "features") as file:
        return int(file.metadata.num_rows)


def read_vectors(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """(N, D): a column of lists of one size."""
    column = table.column(name).combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat.reshape(len(table), column.type.list_size))


def vector_column(vectors: npt.NDArray[Any]) -> pa.Array:
    """Vectors (N, D) as a column of lists of one size."""
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])


def read_groups(table: pa.Table) -> npt.NDArray[np.int8] | None:
    """(N,) positions in `GROUPS` of the column `group`; None where there is none."""
    if "group" not in table.column_names:
        return None
    found = pc.index_in(table.column("group"), value_set=pa.array(GROUPS, pa.string()))
    return np.asarray(found.to_numpy(), np.int8)


def group_column(groups: npt.NDArray[np.int8]) -> pa.Array:
    """Positions (N,) in `GROUPS` as a column of names."""
    return pa.array(GROUPS, pa.string()).take(pa.array(groups, pa.int32()))


def _chunks(rows: Iterator[Feature]) -> Iterator[list[Feature]]:
    chunk = list(islice(rows, _SHARD_ROWS))
    yield chunk
    while chunk := list(islice(rows, _SHARD_ROWS)):
        yield chunk


def _to_table(rows: list[Feature], described: FeatureFormat) -> pa.Table:
    values = np.stack([row.embedding for row in rows]) if rows else np.zeros((0, described.size))
    columns = {
        "image_id": pa.array([row.image_id for row in rows], pa.string()),
        "region_id": pa.array([row.region_id for row in rows], pa.int32()),
        "area": pa.array([row.area for row in rows], pa.int32()),
        "embedding": vector_column(values.astype(described.dtype)),
    }
    if described.has_groups:
        columns["group"] = pa.array([row.group for row in rows], pa.string())
    if described.has_boxes:
        boxes = np.array([row.box for row in rows], np.float32).reshape(-1, 4)
        columns["box"] = vector_column(boxes)
    return pa.table(columns)
