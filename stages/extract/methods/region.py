"""One embedding per region of a photograph: its superpixels, or a sample of its pixels.

Source: ViCE, sections 3.3 (regions) and 4 (clusters of the pixels' embeddings).
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from stages.core.artifacts.features import Feature
from stages.core.artifacts.image_index import ImageIndex, Split
from stages.core.artifacts.label_maps import LabelMaps, open_label_maps
from stages.core.artifacts.models import Card
from stages.core.engine.devices import inference_device
from stages.core.images.crops import resize_short_side
from stages.core.images.decode import UInt8
from stages.core.images.inference import iterate_batches
from stages.core.nets.objects import ObjectNetwork, restore_objects
from stages.core.nets.regions import region_means
from stages.core.params import Params
from stages.core.progress import Progress


class RegionEmbeddingConfig(Params):
    """The embeddings of a dense network, over parts of photographs."""

    method: Literal["region"] = "region"
    splits: tuple[Split, ...] = Field(("train",), min_length=1)
    """Splits whose photographs are described; clusters are made of these."""
    regions: Literal["superpixels", "pixels"] = "superpixels"
    """The mean over each superpixel, or single pixels as ViCE clusters them; labels cannot be painted from those."""
    pixels: int = Field(256, ge=1)
    """Pixels drawn per photograph, evenly and without repetition; ViCE: all. Used by `pixels`."""
    short_side: int = Field(256, ge=8)
    """Side in pixels that photographs are resized to, the aspect kept. ViCE at low resolution: 320."""
    seed: int = Field(0, ge=0)
    """Of the sample of pixels."""
    dtype: Literal["float16", "float32"] = "float32"
    """Of the stored embeddings."""

    def prepare(self, image: UInt8) -> UInt8:
        """Resize a photograph to the side that it is described at."""
        return resize_short_side(image, self.short_side)

    def describe(
        self, card: Card, states: Mapping[str, Mapping[str, Tensor]], index: ImageIndex
    ) -> tuple[Iterator[Feature], int]:
        """The regions of all photographs in the index's order, and the size of their embeddings."""
        network = restore_objects(card, states).to(inference_device()).to(memory_format=torch.channels_last).eval()
        return self._embed(network, card, index), network.size

    def _embed(self, network: ObjectNetwork, card: Card, index: ImageIndex) -> Iterator[Feature]:
        maps = open_label_maps("superpixels") if self.regions == "superpixels" else None
        with torch.inference_mode(), Progress(len(index), "regions") as progress:
            for seen in iterate_batches(index, self.prepare, card["input"], inference_device(), batch_size=1):
                position, size = seen.positions[0], (seen.images.shape[-2], seen.images.shape[-1])
                photo = index[position]
                ids = self._find_regions(maps, photo.image_id, position, size)
                names, numbers = np.unique(ids, return_inverse=True)
                first = int(names[0] == 0)
                regions = torch.from_numpy(numbers.reshape(1, *size) - first).to(seen.images.device)
                embeddings = region_means(network.embed(seen.images), regions, len(names) - first).cpu().numpy()
                areas = np.bincount(ids.ravel())[names[first:]] * (photo.height * photo.width / ids.size)
                for name, area, embedding in zip(names[first:], areas, embeddings, strict=True):
                    yield Feature(photo.image_id, int(name), max(round(float(area)), 1), embedding)
                progress.update(position + 1)

    def _find_regions(
        self, maps: LabelMaps | None, image_id: str, position: int, size: tuple[int, int]
    ) -> npt.NDArray[np.int64]:
        """(H, W) ids of the photograph's regions, 0 for none; a pixel's is its place in reading order, from 1."""
        if maps is None:
            count = size[0] * size[1]
            chosen = np.random.default_rng([self.seed, position]).permutation(count)[: self.pixels]
            ids = np.zeros(count, np.int64)
            ids[chosen] = chosen + 1
            return ids.reshape(size)
        stored = np.asarray(maps[image_id].map)
        rows, columns = (
            ((np.arange(side) + 0.5) * (length / side)).astype(np.int64)
            for side, length in zip(size, stored.shape, strict=True)
        )
        return np.asarray(stored[rows[:, None], columns], np.int64)
