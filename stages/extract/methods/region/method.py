"""One embedding per region of a photograph: its superpixels, or a sample of its pixels."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from stages.core.artifacts.features import Embeddings, Feature
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import LabelMaps, open_label_maps
from stages.core.artifacts.models import Model
from stages.core.config.views import InputCard
from stages.core.engine.devices import inference_device
from stages.core.images.crops import resize_short_side
from stages.core.images.inference import iterate_batches
from stages.core.nets.objects import ObjectNetwork, restore_objects
from stages.core.nets.regions import region_means
from stages.core.progress import Progress
from stages.extract.methods.region.config import RegionEmbeddingConfig


def extract(config: RegionEmbeddingConfig, model: Model, index: ImageIndex) -> Embeddings:
    """The regions of all photographs in the index's order; see `StreamedVectors.extract`."""
    network = restore_objects(*model).to(inference_device()).to(memory_format=torch.channels_last).eval()
    return Embeddings(_embed(config, network, model.card.input, index), network.size, network.space)


def _embed(
    config: RegionEmbeddingConfig, network: ObjectNetwork, expects: InputCard, index: ImageIndex
) -> Iterator[Feature]:
    maps = open_label_maps("superpixels") if config.regions == "superpixels" else None
    prepare = partial(resize_short_side, side=config.short_side)
    with torch.inference_mode(), Progress(len(index), "regions") as progress:
        for seen in iterate_batches(index, prepare, expects, inference_device(), batch_size=1):
            position, size = seen.positions[0], (seen.images.shape[-2], seen.images.shape[-1])
            photo = index[position]
            ids = _read_superpixels(maps, photo.image_id, size) if maps else _sample_pixels(config, position, size)
            if maps and config.sampled:
                ids = _sample_superpixels(ids, config.sampled, config.seed, position)
            names, numbers = np.unique(ids, return_inverse=True)
            first = int(names[0] == 0)
            regions = torch.from_numpy(numbers.reshape(1, *size) - first).to(seen.images.device)
            embeddings = region_means(network.embed(seen.images), regions, len(names) - first).cpu().numpy()
            areas = np.bincount(ids.ravel())[names[first:]] * (photo.height * photo.width / ids.size)
            for name, area, embedding in zip(names[first:], areas, embeddings, strict=True):
                yield Feature(photo.image_id, int(name), max(round(float(area)), 1), embedding)
            progress.update(position + 1)


def _sample_pixels(config: RegionEmbeddingConfig, position: int, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """(H, W) ids of the drawn pixels, 0 for the others; a pixel's is its place in reading order, from 1."""
    count = size[0] * size[1]
    chosen = np.random.default_rng([config.seed, position]).permutation(count)[: config.pixels]
    ids = np.zeros(count, np.int64)
    ids[chosen] = chosen + 1
    return ids.reshape(size)


def _sample_superpixels(ids: npt.NDArray[np.int64], count: int, seed: int, position: int) -> npt.NDArray[np.int64]:
    """The map (H, W) with the drawn superpixels' ids, 0 for the others."""
    names = np.unique(ids[ids > 0])
    drawn = np.random.default_rng([seed, position]).permutation(names)[:count]
    return np.where(np.isin(ids, drawn), ids, 0)


def _read_superpixels(maps: LabelMaps, image_id: str, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """(H, W) ids of the photograph's superpixels, 0 for none, by nearest neighbor."""
    stored = np.asarray(maps[image_id].map)
    rows, columns = (
        ((np.arange(side) + 0.5) * (length / side)).astype(np.int64)
        for side, length in zip(size, stored.shape, strict=True)
    )
    return np.asarray(stored[rows[:, None], columns], np.int64)
