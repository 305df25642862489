"""k-means from several random starts on a sample, of which the best is refined on all vectors; survives a kill."""

import io
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.core.artifacts.shards import write_atomically
from stages.core.faiss_ops import Clustering, Float32, start_kmeans
from stages.core.progress import Progress
from stages.core.streamed_kmeans import VectorRows, assign, improve

_SAVED_EVERY = 1.0
"""Seconds; what took less is quicker computed again than written."""


class Plan(NamedTuple):
    """How the clusters are looked for."""

    k: int
    restarts: int
    iterations: int
    seed: int
    sample: int
    """Vectors that the starts look at; with so many or fewer, all of them."""


@dataclass(frozen=True)
class _State:
    """What is done of a search."""

    starts: int = 0
    refined: int = 0
    """Iterations over all vectors."""
    objective: float = np.inf
    """Of the best start."""
    centroids: Float32 | None = None
    """(K, D)"""


def search(vectors: VectorRows, plan: Plan, work: Path | None) -> Clustering:
    """Lloyd's algorithm from several random starts on a sample, then from the best of them on all vectors.

    Where the sample is all of them, this is `stages.core.faiss_ops.kmeans` to the byte.

    Args:
        vectors: What is clustered.
        plan: How.
        work: Folder that finished starts and iterations are kept in; see `stages.core.resume`. None where nothing is
            kept, nor told.

    Raises:
        UserError: There are too few vectors, or one is not finite.
    """
    vectors.check(plan.k)
    order = np.random.default_rng(plan.seed).permutation(len(vectors))
    saved = _Saved(work / "search.npz" if work else None)
    state = saved.load()
    refines = len(vectors) > plan.sample
    rounds = plan.restarts + plan.iterations * refines
    with Progress(rounds, "cluster", "rounds", state.starts + state.refined, work is not None) as progress:
        drawn = vectors.take(order[: plan.sample]) if state.starts < plan.restarts else np.empty(0, np.float32)
        for number in range(state.starts, plan.restarts):
            found = start_kmeans(drawn, plan.k, plan.iterations, plan.seed, number)
            if found.objective < state.objective:
                state = replace(state, objective=found.objective, centroids=found.centroids)
            state = replace(state, starts=number + 1)
            saved.save(state)
            progress.update(state.starts, "random starts")
        assert state.centroids is not None
        del drawn
        while refines and state.refined < plan.iterations:
            state = replace(state, centroids=improve(vectors, state.centroids), refined=state.refined + 1)
            saved.save(state)
            progress.update(plan.restarts + state.refined, "all vectors")
    assert state.centroids is not None
    distances, cluster_ids = assign(vectors, state.centroids)
    return Clustering(state.centroids, cluster_ids, distances, float(distances.sum(dtype=np.float64)))


class _Saved:
    """The state of a search in a file."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._last = path, time.monotonic()

    def load(self) -> _State:
        """What an earlier run finished; nothing where there is no file, or a damaged one."""
        if self._path is None:
            return _State()
        try:
            with np.load(io.BytesIO(self._path.read_bytes())) as file:
                return _State(int(file["starts"]), int(file["refined"]), float(file["objective"]), file["centroids"])
        except (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return _State()

    def save(self, state: _State) -> None:
        """Write it, unless that has just been done."""
        if self._path is None or time.monotonic() - self._last < _SAVED_EVERY:
            return
        buffer = io.BytesIO()
        np.savez(buffer, **vars(state))
        write_atomically(self._path, buffer.getvalue())
        self._last = time.monotonic()
