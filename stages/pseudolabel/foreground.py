"""From which attention on a pixel is foreground."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from stages.core.otsu import otsu
from stages.core.params import Params

_LEVELS = 101


class ForegroundConfig(Params):
    """A share of the full attention."""

    rule: Literal["otsu", "fixed", "validation"] = "otsu"
    """`otsu` splits the histogram of training photographs in two, without any label; `fixed` takes `value`;
    `validation` takes what gives the highest mIoU on the validation masks, as the authors do: it needs
    `supervision: labels`, and the result is no longer strict."""
    value: float = Field(0.41, ge=0, le=1)
    """Used by `fixed`. PASS chose on validation masks: 0.41 for 50 categories, 0.40 for 300, 0.37 for 919."""
    photographs: int = Field(256, ge=1)
    """Training photographs, evenly spread over the index, whose attention `otsu` sees."""


def split_scores(scores: Iterable[npt.NDArray[np.float32]]) -> float:
    """The threshold in hundredths that splits the pixels of some maps of scores in 0..1, as a fraction.

    Source: Otsu, A Threshold Selection Method from Gray-Level Histograms, 1979.
    """
    histogram = np.zeros(_LEVELS, np.int64)
    for each in scores:
        histogram += np.bincount((each * (_LEVELS - 1)).astype(np.int64).ravel(), minlength=_LEVELS)
    return otsu(histogram) / (_LEVELS - 1)
