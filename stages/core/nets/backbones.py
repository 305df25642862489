"""Builds timm's networks, and those that it lacks, as backbones that give feature maps."""

from typing import Any, cast

from torch import Tensor, nn

from stages.core.config.networks import OWN_NETWORKS, BackboneConfig, unknown_network
from stages.core.config.weights import WeightsFile
from stages.core.errors import UserError
from stages.core.nets.gray import see_gray
from stages.core.nets.lean_timm import load_timm
from stages.core.nets.resnet38 import ResNet38
from stages.core.nets.transformers import (
    class_token,
    create_transformer,
    feature_size,
    is_transformer,
    patch_size,
    quarter_channels,
    quarter_maps,
    run_transformer,
)
from stages.core.nets.weights import load_weights

_STAGES = 4
_STRIDE = 32
"""Of a convolutional network's last map, where nothing else is asked for."""
_FIRST_STRIDE = 4
_HARDLY_ANY = 1 / 4096
"""Width of a VGG's fully connected layers, which are left out: at timm's, drawing their 120 million weights takes
seconds."""


def build_backbone(config: BackboneConfig, weights: WeightsFile | None = None) -> nn.Module:
    """A network whose `forward` gives the last feature map (B, L, h, w): timm's, or one of `OWN_NETWORKS`.

    L is its `embedding_size`; its parameters carry timm's own names; its `card` is `config`. Of a vision transformer
    (`is_transformer`) the map is the one that `config.transformer` asks for; `stages.core.nets.transformers` reads its
    class token and attention too.

    Args:
        config: Which network.
        weights: Where its weights come from; by default they are random, from torch's generator.

    Raises:
        UserError: timm has no such network, or not at this output stride, or not with such dilation, or the weights do
            not fit it, or they are given beside a field for random ones.
    """
    timm, is_own = load_timm(), config.name in OWN_NETWORKS
    if not is_own and not timm.is_model(config.name):
        raise unknown_network("backbone.name", config.name, [*timm.list_models(), *OWN_NETWORKS])
    try:
        backbone = (None if is_own else create_transformer(config)) or _create_convolutional(config)
    except (TypeError, NotImplementedError, AssertionError, RuntimeError) as error:
        stride, reason = config.output_stride or _STRIDE, str(error) or "timm has it at another one only"
        raise UserError(f"backbone {config.name} cannot be built at output stride {stride}: {reason}") from None
    if config.gray:
        see_gray(backbone)
    if weights:
        _refuse_fields_of_random_weights(config)
        load_weights(backbone, weights)
    return backbone


def _refuse_fields_of_random_weights(config: BackboneConfig) -> None:
    if config.gray:
        raise UserError("backbone.gray: the weights are given, and learnt in color; set it to false")
    if config.transformer and config.transformer.init_gain:
        raise UserError("backbone.transformer.init_gain: the weights are given; set it to null")


def _create_convolutional(config: BackboneConfig) -> nn.Module:
    if config.transformer:
        raise UserError(f"backbone.transformer: {config.name} is no vision transformer; set it to null")
    stride = config.output_stride or _STRIDE
    if config.name.startswith("vgg"):
        network = _create_vgg(config, stride)
    elif config.name in OWN_NETWORKS:
        network = _create_own(config)
    else:
        network = load_timm().create_model(
            config.name, output_stride=stride, num_classes=0, global_pool="", drop_path_rate=config.drop_path
        )
    network.card = config
    if not config.zero_init_last:
        _start_norms_at_one(network)
    if config.dilated_first_blocks:
        _dilate_stages(network, config.name, stride)
    return cast(nn.Module, network)


def _create_own(config: BackboneConfig) -> Any:
    _refuse_drop_path(config)
    return ResNet38(config)


def _refuse_drop_path(config: BackboneConfig) -> None:
    if config.drop_path:
        raise UserError(f"backbone.drop_path: {config.name} has no paths to drop; set it to 0")


def _create_vgg(config: BackboneConfig, stride: int) -> Any:
    """A VGG without its fully connected layers, whose pools beyond a stride keep their resolution.

    Convolutions behind such a pool are dilated.

    Source: Chen et al., Semantic Image Segmentation with Deep Convolutional Nets and Fully Connected CRFs, ICLR 2015,
    section 3.1; pools of 3 x 3 from its code.
    """
    _refuse_drop_path(config)
    network = load_timm().create_model(config.name, num_classes=0, global_pool="", mlp_ratio=_HARDLY_ANY)
    network.pre_logits = nn.Identity()
    reached, rate = 1, 1
    for number, layer in enumerate(network.features):
        if isinstance(layer, nn.MaxPool2d) and reached < stride:
            reached *= 2
        elif isinstance(layer, nn.MaxPool2d):
            rate *= 2
            network.features[number] = nn.MaxPool2d(3, stride=1, padding=1)
        elif isinstance(layer, nn.Conv2d):
            layer.dilation = layer.padding = (rate, rate)
    return network


def _start_norms_at_one(network: nn.Module) -> None:
    """Undo timm's zeros, the only weights of norms that are 0 throughout; whatever was drawn stays as it is."""
    for name, weight in network.named_parameters():
        if name.endswith(".weight") and weight.ndim == 1 and not weight.is_meta and not weight.any():
            nn.init.ones_(weight)


def _dilate_stages(network: nn.Module, name: str, stride: int) -> None:
    """Dilate all wide convolutions of a ResNet's stage alike, those of its first block too.

    Source: ViCE's code (2 in the third, 4 in the fourth stage at stride 8).
    """
    for number in range(_STAGES):
        if (stage := getattr(network, f"layer{number + 1}", None)) is None:
            raise UserError(f"backbone.dilated_first_blocks: {name} is no ResNet; set it to false")
        rate = max(_FIRST_STRIDE * 2**number // stride, 1)
        for layer in stage.modules():
            if rate > 1 and isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                layer.dilation = layer.padding = (rate, rate)


def map_stride(backbone: nn.Module) -> int:
    """Pixels of the image per cell of the backbone's last map."""
    if is_transformer(backbone):
        return patch_size(backbone)
    return cast(BackboneConfig, backbone.card).output_stride or _STRIDE


def embedding_size(backbone: nn.Module) -> int:
    """L, channels of the backbone's last map."""
    return feature_size(backbone) if is_transformer(backbone) else cast(int, backbone.num_features)


def embed_images(backbone: nn.Module, images: Tensor) -> Tensor:
    """One embedding (B, L) per image: its class token, or the mean of the map of a network that has none."""
    if is_transformer(backbone) and cast(Any, backbone).cls_token is not None:
        return class_token(backbone, run_transformer(backbone, images))
    features: Tensor = backbone(images)
    return features.mean((2, 3))


def stage_maps(backbone: nn.Module, images: Tensor) -> list[Tensor]:
    """Maps (B, C_s, h_s, w_s) of the last four stages, finest first, the last as the backbone's own.

    A vision transformer has no stages: its maps come from four depths, all at the stride of its patch.
    """
    if is_transformer(backbone):
        return quarter_maps(backbone, images)
    last, maps = cast(Any, backbone).forward_intermediates(images, indices=_STAGES)
    return [*maps[:-1], last]


def stage_channels(backbone: nn.Module) -> list[int]:
    """C_s of `stage_maps`."""
    if is_transformer(backbone):
        return quarter_channels(backbone)
    stages = cast(list[dict[str, int]], backbone.feature_info)[-_STAGES:-1]
    return [stage["num_chs"] for stage in stages] + [embedding_size(backbone)]
