"""Parameters of centroids as the segmenter's last layer."""

from typing import Literal

from pydantic import Field

from stages.core.config.segmenter import Score, SegmenterCard, ThresholdConfig
from stages.finetune.config import FinetuneConfig


class NoFineTuningConfig(FinetuneConfig):
    """No training: the segmenter compares pixels with the clusters' centroids."""

    method: Literal["none"] = "none"
    supervision: Literal["images"] = "images"
    """What is trained on; nothing is."""
    short_side: int = Field(256, ge=8)
    """Side in pixels that photographs are resized to at inference."""
    background: Literal["threshold", "saliency_head", "attention"] = "threshold"
    """Whether a pixel is background by its score, by the model's saliency head (MaskContrast), or by the attention that
    `attend` gave the model."""
    score: Score = "softmax"
    """What is compared with the threshold where neither the saliency head nor the attention is."""
    threshold: ThresholdConfig = ThresholdConfig()
    """Below it a pixel is background; a fixed 0 makes every pixel a cluster's (ViCE)."""

    def segmenter_card(self, outputs: int) -> SegmenterCard:
        """What the card says of the segmenter whose classifier has `outputs` channels."""
        return SegmenterCard(
            clusters=outputs,
            short_side=self.short_side,
            score=self.score,
            background=self.background,
            threshold=self.threshold.value,
            threshold_source=self.threshold.source,
        )

    @property
    def searched_threshold(self) -> ThresholdConfig | None:
        """How the threshold is found."""
        return self.threshold

    def finetune(self) -> None:
        """Write the centroids as a segmenter; see `FinetuneConfig.finetune`."""
        from stages.finetune.methods.none.method import write_centroid_segmenter

        write_centroid_segmenter(self)
