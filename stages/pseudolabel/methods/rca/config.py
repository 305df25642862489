"""Parameters of RCA."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from stages.core.config.params import Params
from stages.core.config.training import OptimizerConfig, TrainingConfig
from stages.pseudolabel.activation.config import MapConfig, TagConfig

if TYPE_CHECKING:
    from stages.core.nets.features import FeatureNetwork
    from stages.pseudolabel.activation.tags import Tags
    from stages.pseudolabel.methods.rca.method import RegionalContrastTraining


Variant = Literal["paper", "released"]


class MemoryConfig(Params):
    """The memory of regions: one entry per photograph and category that it shows."""

    size: int | None = Field(None, ge=1)
    """Most entries of a category, of photographs drawn by the seed; null for all (`released`: 500). It costs 4 bytes a
    channel: 919 categories of 500 entries of 512 channels take 0.94 GB. Section 4.1: all for Pascal VOC, 500 for
    COCO."""
    momentum: float = Field(0.99, ge=0, lt=1)
    """gamma, share of an entry that an update keeps; the first sets it. Equation 3, section 4.1: 0.99."""
    confidence: float = Field(0.7, ge=0, lt=1)
    """nu, probability of the category above which a region updates its entry. Section 4.1: 0.7."""


class ContrastConfig(Params):
    """The contrast of a region with the memory."""

    weight: float = Field(0.01, gt=0)
    """alpha_1, of the loss. Section 4.1: 0.01."""
    temperature: float = Field(0.07, gt=0)
    """tau, equation 4. Not given; RCA's code: 0.07."""
    start_epoch: int = Field(1, ge=0)
    """Epoch, from 0, in which it starts. Section 4.1: after the first one; RCA's code: after the second."""
    mixup: float | None = Field(8.0, gt=0)
    """beta of the distribution that regions are mixed by, equation 5; null for regions as they are. Section 4.1: 8."""


class AggregationConfig(Params):
    """Attention of pixels to the centroids of the memory."""

    centroids: int = Field(10, ge=1)
    """K, of each category, by k-means at the beginning of each epoch; a category with fewer entries takes these as they
    are. Section 4.1: 10."""


class AccumulationConfig(Params):
    """Accumulated attention (OAA): labels are made of the strongest maps of all epochs, not of the last network's."""

    start_epoch: int = Field(1, ge=0)
    """Epoch, from 0, in which it starts. RCA's code: 1."""
    confidence: float = Field(0.1, ge=0, lt=1)
    """Least probability of a category whose map counts. RCA's code: 0.1."""
    side: int = Field(46, ge=2)
    """Cells along both sides of a photograph; each photograph and category takes its square in bytes on the disk.
    RCA's code: 46, a photograph of 368 pixels at stride 8."""


class SaliencyLossConfig(Params):
    """Saliency as supervision of the maps (EPS): the second classifier, which labels are made of, has a background too.

    A category of the photograph is foreground where enough of its map is salient; else it belongs to the background.
    Saliency is estimated from the map of the foreground and from what that of the background leaves.
    """

    weight: float = Field(1.0, gt=0)
    """Of the loss, beside 1 of the classification's. EPS: 1."""
    overlap: float = Field(0.4, ge=0, lt=1)
    """tau, share of a category's map that must be salient. EPS: 0.4."""
    foreground: float = Field(0.5, ge=0, le=1)
    """lambda, part of the foreground's map in the estimate. EPS: 0.5."""


class RCAConfig(TagConfig):
    """Train a classifier with regional contrast and aggregation."""

    method: Literal["rca"] = "rca"
    variant: Variant = "paper"
    """`released`: as RCA's code has it. A memory that begins as noise and whose entries are moved in turn, whatever
    photograph a region is of; regions by the softmax over categories; contrast of a projection with it, mixed with any
    region; layers in the aggregation and no softmax. Not taken over: stacks of convolutions before each head."""
    memory: MemoryConfig = MemoryConfig()
    contrast: ContrastConfig | None = ContrastConfig()
    """Null: without."""
    aggregation: AggregationConfig | None = AggregationConfig()
    """Null: without; the second classifier then sees the features alone."""
    accumulation: AccumulationConfig | None = None
    """Null: without; maps are those of the trained network."""
    saliency_loss: SaliencyLossConfig | None = None
    """Null: without; RCA+EPS has it."""
    coarse_weight: float = Field(0.4, ge=0)
    """alpha_2, of the first classifier's loss. Section 4.1: 0.4."""
    training: TrainingConfig = TrainingConfig(
        epochs=30,
        batch_size=8,
        optimizer=OptimizerConfig(
            kind="sgd", base_lr=0.32, final_lr=0.0, schedule="cosine", weight_decay=5e-4, lr_scales={"features": 0.1}
        ),
    )
    """Section 4.1: 30 epochs of batches of 8 at 0.01, 0.001 for the backbone; there divided by 10 every 5 epochs, which
    comes to nothing after 15; here along a cosine."""

    @model_validator(mode="after")
    def _accumulates_something(self) -> "RCAConfig":
        if self.accumulation is None:
            return self
        if self.accumulation.start_epoch >= self.training.epochs:
            raise ValueError(f"accumulation.start_epoch must lie below training.epochs, {self.training.epochs}")
        if self.maps != MapConfig(max_side=self.maps.max_side):
            raise ValueError(
                "accumulation makes labels of the maps of training: leave maps.scales, flip and ascent out"
            )
        return self

    @property
    def uses_saliency(self) -> bool:
        """See `TagConfig.uses_saliency`."""
        return super().uses_saliency or self.saliency_loss is not None

    def build(self, features: "FeatureNetwork", tags: "Tags") -> "RegionalContrastTraining":
        """What is trained; see `TagConfig.build`."""
        from stages.pseudolabel.methods.rca.method import RegionalContrastTraining

        if self.aggregation and (few := int((tags.counts < self.aggregation.centroids).sum())):
            wanted = f"pseudolabel.aggregation.centroids, {self.aggregation.centroids}"
            print(
                f"pseudolabel: {few} of {tags.categories} categories have fewer photographs than {wanted}", flush=True
            )
        return RegionalContrastTraining(self, features, tags)
