"""Parameters of a backbone that is taken as it is."""

from typing import Literal

from pydantic import Field

from stages.core.config.networks import BackboneConfig, DecoderConfig
from stages.core.config.views import IMAGENET_MEAN, IMAGENET_STD, InputCard
from stages.core.config.weights import WeightsFile
from stages.pretrain.config import PretrainConfig


class NoPretrainingConfig(PretrainConfig):
    """A backbone that is not trained: with the weights of a file, or random ones."""

    method: Literal["none"] = "none"
    backbone: BackboneConfig = BackboneConfig()
    decoder: DecoderConfig | None = None
    """A decoder with random weights upon it, for `finetune` to train; null for none."""
    weights: WeightsFile | None = None
    """Weights to take; null for random ones."""
    whole_model: bool = False
    """The weights are the model.safetensors of an `artifacts/pretrain`, copied from where it was trained: take it with
    its decoder and heads, as model.json beside it describes them. The other fields are then not used."""
    seed: int = Field(0, ge=0)
    """Of random weights."""
    image_size: int = Field(224, ge=8)
    """Side in pixels that the weights were trained at."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Channel means that the weights expect to be subtracted, of values in 0..1. ImageNet's."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Channel deviations that the weights expect to be divided by. ImageNet's."""

    def pretrain(self) -> None:
        """Write the backbone, or the whole model that the weights belong to; see `PretrainConfig.pretrain`."""
        from stages.pretrain.methods.none.method import import_backbone, import_whole_model

        if self.whole_model:
            import_whole_model(self)
        else:
            import_backbone(self)

    @property
    def input_card(self) -> InputCard:
        """What the network expects to see."""
        return InputCard(mean=self.mean, std=self.std, size=self.image_size)
