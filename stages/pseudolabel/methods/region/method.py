"""The cluster of every region painted over its pixels: superpixels, or the salient object of a photograph."""

from collections import defaultdict
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from stages.core.artifacts.clusters import OUT as CLUSTERS
from stages.core.artifacts.clusters import Assignments
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import IGNORE, SALIENT, LabelMap, LabelMaps, open_label_maps
from stages.core.artifacts.models import model_hash, read_model
from stages.core.artifacts.shards import read_manifest
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.images.crops import resize_short_side
from stages.core.label_mapping import SHARD, LabelPlan
from stages.core.nets.objects import ObjectNetwork, restore_objects
from stages.core.network_mapping import Look, Shard, cut_shards, loaded_once, turn
from stages.pseudolabel.methods.region.config import RegionLabelConfig

Regions = npt.NDArray[np.int64]


class _Source(NamedTuple):
    """What a worker labels by: parameters, and the content hash of what tells regions, a model or maps."""

    config: RegionLabelConfig
    regions: str


class _Head(NamedTuple):
    """A network whose saliency head tells regions."""

    network: ObjectNetwork
    look: Look


def plan(config: RegionLabelConfig, index: ImageIndex, assignments: Assignments) -> LabelPlan:
    """The maps of all photographs that have a region with a cluster; see `MappedLabels.plan`.

    Raises:
        UserError: What was clustered is not the superpixels.
    """
    clusters: dict[str, dict[int, int]] = defaultdict(dict)
    rows = zip(assignments.image_ids, assignments.region_ids, assignments.cluster_ids, strict=True)
    for image_id, region, cluster in rows:
        clusters[image_id][int(region)] = int(cluster)
    clustered = index.with_ids(clusters)
    source = _Source(config, _hash_regions(config))
    _open(source)  # What is wrong with it is said before the work.
    made_of = str(read_manifest(CLUSTERS, "clusters")["content_hash"])
    inputs = {"images": index.content_hash, "regions": source.regions, "cluster": made_of}
    shards = cut_shards(clustered, SHARD, [clusters[image_id] for image_id in clustered.image_ids])
    return LabelPlan(inputs, shards, partial(_label, source))


def _hash_regions(config: RegionLabelConfig) -> str:
    return model_hash("attend") if config.regions == "saliency_head" else open_label_maps(_stage(config)).content_hash


def _stage(config: RegionLabelConfig) -> str:
    """Whose maps tell regions."""
    return "superpixels" if config.regions == "superpixels" else "saliency"


@loaded_once
def _open(source: _Source) -> LabelMaps | _Head:
    if source.config.regions != "saliency_head":
        return open_label_maps(_stage(source.config))
    card, states = read_model("attend", ["saliency"])
    network = restore_objects(card, states).to(inference_device()).eval()
    return _Head(network, Look(partial(resize_short_side, side=source.config.short_side), card.input))


def _label(source: _Source, shard: Shard, positions: list[int]) -> list[LabelMap]:
    config, labels = source.config, []
    for position, regions in zip(positions, _find_regions(source, shard, positions), strict=True):
        photo, clusters = shard.photographs[position], shard.known[position]
        if config.regions == "superpixels":
            _check_superpixels(photo.image_id, regions, clusters)
        painted = _paint(regions, clusters, 0 if config.outside == "background" else IGNORE)
        labels.append(LabelMap(photo.image_id, photo.height, photo.width, painted))
    return labels


def _find_regions(source: _Source, shard: Shard, positions: list[int]) -> list[Regions]:
    opened = _open(source)
    if isinstance(opened, LabelMaps):
        photos = [shard.photographs[position] for position in positions]
        stored = [np.asarray(opened[photo.image_id].map, np.int64) for photo in photos]
        is_gray = source.config.regions == "saliency_maps"
        return [(each >= SALIENT).astype(np.int64) for each in stored] if is_gray else stored
    seen = opened.look.read(shard.photographs, positions)
    with turn():
        salient = opened.network(seen.images).salient
        return list((torch.sigmoid(salient) >= source.config.threshold).cpu().numpy().astype(np.int64))


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
