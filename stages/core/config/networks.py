"""Parameters of a network's parts: backbone, decoder, attention and heads.

A part that is stored in a model artifact is described there by the same config that it was built from.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from stages.core.config.params import Params
from stages.core.errors import UserError, close_names

FeatureMap = Literal["stage4", "decoder"]
"""Which map of features is meant: the backbone's last one, or the decoder's."""

Space = Literal["stage4", "decoder", "embedding", "projected", "whitened"]
"""What vectors are made of, and so what they compare with: a map's pixels (of a transformer the class token too, which
passes the same blocks), those of the embedding head, what the projection head makes of an image, or any of them
whitened, which nothing compares with."""

AttentionKind = Literal["pixel", "channel", "class_token"]

Facet = Literal["tokens", "keys", "queries", "values"]

Positions = Literal["antialiased", "plain", "dino"]

OWN_NETWORKS = ("resnet38",)
"""Names of backbones that timm does not have: ResNet-38 of Wu et al., that of AffinityNet and SEAM."""


class TransformerConfig(Params):
    """Which features of a vision transformer make its map."""

    blocks: tuple[int, ...] = Field((-1,), min_length=1)
    """Blocks whose features are concatenated, counted from 0, or from -1 backwards from the last."""
    facet: Facet = "tokens"
    """`tokens` that leave a block, or the `keys`, `queries` or `values` inside of it: what its linear layer gives, all
    heads side by side, before any norm or rotation."""
    norm: bool = True
    """The network's last norm behind tokens of earlier blocks too. DINO's and DINOv2's code (get_intermediate_layers):
    yes; hidden states of `transformers`: no."""
    positions: Positions = "antialiased"
    """How position embeddings come to another image size, bicubically: `antialiased` (timm, DINOv2 with registers),
    `plain` (`transformers`' ViT and DINOv2, MAE), or `dino` (DINO, iBOT, DINOv2: plain, and shifted by a tenth of a
    patch, see `stages.core.nets.positions`). Rotary positions (DINOv3) need none."""
    patch_size: int | None = Field(None, ge=2, le=64)
    """Side of a patch in pixels; null for timm's of this network."""
    image_size: int | None = Field(None, ge=8)
    """Side in pixels that the position embeddings are laid out for; null for timm's of this network."""
    heads: int | None = Field(None, ge=1)
    """Heads of attention; null for timm's of this network. MoCo v3's ViT-S: 12."""
    init_gain: float | None = Field(None, gt=0)
    """Random weights only: the standard deviation of the linear layers' first weights, times the root of their inputs;
    null for timm's start, 0.02 whatever the width. In a narrow network 0.02 leaves the class token with hardly more
    than the photograph's mean color."""


class BackboneConfig(Params):
    """A backbone by its name in timm, and the stride of its last feature map."""

    name: str = "resnet18"
    """timm's name of the architecture, or one of `OWN_NETWORKS`, which have random weights only."""
    output_stride: Literal[8, 16, 32] | None = None
    """Pixels of the image per cell of a convolutional network's last map; null for 32. A vision transformer's is its
    patch, whatever stands here."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Stochastic depth."""
    zero_init_last: bool = False
    """Random weights only: whether every residual block starts as the identity, with 0 as the weight of its last norm,
    as timm makes it. The networks of SwAV, LUSS and PASS and torchvision's (MaskContrast, ViCE) start with 1, and under
    LARC a weight of 0 grows by less than a hundredth a step."""
    transformer: TransformerConfig | None = None
    """Of a vision transformer: which of its features; null for the tokens of its last block."""
    dilated_first_blocks: bool = False
    """Whether the first block of a stage that keeps its resolution is dilated as those behind it (ViCE), and not as the
    stage before (torchvision, timm). ResNets only; a vision transformer has none."""
    gray: bool = False
    """Random weights only: whether the network sees photographs in gray, which it makes of their colors itself. From
    few photographs what views share first of all is color, and then nothing else is learnt."""


def unknown_network(field: str, name: str, networks: Iterable[str]) -> UserError:
    """What to raise where `field` names a backbone that is none of timm's `networks`."""
    return UserError(f"{field} = {name!r}: timm has no such network{close_names(name, networks)}")


