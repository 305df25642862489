"""Parameters of fine-tuning the whole network on true masks."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.training import DivisibleTrainingConfig, OptimizerConfig
from stages.core.config.views import CropConfig, MultiCropConfig
from stages.finetune.config import TrueMaskConfig

if TYPE_CHECKING:
    from stages.core.nets.features import FeatureNetwork
    from stages.finetune.pixel_labels import PixelLabelClassifier


class SupervisedFineTuningConfig(TrueMaskConfig):
    """Train the whole pretrained network on true masks."""

    method: Literal["supervised"] = "supervised"
    frozen_norms: bool = False
    """Leave batch norm as it was pretrained. MaskContrast: yes where 1 or 2 % have masks."""
    views: MultiCropConfig = MultiCropConfig(crops=(CropConfig(count=1, size=512, scale=(0.5, 1.0)),), photometric=None)
    """MaskContrast: 512 pixels, scaled and flipped."""
    label_scale: float = Field(1.0, gt=0, le=1)
    """Side at which logits and labels are compared, as a share of the view's. MaskContrast: 1; ImageNetSegModel: 28 of
    224 pixels at stride 32, 56 at stride 16."""
    by_doubling: bool = False
    """Whether logits are enlarged to that side by doubling their own. ImageNetSegModel: yes, twice."""
    training: DivisibleTrainingConfig = DivisibleTrainingConfig(
        epochs=60,
        batch_size=8,
        optimizer=OptimizerConfig(kind="sgd", base_lr=0.128, final_lr=0.0, schedule="poly", weight_decay=1e-4),
    )
    """MaskContrast: batches of 8 at 0.004; where 1 or 2 % have masks 0.001, and 0.1 for the head. Epochs not given."""

    def build(self, features: "FeatureNetwork", categories: int) -> "PixelLabelClassifier":
        """What is trained, on a pretrained network; see `TrainedFinetuneConfig.build`."""
        from stages.finetune.pixel_labels import LabelSize, PixelLabelClassifier, norms_of

        size = LabelSize(self.label_scale, self.by_doubling)
        frozen = norms_of(features) if self.frozen_norms else ()
        return PixelLabelClassifier(features, categories, self.views, size, frozen)
