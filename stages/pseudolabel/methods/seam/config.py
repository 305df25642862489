"""Parameters of SEAM."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.training import DivisibleTrainingConfig, OptimizerConfig
from stages.core.config.views import CropConfig, MultiCropConfig
from stages.pseudolabel.activation.config import LabelRules, MapConfig, TagConfig

if TYPE_CHECKING:
    from stages.core.nets.features import FeatureNetwork
    from stages.pseudolabel.activation.tags import Tags
    from stages.pseudolabel.methods.seam.method import EquivariantTraining

_FAMILY = MapConfig(scales=(0.5, 1.0, 1.5, 2.0), flip=True)


class SEAMConfig(TagConfig):
    """Train a classifier whose maps are equivariant to scaling, with a pixel correlation module."""

    method: Literal["seam"] = "seam"
    scale: float = Field(0.3, gt=0, lt=1)
    """Size of the small copy. SEAM's code: 0.3."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Of the features before the classifier. SEAM's code: 0.5."""
    correlated: int = Field(192, ge=1)
    """Channels by which pixels are compared. SEAM's code: 192."""
    hardest: float = Field(0.2, gt=0, le=1)
    """Share of the places, those that differ most, which count in the cross regularization. SEAM's code: 0.2."""
    weakest: float = Field(0.25, ge=0, le=1)
    """Share of the places, those of the least activation, that are pushed to 0 in the refined maps; 0: none. SEAM's
    code: 0.25."""
    views: MultiCropConfig = MultiCropConfig(
        crops=(CropConfig(count=1, size=448, scale=(0.35, 1.0)),), photometric=None
    )
    """SEAM: 448 pixels of a photograph whose longer side is 448 to 768; here of that share of its area."""
    training: DivisibleTrainingConfig = DivisibleTrainingConfig(
        epochs=8,
        batch_size=8,
        optimizer=OptimizerConfig(
            kind="sgd", base_lr=3.2, final_lr=0.0, schedule="poly", weight_decay=5e-4, lr_scales={"features": 0.1}
        ),
    )
    """SEAM: 8 epochs of batches of 8 at 0.01, and ten times that for new layers."""
    maps: MapConfig = _FAMILY
    labels: LabelRules = LabelRules(background="threshold")
    """SEAM: a constant background."""

    def build(self, features: "FeatureNetwork", tags: "Tags") -> "EquivariantTraining":
        """What is trained; see `TagConfig.build`."""
        from stages.pseudolabel.methods.seam.method import EquivariantTraining

        return EquivariantTraining(self, features, tags)
