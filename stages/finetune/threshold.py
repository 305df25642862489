"""The score below which a pixel is background: fixed, or found on the training photographs without labels."""

from typing import Literal, TypedDict

import numpy as np
from pydantic import Field

from stages.core.artifacts.image_index import ImageIndex
from stages.core.nets.segmenter import Segmenter
from stages.core.otsu import otsu
from stages.core.params import Params
from stages.core.progress import track

_LEVELS = 101
_MAX_PIXELS = 65_536


class ThresholdCard(TypedDict):
    """See `SegmenterCard`."""

    threshold: float
    threshold_source: Literal["fixed", "without_labels"]


class ThresholdConfig(Params):
    """Where the score of foreground begins."""

    rule: Literal["fixed", "otsu"] = "otsu"
    """`fixed` takes `value`; `otsu` splits the histogram of the training photographs' scores in two."""
    value: float = Field(0.5, ge=0, le=1)
    """Used by `fixed`."""
    photographs: int = Field(256, ge=1)
    """Training photographs, evenly spread over the index, whose scores `otsu` sees."""

    @property
    def card(self) -> ThresholdCard:
        """What a segmenter's card says of it before it is found."""
        return {"threshold": self.value, "threshold_source": "fixed" if self.rule == "fixed" else "without_labels"}


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