class DeepLabV3PlusConfig(Params):
    """DeepLabV3+: atrous pyramid pooling of the last stage, refined by the first one."""

    kind: Literal["deeplabv3plus"] = "deeplabv3plus"
    form: Literal["original", "vice"] = "original"
    """`vice`: ViCE's code, always separable, at stride 4: batch norm behind the ReLU of separable convolutions, a 3x3
    projection of the pyramid without ReLU, corners aligned, weights from Kaiming's normal distribution."""
    channels: int = Field(256, ge=1)
    """D, of the pyramid and of the result. Chen et al. 2018: 256."""
    low_level: int = Field(48, ge=1)
    """Channels that the first stage is reduced to. Chen et al. 2018, section 4.1: 48."""
    output_stride: Literal[4, 8, 16, 32] = 4
    """Pixels of the image per cell of the result. Chen et al. 2018: 4; LUSS's cheaper DeepLabV3+*: 16 for ResNet-50 and
    8 for ResNet-18, found by counting its multiply-adds."""
    rates: tuple[int, int, int] = (6, 12, 18)
    """Of the atrous convolutions. Chen et al. 2018: 6, 12, 18 on a last stage of stride 16; twice that at stride 8."""
    separable: bool = False
    """Depthwise separable 3x3 convolutions."""
    embedding: int = Field(0, ge=0)
    """Channels of a last 1x1 convolution, which then are D; 0 for none. ViCE: 128."""

    @model_validator(mode="after")
    def _has_the_stride_of_its_form(self) -> "DeepLabV3PlusConfig":
        if self.form == "vice" and self.output_stride != 4:
            raise ValueError("form: vice has an output_stride of 4")
        return self


class DeepLabV3Config(Params):
    """DeepLabV3: atrous pyramid pooling of the last stage."""

    kind: Literal["deeplabv3"] = "deeplabv3"
    channels: int = Field(256, ge=1)
    """D, of the pyramid and of the result. Chen et al. 2017: 256."""
    rates: tuple[int, int, int] = (12, 24, 36)
    """Of the atrous convolutions. Chen et al. 2017: 12, 24, 36 on a last stage of stride 8."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Behind the pyramid. torchvision and MaskContrast: 0.5."""


class FPNConfig(Params):
    """A feature pyramid: every stage is projected and added, from the coarsest to the finest."""

    kind: Literal["fpn"] = "fpn"
    channels: int = Field(128, ge=1)
    """D. PiCIE and ViCE: 128."""
    last_norm: bool = False
    """Batch norm without affine parameters behind the sum. ViCE: no, it starts from trained weights; from random ones
    all pixels start out so alike that its loss stays at ln P."""


DecoderConfig = Annotated[DeepLabV3PlusConfig | DeepLabV3Config | FPNConfig, Field(discriminator="kind")]


class ProjectionConfig(Params):
    """A projection head."""

    hidden: int = Field(2048, ge=0)
    """Width between the two layers, 0 for a single linear layer. SwAV, section A.1: 2048."""
    projected: int = Field(128, ge=1)
    """D, size of z. SwAV, section A.1: 128."""
    last_norm: bool = False
    """Batch norm without affine parameters before z is brought to length 1. SwAV: no; PASS: yes. With few photographs
    it keeps the embeddings apart; without it they start out so alike that SwAV's loss stays at ln P."""


class AttentionConfig(Params):
    """Attention by which pixels are pooled."""

    kind: AttentionKind
    """One weight per pixel, or one per pixel and channel, both learnt; or what the class token of the backbone attends
    to, which nothing is learnt for."""
    enlarge: int = Field(1, ge=1)
    """Times that the map is enlarged before; of a class token's attention 1."""
    block: int = -1
    """Of a class token: in which block of the backbone it attends, counted from 0, or from -1 backwards."""


class PrototypesConfig(Params):
    """Prototypes that embeddings are scored against."""

    count: int = Field(ge=2)
    """P"""


class ClassifierConfig(Params):
    """A 1x1 convolution from features to logits."""

    kind: Literal["pixel"] = Field("pixel", exclude=True)
    """Not written: a head without a kind is of this one, as all of them were once."""
    clusters: int = Field(ge=1)
    """K, channels of the logits."""
    normalize: bool = False
    """Bring every pixel's features to length 1 before."""


class MaskTransformerConfig(Params):
    """A transformer of patches and classes, whose cosines are the logits."""

    kind: Literal["mask_transformer"]
    clusters: int = Field(ge=1)
    """K, channels of the logits."""
    width: int = Field(ge=1)
    """Channels of patches and classes inside."""
    blocks: int = Field(ge=1)
    """Blocks of attention that patches and classes pass together."""
    heads: int = Field(ge=1)
    """Heads of attention; they share `width`."""
    dropout: float = Field(ge=0, lt=1)
    """Inside the blocks, in training."""


def _kind_of_head(head: Any) -> str:
    return str(head.get("kind", "pixel") if isinstance(head, dict) else head.kind)


HeadConfig = Annotated[
    Annotated[ClassifierConfig, Tag("pixel")] | Annotated[MaskTransformerConfig, Tag("mask_transformer")],
    Discriminator(_kind_of_head),
]
"""What makes logits of a map of features."""
