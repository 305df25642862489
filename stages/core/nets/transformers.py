"""Vision transformers as backbones: tokens, keys and attention of any block, for images of any size.

Networks are timm's `VisionTransformer` and `Eva` (DINOv3, and what else has rotary positions), with timm's names of
parameters. `build_backbone` gives one as it gives any backbone: called with images it returns the map of features that
`backbone.transformer` asks for. `run_transformer` gives its other outputs.
"""

from collections.abc import Sequence
from types import MethodType
from typing import Any, NamedTuple, cast

import torch
from einops import rearrange
from torch import Tensor, nn

from stages.core.config.networks import BackboneConfig, TransformerConfig
from stages.core.errors import UserError
from stages.core.nets.self_attention import is_plain_block
from stages.core.nets.transformer_pass import BlockRequest, run_blocks

_QUARTERS = (1 / 4, 1 / 2, 3 / 4)


class TransformerOutput(NamedTuple):
    """Features, prefix tokens and attention of a vision transformer for images (B, 3, H, W).

    h and w count the patches along each side: H / patch and W / patch, rounded up. D is the width of the network, P the
    number of its tokens before the patches: the class token, where it has one, and its registers, in this order.
    """

    features: Tensor
    """(B, L, h, w): the patches' features of the configured blocks, concatenated in their order; L = blocks x D."""
    prefix: Tensor
    """(B, P, L): the same features of the class token and the registers."""
    attention: Tensor | None
    """(B, heads, P, h, w): which share of its attention each of the P tokens gives to each patch, in the block that was
    asked for; None where none was. Over the patches it sums to less than 1: the rest goes to the P tokens."""


def create_transformer(config: BackboneConfig) -> nn.Module | None:
    """A vision transformer whose `forward` gives `TransformerOutput.features`, or None if the network is no such one.

    Raises:
        UserError: It lacks a block or a facet that is asked for, or cannot be laid out for the image size.
    """
    import timm
    from timm.layers import PatchEmbed
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    wanted = config.transformer or TransformerConfig()
    asked = {"img_size": wanted.image_size, "patch_size": wanted.patch_size, "num_heads": wanted.heads}
    options: dict[str, Any] = {name: value for name, value in asked.items() if value}
    options |= {"num_classes": 0, "global_pool": "", "drop_path_rate": config.drop_path}
    try:
        network = timm.create_model(config.name, dynamic_img_size=True, dynamic_img_pad=True, **options)
    except TypeError:  # other networks know no images of any size
        return None
    if type(network) not in (VisionTransformer, Eva) or type(network.patch_embed) is not PatchEmbed:
        return None
    network.card = config
    _check(network)
    if wanted.init_gain:
        _draw_linear_layers(network, wanted.init_gain)
    # Bound to the network, not wrapped around it: its parameters keep timm's own names. A deep copy is bound anew.
    network.forward = MethodType(_give_features, network)
    return cast(nn.Module, network)


def is_transformer(backbone: nn.Module) -> bool:
    """Whether a backbone of `build_backbone` is a vision transformer."""
    return hasattr(backbone, "num_prefix_tokens")


def run_transformer(backbone: nn.Module, images: Tensor, attention_block: int | None = None) -> TransformerOutput:
    """Features, prefix tokens and attention of a batch, in one pass.

    Args:
        backbone: A vision transformer of `build_backbone`; its `card.transformer` says which blocks and facet.
        images: (B, 3, H, W) normalized; they are padded with 0 at the bottom and right to whole patches.
        attention_block: Block whose attention is wanted, counted from 0, or from -1 backwards; None for no attention.

    Raises:
        UserError: The network has no such block, or no token before its patches whose attention could be read.
    """
    network, attending = cast(Any, backbone), None
    if attention_block is not None:
        check_attention(network)
        (attending,) = _count(network, [attention_block], "attention")
    seen = run_blocks(network, images, _wanted_of(network), BlockRequest(_feature_blocks(network), attending))
    joined, prefix = torch.cat(seen.features, -1), network.num_prefix_tokens
    attention = None
    if seen.attention is not None:
        attention = rearrange(seen.attention[..., prefix:], "b heads p (h w) -> b heads p h w", h=seen.grid[0])
    return TransformerOutput(_lay_out(joined[:, prefix:], seen.grid), joined[:, :prefix], attention)


def class_token(backbone: nn.Module, view: TransformerOutput) -> Tensor:
    """(B, L): the features of the class token.

    Raises:
        UserError: The network has none.
    """
    check_class_token(backbone)
    return view.prefix[:, 0]


