"""How stable a number of clusters is: over parts of the data, and over seeds.

Two disjoint parts are clustered apart, held-out vectors go to the nearest centroid of each, and what they say is
compared. Source: Wang, Consistent Selection of the Number of Clusters via Crossvalidation, 2010, section 2 (two parts
and a third that is held out); the idea and its limits: Ben-Hur, Elisseeff and Guyon, A Stability Based Method, 2002,
and von Luxburg, Clustering Stability: An Overview, 2010. Here the index is corrected for chance, since that of plain
shares of pairs falls with the number of clusters.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.cluster.config import ClusterConfig
from stages.core.artifacts.granularity import Draw, Stability
from stages.core.artifacts.shards import encode_json, read_json, write_atomically
from stages.core.errors import UserError
from stages.core.metrics.agreement import adjusted_rand, best_jaccard
from stages.core.metrics.matching import contingency_matrix
from stages.core.processes import map_in_processes
from stages.core.progress import Progress
from stages.core.streamed_kmeans import VectorRows, assign

_DRAWS = 10
"""Of parts; the standard error of their mean is a third of their spread."""
_SMALL = 1 << 18
"""Values of all vectors below which processes would take longer to start than the work itself."""
_VECTORS = "vectors.npy"

Float32 = npt.NDArray[np.float32]


class _Task(NamedTuple):
    k: int
    draw: int

    def result(self, work: Path) -> Path:
        return work / f"stability-{self.k}-{self.draw}.json"


def measure_stability(config: ClusterConfig, vectors: Float32, work: Path) -> Stability:
    """Measure `k` and all of `also`, in several processes where that pays; what is done survives a kill.

    Args:
        config: How vectors are grouped.
        vectors: (N, D), drawn of those that form the clusters.
        work: Folder of unfinished work.
    """
    np.save(work / _VECTORS, vectors)
    tasks = [_Task(k, draw) for k in sorted({*config.also, config.k or 0}) for draw in range(_DRAWS)]
    waiting = [task for task in tasks if not task.result(work).exists()]
    measure = partial(_measure, config, work.resolve())
    with Progress(len(tasks), "stability", "draws", len(tasks) - len(waiting)) as progress:
        measured = map(measure, waiting) if vectors.size < _SMALL else map_in_processes(measure, waiting)
        for done, _ in enumerate(measured, len(tasks) - len(waiting) + 1):
            progress.update(done)
    found = [read_json(task.result(work)) for task in tasks]
    return Stability(len(vectors), [Draw(**one) for one in found if one])


def compare(config: ClusterConfig, vectors: Float32, k: int, draw: int) -> Draw | None:
    """Cluster two disjoint parts of the vectors (N, D), one of them twice; None where they cannot form k clusters."""
    order = np.random.default_rng([config.seed, draw]).permutation(len(vectors))
    size = 2 * len(order) // 5
    first, second, held = vectors[order[:size]], vectors[order[size : 2 * size]], vectors[order[2 * size :]]
    try:
        by_first, by_second, by_seed = (
            _apply(config.model_copy(update={"seed": (config.seed + turn) % 2**31}), part, held, k)
            for part, turn in ((first, 0), (second, 0), (first, draw + 1))
        )
    except UserError:
        return None
    across = contingency_matrix(by_first, by_second, (k, k))
    seeds = adjusted_rand(contingency_matrix(by_first, by_seed, (k, k)))
    return Draw(k, draw, adjusted_rand(across), float(best_jaccard(across).mean()), seeds)


def _apply(config: ClusterConfig, part: Float32, held: Float32, k: int) -> npt.NDArray[np.int64]:
    """The cluster (H,) of each held-out vector among k that a part of the others forms."""
    return assign(_all(held), config.group(_all(part), k, None).centroids)[1]


def _all(vectors: Float32) -> VectorRows:
    return VectorRows(np.asarray(vectors), np.arange(len(vectors)))


def _measure(config: ClusterConfig, work: Path, task: _Task) -> None:
    """Write what a draw gives; an empty object where the parts are too small."""
    found = compare(config, np.load(work / _VECTORS, mmap_mode="r"), *task)
    write_atomically(task.result(work), encode_json(found._asdict() if found else {}))
