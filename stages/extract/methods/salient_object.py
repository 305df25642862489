"""One embedding per photograph: that of its salient object.

Source: MaskContrast, sections 3.3 (equation 2) and 4.4; weighting and whitening as options from its code.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from stages.core.artifacts.features import Feature
from stages.core.artifacts.image_index import ImageIndex, Split
from stages.core.artifacts.label_maps import SALIENT, LabelMaps, open_label_maps
from stages.core.artifacts.models import Card
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.images.crops import resize_short_side
from stages.core.images.decode import UInt8
from stages.core.images.inference import iterate_batches
from stages.core.nets.objects import Objects, restore_objects
from stages.core.params import Params
from stages.core.progress import Progress

OBJECT = 1
"""Region id of the salient object."""


class SalientObjectConfig(Params):
    """The embedding of what stands out in each photograph; photographs in which nothing does have no row."""

    method: Literal["salient_object"] = "salient_object"
    splits: tuple[Split, ...] = Field(("train",), min_length=1)
    """Splits whose photographs are described."""
    short_side: int = Field(256, ge=8)
    """Side in pixels that photographs are resized to. MaskContrast: 512 x 512, aspect not kept."""
    mask: Literal["saliency_head", "saliency_maps"] = "saliency_head"
    """Where the object is: what the model's own saliency head says, or the maps of the stage saliency."""
    threshold: float = Field(0.5, gt=0, lt=1)
    """Saliency of the head from which on a pixel is the object's. MaskContrast's code: 0.6225 (a logit of 0.5)."""
    weighting: Literal["mean", "saliency"] = "mean"
    """The mean of the pixels' unit embeddings (equation 2), or the sum of their embeddings as they are, weighted by the
    saliency head's logit (MaskContrast's code, whose published k-means numbers rest on it)."""
    whiten: int = Field(0, ge=0)
    """Principal components that the vectors are projected on and scaled to unit variance over all rows; 0 for none.
    MaskContrast's code: 32. Whitened vectors cannot be compared with pixels, so `finetune: none` does not take them."""
    dtype: Literal["float16", "float32"] = "float32"
    """Of the stored embeddings."""

    @model_validator(mode="after")
    def _weights_exist(self) -> "SalientObjectConfig":
        if self.weighting == "saliency" and self.mask == "saliency_maps":
            raise ValueError("weighting: saliency takes the logits of the saliency head; set mask: saliency_head")
        return self

    def prepare(self, image: UInt8) -> UInt8:
        """Resize a photograph to the side that it is described at."""
        return resize_short_side(image, self.short_side)

    def describe(
        self, card: Card, states: Mapping[str, Mapping[str, Tensor]], index: ImageIndex
    ) -> tuple[Iterator[Feature], int]:
        """The objects of all photographs in the index's order, and the size of their embeddings.

        Raises:
            UserError: The model has no saliency head and the mask should come from it.
        """
        if self.mask == "saliency_head" and "saliency" not in states:
            raise UserError(
                f"extract.mask: the model of {card['method']} has no saliency head; take mask: saliency_maps"
            )
        network = restore_objects(card, states).to(inference_device()).to(memory_format=torch.channels_last).eval()
        rows = self._embed(network, card, index)
        return (_whiten(rows, self.whiten), self.whiten) if self.whiten else (rows, network.size)

    def _embed(self, network: torch.nn.Module, card: Card, index: ImageIndex) -> Iterator[Feature]:
        maps = open_label_maps("saliency") if self.mask == "saliency_maps" else None
        found = 0
        with torch.inference_mode(), Progress(len(index), "objects") as progress:
            for seen in iterate_batches(index, self.prepare, card["input"], inference_device(), batch_size=1):
                photo, objects = index[seen.positions[0]], network(seen.images)
                mask = self._find_object(objects, maps, photo.image_id)
                if mask.any():
                    found += 1
                    area = round(photo.height * photo.width * float(mask.float().mean()))
                    yield Feature(photo.image_id, OBJECT, area, self._pool(objects, mask).cpu().numpy())
                progress.update(seen.positions[0] + 1)
        print(f"extract: {found} of {len(index)} photographs have a salient object")

    def _find_object(self, objects: Objects, maps: LabelMaps | None, image_id: str) -> Tensor:
        """(H, W) bool, at the embeddings' size."""
        if maps is None:
            assert objects.salient is not None
            return torch.sigmoid(objects.salient[0]) >= self.threshold
        stored = torch.from_numpy(np.asarray(maps[image_id].map, np.float32))[None, None]
        resized = F.interpolate(stored, objects.embeddings.shape[-2:], mode="bilinear", align_corners=False)
        return (resized[0, 0] >= SALIENT).to(objects.embeddings.device)

    def _pool(self, objects: Objects, mask: Tensor) -> Tensor:
        pixels = objects.embeddings[0, :, mask]  # (D, P)
        if self.weighting == "mean":
            return F.normalize(pixels, dim=0).mean(1)
        assert objects.salient is not None
        return F.normalize(pixels @ objects.salient[0, mask], dim=0)


def _whiten(rows: Iterator[Feature], components: int) -> Iterator[Feature]:
    """Project all rows on their first principal components and scale each to unit variance."""
    features = list(rows)
    vectors = np.stack([feature.embedding for feature in features]).astype(np.float64)
    if min(len(vectors) - 1, vectors.shape[1]) < components:
        raise UserError(f"extract.whiten: vectors of shape {vectors.shape} do not span {components} components")
    vectors -= vectors.mean(0)
    _, spread, axes = np.linalg.svd(vectors, full_matrices=False)
    axes *= np.where(axes[:, np.abs(axes).argmax(1)].diagonal() < 0, -1, 1)[:, None]  # the sign is free: fix it
    scale = np.sqrt(len(features) - 1) / np.maximum(spread[:components], 1e-12)
    for feature, vector in zip(features, vectors @ axes[:components].T * scale, strict=True):
        yield feature._replace(embedding=vector)
