"""The training history (losses and diagnostics), which the seed determines, and the log of speed, which it does not."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from stages.core.artifacts.shards import encode_json, write_atomically
from stages.core.engine.distributed import rank, sum_over_processes, world_size
from stages.core.errors import UserError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_ROWS = 500
LOGS = Path(os.environ.get("LUSS_LOGS", "logs"))

Row = dict[str, float | int]


class History:
    """Means of logged values over equal numbers of iterations, in about 500 rows; part of every checkpoint."""

    def __init__(self, iterations: int) -> None:
        self.rows: list[Row] = []
        self._iterations = iterations
        self._stretch = max(iterations // _ROWS, 1)
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, iteration: int, values: Mapping[str, Tensor], plain: Mapping[str, float | int]) -> Row | None:
        """Add the values of an iteration; they stay on the device until a row is full, which is then returned.

        Raises:
            UserError: A value of the full row is not finite.
        """
        for name, value in values.items():
            value = value.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1
        if (iteration + 1) % self._stretch == 0 or iteration + 1 == self._iterations:
            means = self._means(iteration)
            self.rows.append({"iteration": iteration + 1, **plain, **means})
            self._sums, self._count = {}, 0
            return self.rows[-1]
        return None

    def check_finite(self, iteration: int) -> None:
        """Check that no value since the last row is NaN or infinite; called before a checkpoint.

        Raises:
            UserError: A value is not finite.
        """
        self._means(iteration)

    def _means(self, iteration: int) -> dict[str, float]:
        means = self._mean_over_processes()
        wrong = {name: value for name, value in means.items() if not math.isfinite(value)}
        if wrong:
            found = ", ".join(f"{name} = {value}" for name, value in wrong.items())
            raise UserError(
                f"training diverged by iteration {iteration + 1}: {found}. Most often training.optimizer.base_lr is "
                "too high or its warm-up, warmup_epochs, too short"
            )
        return means

    def _mean_over_processes(self) -> dict[str, float]:
        if not self._sums:
            return {}
        totals = sum_over_processes(torch.stack(list(self._sums.values()))).tolist()
        return {name: total / (self._count * world_size()) for name, total in zip(self._sums, totals, strict=True)}

    @property
    def progress_note(self) -> str:
        """The newest loss, as text for a progress line."""
        return f"loss {self.rows[-1]['loss']:.3f}" if self.rows else ""

    @property
    def state(self) -> dict[str, Any]:
        """State for a checkpoint, the unfinished row included."""
        return {"rows": self.rows, "sums": self._sums, "count": self._count}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the history from a checkpoint's state."""
        self.rows, self._sums, self._count = list(state["rows"]), dict(state["sums"]), int(state["count"])


class SpeedLog:
    """Speed and waiting time of one run, written to `logs/<stage>/<run key>.json`, which DVC and git ignore."""

    def __init__(self, stage: str, key: str) -> None:
        self._path = LOGS / stage / f"{key}.json"
        self._start = time.perf_counter()
        self._waited = 0.0
        self._photographs = 0

    def add(self, photographs: int, waited: float) -> None:
        """Add an iteration: photographs of this process, and seconds that it waited for them."""
        self._photographs += photographs * world_size()
        self._waited += waited

    @property
    def images_per_second(self) -> float:
        """Photographs per second so far, of all processes."""
        return self._photographs / (time.perf_counter() - self._start)

    def write(self, fabric: Fabric) -> None:
        """Write speeds, waiting time and hardware, if anything was measured."""
        if not self._photographs or rank():
            return
        seconds = time.perf_counter() - self._start
        content = {
            "seconds": round(seconds, 3),
            "images_per_second": round(self.images_per_second, 2),
            "data_wait_share": round(self._waited / seconds, 4),
            "device": str(fabric.device),
            "processes": world_size(),
            "precision": str(fabric.strategy.precision.precision),
        }
        write_atomically(self._path, encode_json(content))
