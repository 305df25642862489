"""Fair clocks for a machine that others use too."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def alternate(candidates: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU seconds (all threads of this process) of each candidate, taking turns so that a slow moment hits all.

    Args:
        candidates: What to time, by name; each is called once before the clock starts.
        rounds: Timed calls of each.
    """
    return _alternate(candidates, rounds, time.process_time)


def alternate_wall(candidates: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The same in seconds on the wall, for what runs in other processes."""
    return _alternate(candidates, rounds, time.perf_counter)


def _alternate(
    candidates: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> dict[str, float]:
    for candidate in candidates.values():
        candidate()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, candidate in candidates.items():
            start = clock()
            candidate()
            seconds[name].append(clock() - start)
    return {name: statistics.median(taken) for name, taken in seconds.items()}
