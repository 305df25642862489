"""One embedding per photograph: that of its salient object."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.core.artifacts.features import Embeddings, Feature
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import SALIENT, LabelMaps, open_label_maps
from stages.core.artifacts.models import Model
from stages.core.config.views import InputCard
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.images.crops import resize_short_side
from stages.core.images.inference import iterate_batches
from stages.core.nets.objects import ObjectMaps, ObjectNetwork, restore_objects
from stages.core.progress import Progress
from stages.core.whitening import whiten
from stages.extract.methods.salient_object.config import SalientObjectConfig

OBJECT = 1
"""Region id of the salient object."""


def extract(config: SalientObjectConfig, model: Model, index: ImageIndex) -> Embeddings:
    """The objects of all photographs in the index's order; see `StreamedVectors.extract`.

    Raises:
        UserError: The model has no saliency head and the mask should come from it.
    """
    if config.mask == "saliency_head" and model.card.parts.saliency is None:
        raise UserError(
            f"extract.mask: the model of {model.card.method} has no saliency head; take mask: saliency_maps"
        )
    network = restore_objects(*model).to(inference_device()).to(memory_format=torch.channels_last).eval()
    rows = _embed(config, network, model.card.input, index)
    if config.whiten:
        return Embeddings(_whiten(rows, config.whiten), config.whiten, "whitened")
    return Embeddings(rows, network.size, network.space)


def _embed(
    config: SalientObjectConfig, network: ObjectNetwork, expects: InputCard, index: ImageIndex
) -> Iterator[Feature]:
    maps = open_label_maps("saliency") if config.mask == "saliency_maps" else None
    prepare = partial(resize_short_side, side=config.short_side)
    found = 0
    with torch.inference_mode(), Progress(len(index), "objects") as progress:
        for seen in iterate_batches(index, prepare, expects, inference_device(), batch_size=1):
            photo, objects = index[seen.positions[0]], network(seen.images)
            mask = _find_object(config, objects, maps, photo.image_id)
            if mask.any():
                found += 1
                area = round(photo.height * photo.width * float(mask.float().mean()))
                yield Feature(photo.image_id, OBJECT, area, _pool(config, objects, mask).cpu().numpy())
            progress.update(seen.positions[0] + 1)
    print(f"extract: {found} of {len(index)} photographs have a salient object")


def _find_object(config: SalientObjectConfig, objects: ObjectMaps, maps: LabelMaps | None, image_id: str) -> Tensor:
    """(H, W) bool, at the embeddings' size."""
    if maps is None:
        assert objects.salient is not None
        return torch.sigmoid(objects.salient[0]) >= config.threshold
    stored = torch.from_numpy(np.asarray(maps[image_id].map, np.float32))[None, None]
    resized = F.interpolate(stored, objects.embeddings.shape[-2:], mode="bilinear", align_corners=False)
    return (resized[0, 0] >= SALIENT).to(objects.embeddings.device)


def _pool(config: SalientObjectConfig, objects: ObjectMaps, mask: Tensor) -> Tensor:
    pixels = objects.embeddings[0, :, mask]  # (D, P)
    if config.weighting == "mean":
        return F.normalize(pixels, dim=0).mean(1)
    assert objects.salient is not None
    return F.normalize(pixels @ objects.salient[0, mask], dim=0)


def _whiten(rows: Iterator[Feature], components: int) -> Iterator[Feature]:
    features = list(rows)
    vectors = whiten(np.stack([feature.embedding for feature in features]), components, "extract.whiten")
    for feature, vector in zip(features, vectors, strict=True):
        yield feature._replace(embedding=vector)
