"""Parameters of pixel attention."""

from typing import Literal

from pydantic import Field

from stages.attend.config import AttendConfig
from stages.core.config.codes import CodesConfig
from stages.core.config.training import OptimizerConfig, TrainingConfig
from stages.core.config.views import CropConfig, MultiCropConfig


class PixelAttentionConfig(CodesConfig, AttendConfig):
    """Train attention and prototypes; the rest of the model stays."""

    method: Literal["pixel_attention"] = "pixel_attention"
    views: MultiCropConfig = MultiCropConfig(crops=(CropConfig(count=2, size=224, scale=(0.08, 1.0)),))
    """PASS: 2 x 224, scale 0.08-1."""
    enlarge: int = Field(4, ge=1)
    """Times that the map is enlarged before it is attended to. PASS: 4."""
    running_statistics: Literal["frozen", "drift"] = "drift"
    """Batch norm in the frozen layers: `drift` takes the batches' statistics, and the running ones follow them, as in
    PASS's code. With `frozen` ones the image head, which was trained on features of other lengths, gives all
    photographs nearly the same embedding where it ends in a batch norm."""
    prototypes: int = Field(500, ge=2)
    """P, as the pretrained model's, whose prototypes it starts from."""
    queue: int = Field(3840, ge=0)
    """PASS: 3840, from the first epoch."""
    queue_start_epoch: int = Field(0, ge=0)
    """PASS: 0."""
    freeze_prototypes: int = Field(0, ge=0)
    """PASS: 0."""
    training: TrainingConfig = TrainingConfig(epochs=20, optimizer=OptimizerConfig(base_lr=6.0))
    """PASS: 20 epochs, LARC 6.0 for 50 categories, 0.6 for more."""

    def attend(self) -> None:
        """Train attention and prototypes on the train split; see `AttendConfig.attend`."""
        from stages.attend.methods.pixel_attention.method import attend

        attend(self)
