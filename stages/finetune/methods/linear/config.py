"""Parameters of the linear probe."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.segmenter import SegmenterCard
from stages.core.config.training import DivisibleTrainingConfig, OptimizerConfig
from stages.core.config.views import CropConfig, MultiCropConfig
from stages.finetune.config import TrueMaskConfig

if TYPE_CHECKING:
    from stages.core.nets.features import FeatureNetwork
    from stages.finetune.methods.linear.method import LinearProbe


class LinearProbeConfig(TrueMaskConfig):
    """Train a linear classifier of pixels on the frozen network's features."""

    method: Literal["linear"] = "linear"
    background: bool = True
    """Whether background is the first class; false where every pixel has a class, as in scenes."""
    normalize: bool = False
    """Bring every pixel's features to length 1 before. ViCE: yes."""
    hidden: int = Field(0, ge=0)
    """Channels between two linear layers with batch norm between, which become one in the segmenter; 0 for a single
    layer. ViCE: one layer in its paper, two with 256 channels between in its code."""
    views: MultiCropConfig = MultiCropConfig(crops=(CropConfig(count=1, size=512, scale=(0.5, 1.0)),), photometric=None)
    """MaskContrast: 512 pixels, scaled by 0.75-1.25, flipped; its rotation by up to 5 degrees is left out."""
    training: DivisibleTrainingConfig = DivisibleTrainingConfig(
        epochs=60,
        batch_size=16,
        optimizer=OptimizerConfig(kind="sgd", base_lr=1.6, final_lr=0.16, schedule="step", weight_decay=1e-4),
    )
    """MaskContrast: 60 epochs of 16 photographs at 0.1, a tenth after 40; its code: after 25."""

    def segmenter_card(self, outputs: int) -> SegmenterCard:
        """What the card says of the segmenter whose classifier has `outputs` channels."""
        if self.background:
            return super().segmenter_card(outputs)
        return SegmenterCard(
            clusters=outputs,
            short_side=self.short_side,
            score="softmax",
            background="threshold",
            threshold=0.0,
            threshold_source="fixed",
        )

    def build(self, features: "FeatureNetwork", categories: int) -> "LinearProbe":
        """What is trained, on a pretrained network; see `TrainedFinetuneConfig.build`."""
        from stages.finetune.methods.linear.method import LinearProbe

        return LinearProbe(self, features, categories)
