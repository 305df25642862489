"""Parameters of a segmenter at inference: its working size, and what counts as background."""

from typing import Literal

from pydantic import Field

from stages.core.config.params import Params

Score = Literal["softmax", "normalized_logit", "foreground"]
Background = Literal["threshold", "class_0", "saliency_head", "attention"]


class SegmenterCard(Params):
    """How a fine-tuned model segments, as its model.json says."""

    clusters: int
    """K"""
    short_side: int
    """Side in pixels that photographs are resized to."""
    size: tuple[int, int] | None = None
    """Height and width in pixels that photographs are squashed to in place of `short_side`; null: they keep their
    aspect."""
    score: Score
    """How certain a pixel is: the largest softmax; the largest logit, scaled to 0..1 within the photograph; or, where
    the first class is the background, the softmax of all others together: the label is then the best of these."""
    background: Background
    """threshold: a pixel whose score is below the threshold. class_0: a class of its own, the first. saliency_head
    and attention: a pixel whose saliency, or whose weight in the model's attention, is below the threshold; this then
    is the score."""
    threshold: float | None = None
    """null where the background is a class."""
    threshold_source: Literal["fixed", "without_labels", "validation"] | None = None
    """How the threshold was found; null where there is none."""

    @property
    def predicts_background(self) -> bool:
        """Whether it can predict background: no score lies below a threshold of 0."""
        return self.background == "class_0" or bool(self.threshold)


class ThresholdConfig(Params):
    """How the score threshold between background and foreground is chosen."""

    rule: Literal["fixed", "otsu"] = "otsu"
    """`fixed` takes `value`; `otsu` splits the histogram of the training photographs' scores in two."""
    value: float = Field(0.5, ge=0, le=1)
    """Used by `fixed`."""
    photographs: int = Field(256, ge=1)
    """Training photographs, drawn at random by a fixed seed, whose scores `otsu` sees."""

    @property
    def source(self) -> Literal["fixed", "without_labels"]:
        """How the threshold was chosen, as a segmenter's card records it."""
        return "fixed" if self.rule == "fixed" else "without_labels"
