"""Backbones: timm's networks by name, as maps of features."""

import difflib
from typing import Any, cast

from torch import Tensor, nn

from stages.core.config.networks import BackboneConfig
from stages.core.config.weights import WeightsFile
from stages.core.errors import UserError
from stages.core.nets.weights import load_weights

_STAGES = 4


def build_backbone(config: BackboneConfig, weights: WeightsFile | None = None) -> nn.Module:
    """A timm network whose `forward` gives the last feature map (B, L, h, w).

    Its `num_features` is L; its parameters carry timm's own names; its `card` is `config`.

    Args:
        config: Which network.
        weights: Where its weights come from; by default they are random, from torch's generator.

    Raises:
        UserError: timm has no such network, or not at this output stride, or the weights do not fit it.
    """
    import timm

    if not timm.is_model(config.name):
        close = difflib.get_close_matches(config.name, timm.list_models(), n=3)
        hint = f"; close names: {', '.join(close)}" if close else ""
        raise UserError(f"backbone.name = {config.name!r}: timm has no such network{hint}")
    options = {"num_classes": 0, "global_pool": "", "drop_path_rate": config.drop_path}
    try:
        backbone = _create_transformer(config, options) or timm.create_model(
            config.name, output_stride=config.output_stride, **options
        )
    except (TypeError, NotImplementedError, AssertionError, RuntimeError) as error:
        stride = config.output_stride
        raise UserError(f"backbone {config.name} cannot be built at output stride {stride}: {error}") from None
    backbone.card = config
    if weights:
        load_weights(backbone, weights)
    return cast(nn.Module, backbone)


def _create_transformer(config: BackboneConfig, options: dict[str, Any]) -> nn.Module | None:
    """A vision transformer of one patch size that takes images of any size, or None if the network is no such one."""
    import timm

    try:
        network = timm.create_model(config.name, dynamic_img_size=True, dynamic_img_pad=True, **options)
    except TypeError:
        return None
    if not hasattr(network, "patch_embed"):
        return None
    patch = network.patch_embed.patch_size[0]
    if patch != config.output_stride:
        raise UserError(
            f"backbone.output_stride = {config.output_stride}: {config.name} has patches of {patch} pixels, which are "
            f"its stride"
        )
    # A hook and not a wrapper: the parameters keep timm's own names.
    network.register_forward_hook(_lay_out_tokens)
    return cast(nn.Module, network)


def _lay_out_tokens(network: nn.Module, images: tuple[Tensor], tokens: Tensor) -> Tensor:
    """Tokens (B, N, L) of the patches as a map (B, L, h, w); class and register tokens are left out."""
    patch = cast(Any, network).patch_embed.patch_size[0]
    height, width = (-(-side // patch) for side in images[0].shape[2:])
    return tokens[:, -height * width :].transpose(1, 2).reshape(len(tokens), -1, height, width)


def embedding_size(backbone: nn.Module) -> int:
    """L, channels of the backbone's last map."""
    return cast(int, backbone.num_features)


def stage_maps(backbone: nn.Module, images: Tensor) -> list[Tensor]:
    """Maps (B, C_s, h_s, w_s) of the last four stages, finest first, the last as timm's `forward_features`."""
    last, maps = cast(Any, backbone).forward_intermediates(images, indices=_STAGES)
    return [*maps[:-1], last]


def stage_channels(backbone: nn.Module) -> list[int]:
    """C_s of the last four stages, finest first."""
    stages = cast(list[dict[str, int]], backbone.feature_info)[-_STAGES:-1]
    return [stage["num_chs"] for stage in stages] + [embedding_size(backbone)]
