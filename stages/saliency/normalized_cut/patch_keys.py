"""A vision transformer's vectors of the patches of photographs of any sizes, in batches."""

from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from stages.core.config.networks import BackboneConfig
from stages.core.config.views import InputCard
from stages.core.config.weights import WeightsFile
from stages.core.engine.devices import inference_device, seed_everything
from stages.core.errors import UserError
from stages.core.image_files import UInt8
from stages.core.images.inference import normalize
from stages.core.nets.backbones import build_backbone
from stages.core.nets.transformers import is_transformer, patch_size
from stages.core.network_mapping import loaded_once, turn


@loaded_once
def restore_transformer(backbone: BackboneConfig, weights: WeightsFile | None) -> nn.Module:
    """The network, on the device for inference; the shards and threads of one process share it.

    Raises:
        UserError: It is no vision transformer, its blocks have no such vectors, or the weights do not fit it.
    """
    seed_everything(0)
    plain = backbone.model_copy(update={"transformer": None})
    if not is_transformer(build_backbone(plain)):
        raise UserError(
            f"saliency.backbone.name = {backbone.name}: has no keys, only vision transformers have; "
            "take one, as vit_small_patch16_224"
        )
    return build_backbone(backbone, weights).to(inference_device()).eval()


def find_problem(network: nn.Module, image: UInt8) -> UserError | None:
    """Why a photograph (H, W, 3) cannot be divided into patches, if so."""
    (height, width), patch = image.shape[:2], patch_size(network)
    if min(height, width) >= patch:
        return None
    return UserError(f"{width}x{height} pixels are smaller than a patch of {patch}: nothing to cut")


def describe_patches(network: nn.Module, expects: InputCard, images: Sequence[UInt8]) -> list[npt.NDArray[np.float32]]:
    """The vectors (h, w, D) of each photograph's patches.

    Args:
        network: Of `restore_transformer`.
        expects: Statistics that it wants; photographs come to this longer side, of whole patches.
        images: (H, W, 3) each; those that come to the same size pass the network together.
    """
    by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    resized = [resize_to_patches(image, expects.size, patch_size(network)) for image in images]
    for position, image in enumerate(resized):
        by_shape[image.shape].append(position)
    found: dict[int, npt.NDArray[np.float32]] = {}
    for positions in by_shape.values():
        vectors = _pass(network, expects, [resized[position] for position in positions])
        found.update(zip(positions, vectors.numpy(), strict=True))
    return [found[position] for position in range(len(images))]


def resize_to_patches(image: UInt8, side: int, patch: int) -> UInt8:
    """Resize a photograph (H, W, 3) to a longer side of about `side` pixels, and whole patches, at least one."""
    height, width = image.shape[:2]
    scale = side / max(height, width) / patch
    rows, columns = (max(1, round(length * scale)) for length in (height, width))
    shrinks = rows * patch < height
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (columns * patch, rows * patch), interpolation=interpolation), np.uint8)


def _pass(network: nn.Module, expects: InputCard, images: list[UInt8]) -> Tensor:
    """Vectors (B, h, w, D) of photographs of one size."""
    pixels = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy()).to(inference_device())
    with turn():
        features: Tensor = network(normalize(pixels, expects))
    return features.permute(0, 2, 3, 1).float().cpu()
