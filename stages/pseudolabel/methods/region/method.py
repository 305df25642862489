"""The cluster of every region painted over its pixels: superpixels, or the salient object of a photograph."""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from stages.core.artifacts.clusters import Assignments
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import IGNORE, SALIENT, LabelMap, open_label_maps
from stages.core.artifacts.models import read_model
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.images.crops import resize_short_side
from stages.core.images.inference import iterate_batches
from stages.core.nets.objects import restore_objects
from stages.core.progress import track
from stages.pseudolabel.methods.region.config import RegionLabelConfig

Regions = npt.NDArray[np.int64]


def label(config: RegionLabelConfig, index: ImageIndex, assignments: Assignments) -> Iterator[LabelMap]:
    """The maps of all photographs that have a region with a cluster, in the index's order.

    Raises:
        UserError: What was clustered is not the superpixels.
    """
    clusters: dict[str, dict[int, int]] = defaultdict(dict)
    rows = zip(assignments.image_ids, assignments.region_ids, assignments.cluster_ids, strict=True)
    for image_id, region, cluster in rows:
        clusters[image_id][int(region)] = int(cluster)
    clustered = index.with_ids(clusters)
    for position, regions in _read_regions(config, clustered):
        photo = clustered[position]
        if config.regions == "superpixels":
            _check_superpixels(photo.image_id, regions, clusters[photo.image_id])
        painted = _paint(regions, clusters[photo.image_id], 0 if config.outside == "background" else IGNORE)
        yield LabelMap(photo.image_id, photo.height, photo.width, painted)


def _read_regions(config: RegionLabelConfig, index: ImageIndex) -> Iterator[tuple[int, Regions]]:
    if config.regions == "saliency_head":
        return _find_objects(config, index)
    maps = open_label_maps("superpixels" if config.regions == "superpixels" else "saliency")
    stored = (np.asarray(maps[image_id].map, np.int64) for image_id in track(index.image_ids, label="regions"))
    if config.regions == "saliency_maps":
        stored = ((each >= SALIENT).astype(np.int64) for each in stored)
    return enumerate(stored)


def _find_objects(config: RegionLabelConfig, index: ImageIndex) -> Iterator[tuple[int, Regions]]:
    model, device = read_model("attend", ["saliency"]), inference_device()
    network, prepare = restore_objects(*model).to(device).eval(), partial(resize_short_side, side=config.short_side)
    with torch.inference_mode():
        batches = iterate_batches(index, prepare, model.card.input, device, 1)
        for seen in track(batches, len(index), label="regions"):
            salient = torch.sigmoid(network(seen.images).salient[0]) >= config.threshold
            yield seen.positions[0], salient.cpu().numpy().astype(np.int64)


def _check_superpixels(image_id: str, regions: Regions, clusters: dict[int, int]) -> None:
    if max(clusters) > (last := int(regions.max())):
        raise UserError(
            f"pseudolabel.regions: superpixels, but of {image_id} region {max(clusters)} was clustered, its last "
            f"superpixel is {last}; set extract.regions: superpixels (labels cannot be painted from sampled pixels)"
        )


def _paint(regions: Regions, clusters: dict[int, int], outside: int) -> npt.NDArray[np.uint16]:
    label = np.full(max(int(regions.max()), *clusters) + 1, outside, np.uint16)  # by region
    label[list(clusters)] = np.array(list(clusters.values())) + 1
    return np.asarray(label[regions])
