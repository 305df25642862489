"""Otsu's threshold, found without labels."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def otsu_of_scores(scores: Iterable[npt.NDArray[np.uint8]]) -> float:
    """Choose the threshold that splits the pixels of several photographs in two.

    Args:
        scores: Of each photograph, in whole hundredths; any shape.

    Returns:
        The lowest score of the upper part, a fraction in hundredths; 0 if all scores are alike.
    """
    histogram = np.zeros(256, np.int64)
    for each in scores:
        histogram += np.bincount(each.ravel(), minlength=histogram.size)
    return otsu(histogram) / 100


def otsu(histogram: npt.NDArray[np.int64]) -> int:
    """Otsu's threshold of a histogram: the cut with the largest variance between the two parts.

    Args:
        histogram: (L,) pixels by level.

    Returns:
        The first level of the upper class; 0 if all are of one level.

    Source: Otsu 1979, "A threshold selection method from gray-level histograms".
    """
    levels = np.arange(histogram.size)
    below, total = histogram.cumsum()[:-1], int(histogram.sum())
    mass, whole = (histogram * levels).cumsum()[:-1], int((histogram * levels).sum())
    above = total - below
    valid = (below > 0) & (above > 0)
    if not valid.any():
        return 0
    between = np.zeros(below.size)
    difference = mass[valid] / below[valid] - (whole - mass[valid]) / above[valid]
    between[valid] = below[valid] * (above[valid] / total) * difference**2
    return int(between.argmax()) + 1
