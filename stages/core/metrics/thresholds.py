"""Thresholds on the stored scores, below which pixels are background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stages.core.errors import UserError
from stages.core.metrics.kernels import UInt8, rank_scores


class Thresholds:
    """Increasing thresholds, and how many of them each pixel's score reaches.

    Args:
        values: Scores below which a pixel is background; up to 255 of them.

    Raises:
        UserError: None at all, too many, not increasing or outside 0..1.
    """

    def __init__(self, values: Sequence[float]) -> None:
        self.values = tuple(values)
        if not 1 <= len(self.values) <= 255:
            raise UserError(f"thresholds: from 1 to 255 of them can be counted at once, found {len(self.values)}")
        if not all(0 <= value <= 1 for value in self.values) or list(self.values) != sorted(set(self.values)):
            raise UserError(f"thresholds: must increase and lie in 0..1, found {', '.join(map(str, self.values))}")
        grid = np.arange(256)
        self._of_stored = np.searchsorted(np.round(100 * np.array(self.values), 9), grid, side="right").astype(np.uint8)

    def __len__(self) -> int:
        return len(self.values)

    def rank_stored(self, scores: UInt8) -> UInt8:
        """Count the thresholds that scores stored as whole hundredths reach: `score < t` is `stored < 100 t`."""
        import cv2

        return np.asarray(cv2.LUT(scores, self._of_stored))

    def rank(self, scores: npt.NDArray[np.floating]) -> UInt8:
        """Count the thresholds that scores reach, both as float32, which is how the benchmark compares them."""
        exact = scores.astype(np.float32, copy=False)
        return np.asarray(rank_scores(exact, np.array(self.values, np.float32), self._of_stored[:102]))
