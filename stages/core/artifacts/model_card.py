"""model.json, the card of a model artifact: its parts, how it was trained, and the input that it expects."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stages.core.config.networks import (
    AttentionConfig,
    BackboneConfig,
    ClassifierConfig,
    DecoderConfig,
    FeatureMap,
    HeadConfig,
    ProjectionConfig,
    PrototypesConfig,
)
from stages.core.config.segmenter import SegmenterCard
from stages.core.config.views import InputCard
from stages.core.config.weights import Origin
from stages.core.errors import UserError


class _Card(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PartsCard(_Card):
    """The config that each part of the model was built from; null for parts that it does not have."""

    backbone: BackboneConfig
    decoder: DecoderConfig | None = Field(None, discriminator="kind")
    attention: AttentionConfig | None = None
    projector: ProjectionConfig | None = None
    prototypes: PrototypesConfig | None = None
    embedding: ClassifierConfig | None = None
    head: HeadConfig | None = None
    saliency: ClassifierConfig | None = None


PARTS = tuple(PartsCard.model_fields)
"""Names of parts, which are the prefixes of the keys in model.safetensors, in their order there."""


class StartCard(_Card):
    """Where the weights came from before training."""

    origin: Origin | Literal["random"] = "random"
    sha256: str | None = None
    """Of the file of weights; null for random ones."""
    license: str | None = None
    """Of the file of weights, empty where nobody said it; null for random ones."""


class PhotographCounts(_Card):
    """How many photographs of the train split a method could learn from."""

    used: int
    left_out: int


class ModelCard(_Card):
    """The content of model.json."""

    contract: str = ""
    """Filled in when the model is written."""
    stage: str = ""
    """Filled in when the model is written."""
    method: str
    parts: PartsCard
    feature_map: FeatureMap
    """The map that heads, attention and clusters belong to."""
    output_stride: int
    """Pixels of the image per cell of the backbone's last map."""
    embedding_size: int
    """D, channels of the feature map."""
    input: InputCard
    start: StartCard
    labels_used: bool
    """Whether any label reached the weights, also before this project's training."""
    params: dict[str, Any]
    """The section of params.yaml."""
    photographs: PhotographCounts | None = None
    chance: dict[str, float] | None = None
    """What columns of history.csv are while nothing has been learnt, such as ln P; null where that is not known."""
    segmenter: SegmenterCard | None = None
    """null for a model that is no segmenter."""


def encode_card(card: ModelCard) -> dict[str, Any]:
    """The card as JSON holds it; what is null is left out, except in `params`."""
    return card.model_dump(mode="json", exclude={"params"}, exclude_none=True) | {"params": card.params}


def decode_card(content: dict[str, Any], path: str) -> ModelCard:
    """The card that a JSON object describes.

    Raises:
        UserError: A field is missing, unknown or of another type; the message names `path` and the field.
    """
    try:
        return ModelCard.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {field}: {first['msg']}; delete its folder and run `dvc repro`") from None
