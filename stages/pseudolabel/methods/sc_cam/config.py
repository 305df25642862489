"""Parameters of SC-CAM."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.training import DivisibleTrainingConfig, OptimizerConfig
from stages.core.config.views import CropConfig, MultiCropConfig
from stages.pseudolabel.activation.config import LabelRules, MapConfig, TagConfig

if TYPE_CHECKING:
    from stages.core.nets.features import FeatureNetwork
    from stages.pseudolabel.activation.tags import Tags
    from stages.pseudolabel.methods.sc_cam.method import SubCategoryTraining


class SCCAMConfig(TagConfig):
    """Train a classifier of categories and of their sub-categories."""

    method: Literal["sc_cam"] = "sc_cam"
    sub_categories: int = Field(10, ge=1)
    """K, of each category. Section 4.1: 10; a category with fewer photographs has as many as photographs."""
    rounds: int = Field(3, ge=1)
    """How often sub-categories are sought, by what the classifier of the round before has learnt, and the classifier
    trained anew from the pretrained network. Section 4.2: 3."""
    sub_weight: float = Field(5.0, ge=0)
    """lambda, weight of the sub-categories' loss. SC-CAM's code: 5."""
    views: MultiCropConfig = MultiCropConfig(crops=(CropConfig(count=1, size=224, scale=(0.2, 1.0)),), photometric=None)
    """LUSS: 224 pixels of a photograph whose longer side is 256 to 512; here of that share of its area."""
    training: DivisibleTrainingConfig = DivisibleTrainingConfig(
        epochs=30,
        batch_size=16,
        optimizer=OptimizerConfig(
            kind="sgd", base_lr=1.6, final_lr=0.0, schedule="poly", weight_decay=1e-4, lr_scales={"features": 0.1}
        ),
    )
    """SC-CAM's code: batches of 16 at 0.01, and ten times that for new layers; 30, 40 and 50 epochs in the rounds, here
    equally many in each."""
    maps: MapConfig = MapConfig(scales=(0.5, 1.0, 1.5, 2.0))
    labels: LabelRules = LabelRules(background="threshold")
    """A constant background."""

    @property
    def training_rounds(self) -> int:
        """See `TagConfig.training_rounds`."""
        return self.rounds

    def build(self, features: "FeatureNetwork", tags: "Tags") -> "SubCategoryTraining":
        """What is trained; see `TagConfig.build`."""
        from stages.pseudolabel.methods.sc_cam.method import SubCategoryTraining

        return SubCategoryTraining(self, features, tags)
