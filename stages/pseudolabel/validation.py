"""mIoU on masks by the threshold of the foreground, clusters matched with classes anew at each."""

from collections import defaultdict

import numpy as np
import numpy.typing as npt

_LEVELS = 81
_IGNORE_ID = 1000

Counts = npt.NDArray[np.int64]


class ThresholdCurve:
    """Counts of labelled photographs at the thresholds 0.00 to 0.80.

    Source: PASS, step 2.3, which runs the evaluation of LUSS: matching by the number of images in which a cluster and a
    class occur together, mean IoU over the classes and the background.

    Args:
        classes: C; true ids are 0..C, and as many clusters are expected.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._pixels: dict[tuple[int, int], Counts] = defaultdict(lambda: np.zeros(_LEVELS, np.int64))
        self._images: dict[tuple[int, int], Counts] = defaultdict(lambda: np.zeros(_LEVELS, np.int64))
        self._true = np.zeros(classes + 1, np.int64)

    def add(
        self, category: npt.NDArray[np.uint16], score: npt.NDArray[np.float32], true: npt.NDArray[np.uint16]
    ) -> None:
        """Take in a photograph: categories from 1, attention in 0..1, true ids; all (H, W)."""
        counted = true != _IGNORE_ID
        category, true = category[counted], true[counted].astype(np.int64)
        # The number of thresholds in hundredths that the score reaches: it is foreground at those below this level.
        reached = np.searchsorted(np.arange(_LEVELS) / 100, score[counted].astype(np.float64), side="right")
        self._true += np.bincount(true, minlength=self._classes + 1)
        for cluster in np.unique(category):
            own = category == cluster
            present = np.arange(_LEVELS) < reached[own].max()
            for true_id in np.unique(true[true > 0]):
                self._images[int(cluster), int(true_id)] += present
            for true_id in np.unique(true[own]):
                levels = np.bincount(reached[own & (true == true_id)], minlength=_LEVELS + 1)
                self._pixels[int(cluster), int(true_id)] += levels[::-1].cumsum()[::-1][1:]

    @property
    def best(self) -> float:
        """The first threshold of the highest mIoU, as a fraction."""
        return int(np.argmax([self.miou(level) for level in range(_LEVELS)])) / 100

    def miou(self, level: int) -> float:
        """Mean IoU at a threshold in hundredths."""
        from scipy.optimize import linear_sum_assignment

        clusters = max(self._classes, *(cluster for cluster, _ in self._pixels))
        together = np.zeros((clusters, self._classes))
        for (cluster, true_id), images in self._images.items():
            together[cluster - 1, true_id - 1] = images[level]
        match = dict(zip(*linear_sum_assignment(together, maximize=True), strict=True))
        shared, found = np.zeros(self._classes + 1), np.zeros(self._classes + 1)
        for (cluster, true_id), pixels in self._pixels.items():
            matched = match.get(cluster - 1, -1) + 1
            if matched:
                found[matched] += pixels[level]
                shared[matched] += pixels[level] * (matched == true_id)
        missed = sum((pixels[level] for (_, true_id), pixels in self._pixels.items() if not true_id), 0)
        total = sum((pixels[level] for pixels in self._pixels.values()), 0)
        found[0], shared[0] = self._true.sum() - total, self._true[0] - missed
        return float((shared / np.maximum(found + self._true - shared, 1)).mean())
