"""No pretraining: a backbone from a file of weights, or with random weights as a floor."""

from typing import Any, Literal

from pydantic import Field

from stages.core.artifacts.models import InputCard
from stages.core.nets.backbones import BackboneConfig
from stages.core.nets.weights import WeightsFile
from stages.core.params import Params


class NoPretrainingConfig(Params):
    """Take a backbone as it is."""

    method: Literal["none"] = "none"
    backbone: BackboneConfig = BackboneConfig()
    weights: WeightsFile | None = None
    """Weights to take; null for random ones."""
    whole_model: bool = False
    """The weights are the model.safetensors of an `artifacts/pretrain`, copied from where it was trained: take it with
    its decoder and heads, as model.json beside it describes them. The other fields are then not used."""
    seed: int = Field(0, ge=0)
    """Of random weights."""
    image_size: int = Field(224, ge=8)
    """Side in pixels that the weights were trained at."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Channel means that the weights expect to be subtracted, of values in 0..1. ImageNet's."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Channel deviations that the weights expect to be divided by. ImageNet's."""

    @property
    def parts_card(self) -> dict[str, Any]:
        """The parts that are exported, with their configs."""
        return {"backbone": self.backbone.model_dump(mode="json")}

    @property
    def input_card(self) -> InputCard:
        """What the network expects to see."""
        return {"mean": list(self.mean), "std": list(self.std), "size": self.image_size}
