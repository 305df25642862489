"""Writes the training history and speed for TensorBoard, where LUSS_TENSORBOARD names a folder."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.core.engine.distributed import rank
from stages.core.errors import UserError


class TensorBoardLog:
    """Writes rows of numbers to LUSS_TENSORBOARD/<stage>/<run key>; does nothing where that is not set.

    Raises:
        UserError: TensorBoard is not installed.
    """

    def __init__(self, stage: str, key: str) -> None:
        self._writer: Any = None
        folder = os.environ.get("LUSS_TENSORBOARD")
        if not folder or rank():
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError(
                "LUSS_TENSORBOARD is set but TensorBoard is not installed: pip install 'luss[tensorboard]'"
            ) from None
        self._writer = SummaryWriter(Path(folder) / stage / key)

    def add(self, row: Mapping[str, float | int], images_per_second: float) -> None:
        """Write one row at its iteration."""
        if self._writer is None:
            return
        for name, value in {**row, "images_per_second": images_per_second}.items():
            if name != "iteration":
                self._writer.add_scalar(name, value, row["iteration"])
        self._writer.flush()
