"""The score below which a pixel is background: fixed, or found on the training photographs without labels."""

import numpy as np

from stages.core.artifacts.image_index import ImageIndex
from stages.core.config.segmenter import ThresholdConfig
from stages.core.metrics.otsu import otsu
from stages.core.nets.segmenter import Segmenter
from stages.core.progress import track

_LEVELS = 101
_MAX_PIXELS = 65_536


def find_threshold(config: ThresholdConfig, segmenter: Segmenter, index: ImageIndex) -> float:
    """The threshold in hundredths, as a fraction.

    Source: Otsu, A Threshold Selection Method from Gray-Level Histograms, 1979.
    """
    if config.rule == "fixed":
        return config.value
    chosen = np.unique(np.linspace(0, len(index) - 1, config.photographs).astype(int))
    histogram = np.zeros(_LEVELS, np.int64)
    for position in track(chosen, label="threshold"):
        score = segmenter.segment_photograph(index.read(int(position)), _MAX_PIXELS).score
        histogram += np.bincount(score.reshape(-1), minlength=_LEVELS)
    return otsu(histogram) / 100
