"""What lies beside the clusters `artifacts/cluster`: other numbers of clusters, and how stable each number is.

A folder of its own, `granularity/`, of which neither the manifest of the clusters nor what is trained on them knows:
`stability.parquet`, and for every further number a folder with clusters as `artifacts/cluster` has them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from stages.core.artifacts.clusters import OUT, Assignments, read_assignments
from stages.core.artifacts.shards import MANIFEST, contract_name, read_table, read_table_metadata, write_table

FOLDER = "granularity"
"""Of the stage's out."""

_STABILITY = "stability.parquet"


class Draw(NamedTuple):
    """Two disjoint parts of the drawn vectors were clustered, and held-out vectors put into the clusters of each."""

    k: int
    draw: int
    halves: float
    """Adjusted Rand index of the held-out vectors' clusters by one part and by the other."""
    jaccard: float
    """Mean over the first part's clusters of the Jaccard index with the most alike one of the other part."""
    seeds: float
    """Adjusted Rand index between two clusterings of the first part that differ by their seed alone."""


class StabilityOfK(NamedTuple):
    """Means over the draws of one number of clusters; see `Draw`."""

    k: int
    halves: float
    error: float
    """Standard error of `halves`."""
    jaccard: float
    seeds: float


class Stability(NamedTuple):
    """How alike clusterings of different parts of the data, and of different seeds, turn out."""

    vectors: int
    """Drawn, of which two fifths form a part, and a fifth is held out."""
    draws: list[Draw]
    """Of every number of clusters that the parts are large enough for."""

    @property
    def by_k(self) -> dict[int, StabilityOfK]:
        """By number of clusters, ascending."""
        return {k: self._summarize(k) for k in sorted({draw.k for draw in self.draws})}

    @property
    def most_stable(self) -> list[int]:
        """The numbers of clusters whose halves agree most: the best one first, then those within its standard error."""
        ranked = sorted(self.by_k.values(), key=lambda one: (-one.halves, one.k))
        return [one.k for one in ranked if one.halves >= ranked[0].halves - ranked[0].error]

    def _summarize(self, k: int) -> StabilityOfK:
        halves, jaccard, seeds = np.array([draw[2:] for draw in self.draws if draw.k == k]).T
        error = float(halves.std(ddof=1) / np.sqrt(len(halves))) if len(halves) > 1 else 0.0
        return StabilityOfK(k, float(halves.mean()), error, float(jaccard.mean()), float(seeds.mean()))


def write_stability(folder: Path, stability: Stability, method: str) -> None:
    """Write `stability.parquet` into a folder."""
    columns = {name: [getattr(draw, name) for draw in stability.draws] for name in Draw._fields}
    schema = pa.schema([("k", pa.int32()), ("draw", pa.int32())] + [(name, pa.float64()) for name in Draw._fields[2:]])
    head = {"contract": contract_name("stability"), "stage": "cluster", "method": method}
    write_table(folder / _STABILITY, pa.table(columns, schema), {**head, "vectors": stability.vectors})


def read_stability(out: Path = OUT) -> Stability | None:
    """Read it; None where it was not measured.

    Raises:
        UserError: Broken or of another version.
    """
    path = out / FOLDER / _STABILITY
    if not path.is_file():
        return None
    rows = read_table(path, "stability").to_pylist()
    return Stability(read_table_metadata(path, "stability")["vectors"], [Draw(**row) for row in rows])


def numbers(out: Path = OUT) -> Sequence[int]:
    """The further numbers of clusters that there are, ascending."""
    return sorted(int(path.parent.name) for path in (out / FOLDER).glob(f"*/{MANIFEST}"))


def read_granularity(k: int, out: Path = OUT) -> Assignments:
    """Read the clusters of every region among one of the further numbers.

    Raises:
        UserError: Missing, broken or of another version.
    """
    return read_assignments(out / FOLDER / str(k))