def class_attention(backbone: nn.Module, view: TransformerOutput) -> Tensor:
    """(B, heads, h, w): the class token's attention to each patch; its mean over dimension 1 is that of all heads.

    Raises:
        UserError: The network has no class token.
    """
    check_class_token(backbone)
    assert view.attention is not None, "run_transformer was asked for no attention"
    return view.attention[:, :, 0]


class ClassTokens(nn.Module):
    """Images (B, 3, H, W) to the class tokens (B, L) of a vision transformer.

    Raises:
        UserError: The backbone is no vision transformer, or has no class token.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        if not is_transformer(backbone):
            raise UserError(f"{_name_of(backbone)} has no class token; only vision transformers have")
        check_class_token(backbone)
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, L)."""
        return class_token(self.backbone, run_transformer(self.backbone, images))


def quarter_maps(backbone: nn.Module, images: Tensor) -> list[Tensor]:
    """Maps of four blocks in place of a decoder's four stages; all have the stride of a patch.

    Returns:
        Maps (B, D, h, w) of the tokens behind a quarter, half and three quarters of the blocks, and the features
        (B, L, h, w).
    """
    network = cast(Any, backbone)
    blocks = tuple(max(round(share * len(network.blocks)) - 1, 0) for share in _QUARTERS)
    seen = run_blocks(network, images, _wanted_of(network), BlockRequest(_feature_blocks(network), tokens=blocks))
    tokens = [*seen.tokens, torch.cat(seen.features, -1)]
    return [_lay_out(each[:, network.num_prefix_tokens :], seen.grid) for each in tokens]


def quarter_channels(backbone: nn.Module) -> list[int]:
    """Channels of `quarter_maps`."""
    return [cast(Any, backbone).embed_dim] * len(_QUARTERS) + [feature_size(backbone)]


def patch_size(backbone: nn.Module) -> int:
    """Pixels of the image along one side of a patch."""
    return int(cast(Any, backbone).patch_embed.patch_size[0])


def feature_size(backbone: nn.Module) -> int:
    """L, channels of the features."""
    return int(cast(Any, backbone).embed_dim) * len(_wanted_of(backbone).blocks)


def _draw_linear_layers(network: nn.Module, gain: float) -> None:
    """Draw their weights from a normal distribution of standard deviation gain / root of the inputs."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=gain * layer.in_features**-0.5)


def _give_features(network: nn.Module, images: Tensor) -> Tensor:
    return run_transformer(network, images).features


def _lay_out(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, h w, C) to (B, C, h, w)."""
    return rearrange(tokens, "b (h w) c -> b c h w", h=grid[0])


def _wanted_of(network: Any) -> TransformerConfig:
    return cast(BackboneConfig, network.card).transformer or TransformerConfig()


def _feature_blocks(network: Any) -> tuple[int, ...]:
    return _count(network, _wanted_of(network).blocks, "backbone.transformer.blocks")


def _count(network: Any, blocks: Sequence[int], what: str) -> tuple[int, ...]:
    """The blocks, counted from 0."""
    depth = len(network.blocks)
    for block in blocks:
        if not -depth <= block < depth:
            raise UserError(
                f"{what}: block {block}, but {network.card.name} has blocks 0 to {depth - 1} (or -1 to -{depth})"
            )
    return tuple(block % depth for block in blocks)


def _name_of(backbone: nn.Module) -> str:
    return cast(BackboneConfig, backbone.card).name


def _check(network: Any) -> None:
    _feature_blocks(network)
    name, config = network.card.name, _wanted_of(network)
    if config.facet != "tokens" and not all(map(is_plain_block, network.blocks)):
        raise UserError(f"backbone.transformer.facet = {config.facet}: the blocks of {name} have none; take tokens")
    if config.image_size and config.image_size % patch_size(network):
        raise UserError(
            f"backbone.transformer.image_size = {config.image_size}: not a multiple of the patches of {name}, "
            f"{patch_size(network)} pixels"
        )


def check_attention(backbone: nn.Module) -> None:
    """Check that a vision transformer has attention that can be read.

    Raises:
        UserError: It has no token before its patches, or no block like timm's own.
    """
    network = cast(Any, backbone)
    if not network.num_prefix_tokens:
        raise UserError(f"attention: {network.card.name} has neither class token nor registers to read it of")
    if not all(map(is_plain_block, network.blocks)):
        raise UserError(f"attention: the blocks of {network.card.name} have none that could be read")


def check_class_token(backbone: nn.Module) -> None:
    """Check that a vision transformer has a class token.

    Raises:
        UserError: It has none.
    """
    if cast(Any, backbone).cls_token is None:
        raise UserError(f"{_name_of(backbone)} has no class token; take its patches' features")
