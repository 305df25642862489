"""Artifact `features`: one embedding per image or region, in Parquet."""

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
from stages.core.config.networks import Space

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


class Embeddings(NamedTuple):
    """Embeddings as `extract` computes them: a stream of rows, with their size and feature space."""

    rows: Iterator[Feature]
    """Sorted by image and region."""
    size: int
    """D"""
    space: Space


class Features(NamedTuple):
    """The whole `features` artifact in memory, sorted by image and region."""

    image_ids: list[str]
    region_ids: npt.NDArray[np.int32]
    areas: npt.NDArray[np.int32]
    embeddings: npt.NDArray[np.float32]
    """(N, D)"""
    space: Space


def write_features(rows: Iterable[Feature], size: int, dtype: str, method: str, space: Space = "stage4") -> None:
    """Write `artifacts/extract` from rows that come sorted by image id and region id; streams.

    Args:
        rows: The features.
        size: D.
        dtype: "float16" or "float32".
        method: What a row stands for.
        space: What the embeddings are made of.
    """
    pending = iter(rows)
    metadata = {"contract": contract_name("features"), "stage": "extract", "method": method, "space": space}
    with atomic_out(OUT, "features", "extract", method) as out:
        for shard, chunk in enumerate(_chunks(pending)):
            write_table(out / f"part-{shard:05d}.parquet", _to_table(chunk, size, dtype), metadata)


def read_features(out: Path = OUT, among: Collection[str] | None = None) -> Features:
    """Read `artifacts/extract`; 1.2 million rows of 2048 take 10 GB.

    Args:
        out: Where it lies.
        among: Images whose rows are kept; None for all.

    Raises:
        UserError: Missing, broken or of another version.
    """
    read_manifest(out, "features")
    tables = []
    for path in shard_paths(out):
        with explain_broken_parquet(path), open_table(path, "features") as file:
            table = file.read()
        wanted = None if among is None else pc.is_in(table.column("image_id"), value_set=pa.array(among, pa.string()))
        tables.append(table if wanted is None else table.filter(wanted))
    table = pa.concat_tables(tables).combine_chunks()
    embeddings = table.column("embedding").combine_chunks()
    flat = embeddings.flatten().to_numpy(zero_copy_only=False)
    return Features(
        image_ids=table.column("image_id").to_pylist(),
        region_ids=table.column("region_id").to_numpy(),
        areas=table.column("area").to_numpy(),
        embeddings=flat.reshape(len(table), embeddings.type.list_size).astype(np.float32, copy=False),
        space=read_table_metadata(shard_paths(out)[0], "features")["space"],
    )


def _chunks(rows: Iterator[Feature]) -> Iterator[list[Feature]]:
    chunk = list(islice(rows, _SHARD_ROWS))
    yield chunk
    while chunk := list(islice(rows, _SHARD_ROWS)):
        yield chunk


def _to_table(rows: list[Feature], size: int, dtype: str) -> pa.Table:
    values = np.stack([row.embedding for row in rows]) if rows else np.zeros((0, size))
    flat = pa.array(values.astype(dtype).reshape(-1))
    return pa.table(
        {
            "image_id": pa.array([row.image_id for row in rows], pa.string()),
            "region_id": pa.array([row.region_id for row in rows], pa.int32()),
            "area": pa.array([row.area for row in rows], pa.int32()),
            "embedding": pa.FixedSizeListArray.from_arrays(flat, size),
        }
    )
