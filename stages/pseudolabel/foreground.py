"""From which attention on a pixel is foreground."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from stages.core.metrics.otsu import otsu

_LEVELS = 101


def split_scores(scores: Iterable[npt.NDArray[np.float32]]) -> float:
    """The threshold in hundredths that splits the pixels of some maps of scores in 0..1, as a fraction.

    Source: Otsu, A Threshold Selection Method from Gray-Level Histograms, 1979.
    """
    histogram = np.zeros(_LEVELS, np.int64)
    for each in scores:
        histogram += np.bincount((each * (_LEVELS - 1)).astype(np.int64).ravel(), minlength=_LEVELS)
    return otsu(histogram) / (_LEVELS - 1)
