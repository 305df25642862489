"""Names of protocols and threshold rules, and the threshold with its source and use of labels."""

from __future__ import annotations

from typing import Literal, NamedTuple

from stages.core.config.segmenter import SegmenterCard

ProtocolName = Literal[
    "imagenet_s", "pixel_hungarian", "iou_hungarian", "greedy", "optimal", "scenes", "given", "scenes_given"
]
ThresholdRule = Literal["segmenter", "fixed", "validation", "otsu"]


class Threshold(NamedTuple):
    """The score below which a pixel is background, and where it comes from."""

    hundredths: int | None
    """None: predictions stand as they are."""
    source: str
    uses_labels: bool


def threshold_of_card(segmenter: SegmenterCard | None) -> Threshold | None:
    """The threshold that a segmenter carries on its card; None if it carries none."""
    if segmenter is None or segmenter.threshold is None:
        return None
    how = (segmenter.threshold_source or "fixed").replace("_", " ")
    return Threshold(round(100 * segmenter.threshold), f"the segmenter's own: {how}", "validation" in how)


UNSCORED = Threshold(None, "none: the segmenter decides on background by itself", False)
EVERYWHERE = Threshold(None, "none: every pixel has a class", False)
