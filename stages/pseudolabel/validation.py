"""mIoU on validation masks at each foreground threshold, with clusters matched anew."""

import numpy as np
import numpy.typing as npt

from stages.core.data import IGNORE_ID
from stages.core.metrics.counting import CountingSettings, MapPair, count_image
from stages.core.metrics.counts import Counts
from stages.core.metrics.matching import match_images
from stages.core.metrics.scores import benchmark_summary, score
from stages.core.metrics.thresholds import Thresholds

_LEVELS = 81


class ThresholdCurve:
    """Counts of labelled photographs at the thresholds 0.00 to 0.80.

    Source: PASS, step 2.3, which runs the evaluation of LUSS: matching by the number of images in which a cluster and a
    class occur together, mean IoU over the classes and the background.

    Args:
        classes: C; true ids are 0..C.
        clusters: Categories are 1..clusters.
    """

    def __init__(self, classes: int, clusters: int) -> None:
        self._thresholds = Thresholds([level / 100 for level in range(_LEVELS)])
        self._scale = CountingSettings(classes, max(classes, clusters), IGNORE_ID, _LEVELS)
        self._counts = Counts(classes, self._scale.clusters, _LEVELS)

    def add(
        self, name: str, category: npt.NDArray[np.uint16], score: npt.NDArray[np.float32], true: npt.NDArray[np.uint16]
    ) -> None:
        """Take in a photograph.

        Args:
            name: Of the photograph, for messages.
            category: (H, W) from 1.
            score: (H, W) attention in 0..1.
            true: (H, W) true ids.

        Raises:
            UserError: The mask holds an id that no class has.
        """
        maps = MapPair(true, category, self._thresholds.rank(score), f"mask of {name}", f"labels of {name}")
        self._counts.add_image(count_image(maps, self._scale))

    def miou(self, level: int) -> float:
        """Mean IoU in percent at a threshold in hundredths."""
        match = match_images(self._counts.cooccurrence(level))
        return float(benchmark_summary(score(self._counts, match, level), with_edges=False)["mIoU"] or 0)

    @property
    def best(self) -> float:
        """The first threshold of the highest mIoU, as a fraction."""
        return int(np.argmax([self.miou(level) for level in range(_LEVELS)])) / 100
