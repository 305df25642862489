"""Coherence of pixel embeddings: their cosine within a class, and between two views of the same place.

Source: LUSS, table 5 and section 4: cat.cos is the mean cosine "between the pixel embeddings and the averaged
embeddings over all pixels of certain categories", view.cos that "among pixels between two views".
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.models import Model, read_model
from stages.core.config.views import CropConfig, InputCard, MultiCropConfig
from stages.core.engine.devices import inference_device
from stages.core.images.crops import resize_short_side
from stages.core.images.dataset import EpochBatches, ViewDataset, augment_batch, load_batches, steps_per_epoch
from stages.core.images.inference import iterate_batches
from stages.core.images.view_overlap import overlap_grid, sample_at
from stages.core.nets.features import FeatureNetwork, restore_features
from stages.core.nets.heads import ProjectionHead
from stages.core.progress import track
from stages.evaluate import CoherenceConfig
from stages.evaluate.evaluators.distance_matching import resize_nearest
from stages.evaluate.inputs import Inputs

_BATCH = 32
_SEED = 0


class Coherence(NamedTuple):
    """Mean cosines in percent; the paper prints them as fractions."""

    cat_cos: float
    view_cos: float


class PixelEmbeddings(nn.Module):
    """Pixel embeddings as unit vectors, projected by the model's head M where it has one, as in the paper."""

    def __init__(self, features: FeatureNetwork, projector: ProjectionHead | None, size: int) -> None:
        super().__init__()
        self.features, self.projector, self.size = features, projector, size

    def embed(self, features: Tensor) -> Tensor:
        """(B, L, h, w) features to (B, h, w, D)."""
        pixels = features.float().permute(0, 2, 3, 1)
        if self.projector is None:
            return F.normalize(pixels, dim=3)
        z: Tensor = self.projector(pixels.flatten(0, 2))
        return z.reshape(*pixels.shape[:3], self.size)


@torch.inference_mode()
def measure_coherence(inputs: Inputs, split: str, rules: CoherenceConfig, ignore: int) -> Coherence:
    """Both cosines of the pretrained network on the photographs of a split that have masks.

    Args:
        inputs: The artifacts.
        split: Whose photographs.
        rules: How views are drawn.
        ignore: True id of pixels that do not count.
    """
    model = read_model("pretrain", ["backbone"])
    network = _restore(model).to(inference_device()).eval()
    expects = model.card.input
    index = inputs.images.with_ids(image_id for image_id, _ in inputs.masked(split))
    crops = (CropConfig(count=2, size=expects.size, scale=rules.scale),)
    views = MultiCropConfig.model_validate({"crops": crops, "mean": expects.mean, "std": expects.std})
    return Coherence(
        100 * _compare_in_classes(network, expects, inputs, (index, ignore)),
        100 * _compare_in_views(network, views, index),
    )


def cosine_with_mean(sums: Tensor, counts: Tensor) -> float:
    """Mean cosine between unit vectors and the mean of their class, over all vectors.

    The cosines of n vectors with their mean m add up to n |m|, which is the length of their sum.

    Args:
        sums: (C, D) sum of each class's unit vectors.
        counts: (C,) how many these are.
    """
    return float(sums.norm(dim=1).sum() / counts.sum().clamp_min(1))


def _restore(model: Model) -> PixelEmbeddings:
    features, config = restore_features(*model), model.card.parts.projector
    if config is None:
        return PixelEmbeddings(features, None, features.size)
    projector = ProjectionHead(features.size, config)
    projector.load_state_dict(dict(model.states["projector"]))
    return PixelEmbeddings(features, projector, config.projected)


def _compare_in_classes(
    network: PixelEmbeddings, expects: InputCard, inputs: Inputs, masked: tuple[ImageIndex, int]
) -> float:
    (index, ignore), device = masked, inference_device()
    sums = torch.zeros(inputs.classes + 1, network.size, dtype=torch.float64)
    counts = torch.zeros(inputs.classes + 1, dtype=torch.int64)
    prepare = partial(resize_short_side, side=expects.size)
    for seen in track(iterate_batches(index, prepare, expects, device, 1), len(index), label="cosines in classes"):
        pixels = network.embed(network.features(seen.images))[0].cpu()  # (h, w, D)
        mask = inputs.labels.read_mask(index[seen.positions[0]].image_id).astype(np.uint16)
        true = resize_nearest(mask, (pixels.shape[0], pixels.shape[1])).astype(np.int64)
        counted = (true > 0) & (true != ignore) & (true <= inputs.classes)
        ids = torch.from_numpy(true[counted])
        sums.index_add_(0, ids, pixels[torch.from_numpy(counted)].double())
        counts += torch.bincount(ids, minlength=len(counts))
    return cosine_with_mean(sums, counts)


def _compare_in_views(network: PixelEmbeddings, views: MultiCropConfig, index: ImageIndex) -> float:
    device = inference_device()
    batches = EpochBatches(len(index), _BATCH, _SEED, range(steps_per_epoch(len(index), _BATCH)))
    total, count = 0.0, 0
    for raw in track(load_batches(ViewDataset(index, views, {}, _SEED), batches, device), label="cosines in views"):
        batch = augment_batch(raw, views, device)
        overlap = overlap_grid(batch.windows[:, 0], batch.windows[:, 1])
        first, second = (
            network.embed(sample_at(network.features(view), places))  # (B, G, G, D)
            for view, places in zip(batch.views, overlap.places, strict=True)
        )
        cosines = (first * second).sum(3)[overlap.exists]
        total, count = total + float(cosines.double().sum()), count + cosines.numel()
    return total / max(count, 1)
