"""Trains a classifier on tags and labels the photographs by its class activation maps."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from stages.core.artifacts.class_maps import FOLDER, Origin, write_class_maps
from stages.core.artifacts.clusters import OUT as CLUSTERS
from stages.core.artifacts.clusters import Assignments, read_centroids
from stages.core.artifacts.histories import HISTORY, encode_history
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import LabelMap, LabelMaps, open_label_maps
from stages.core.artifacts.labels import LABELS
from stages.core.artifacts.models import model_hash, read_model
from stages.core.artifacts.shards import ARTIFACTS, read_manifest
from stages.core.errors import UserError
from stages.core.images.working_size import shrink
from stages.core.label_mapping import Job, LabelPlan, gather_labels, label_shards, teaches_anything
from stages.core.metrics.otsu import otsu_of_scores
from stages.core.network_mapping import Compute, Shard, cut_shards, iterate_known, loaded_once
from stages.core.resume import resumable_work
from stages.pseudolabel.activation.config import TagConfig
from stages.pseudolabel.activation.inference import MapSource, enlarge_accumulated, map_own_categories, save_trained
from stages.pseudolabel.activation.labels import Seen, follow_edges, make_labels, weigh
from stages.pseudolabel.activation.rounds import Rounds
from stages.pseudolabel.activation.tags import Tags, class_tags, cluster_tags
from stages.pseudolabel.activation.training import TagTraining

Float32 = npt.NDArray[np.float32]

_SHARD = 64
"""Photographs of a shard, at least: one that is changed step by step takes minutes."""


def train_and_label(config: TagConfig, tags: Tags) -> None:
    """Train on the tags of the train split and write the label maps `artifacts/pseudolabel`, with the history.

    Raises:
        UserError: Tags, saliency or the pretrained model are not what the method wants, or training goes wrong.
    """
    saliency = _check_saliency(tags) if config.uses_saliency else ""
    pretrained = read_model("attend", ["backbone"])
    inputs = {"images": tags.photographs.content_hash, "attend": model_hash("attend"), **_hash_tags(config)}
    with resumable_work("pseudolabel", config, inputs) as work:
        training, history = Rounds(config, pretrained, tags, work).train()
        make_maps, accumulated = _map_maker(config, training, work), training.accumulated
        del training  # Two of them may be more than memory holds.
        behind = saliency if config.labels.background == "saliency" else ""
        rules = _Rules(config, make_maps, _find_threshold(config, make_maps, tags), behind)
        job, shards = Job("pseudolabel", config.method, config), work / "labels"
        plan = LabelPlan(inputs, cut_shards(tags.photographs, _SHARD, tags.own), partial(_label, rules))
        label_shards(job, plan, shards)
        if not teaches_anything(shards):
            raise UserError(
                "pseudolabel: all pixels are background or too uncertain, so nothing is left to learn; train longer, "
                "or change pseudolabel.labels.background"
            )
        gather_labels(job, shards, ARTIFACTS / job.stage, {HISTORY: encode_history(history)})
        if accumulated is not None:
            origin = Origin(job.stage, job.method, tags.categories)
            write_class_maps(ARTIFACTS / job.stage / FOLDER, origin, accumulated)


def _map_maker(config: TagConfig, training: TagTraining, work: Path) -> Compute[Float32]:
    """What makes the maps of photographs' own categories: the classifier, or what it has accumulated."""
    if training.accumulated is None:
        training.end_training()
        return partial(map_own_categories, MapSource(save_trained(training, work / "trained.pt"), config.maps))
    return partial(enlarge_accumulated, training.accumulated.stored, config.maps.max_side)


def read_tags(config: TagConfig, index: ImageIndex, assignments: Assignments) -> Tags:
    """The tags of the train split, from where the config says.

    Raises:
        UserError: There are more true classes than clusters, of which the segmenter has as many outputs.
    """
    train_split = index.in_splits("train")
    if config.supervision == "images":
        return cluster_tags(train_split, assignments)
    tags, clusters = class_tags(train_split), len(read_centroids().embeddings)
    if tags.categories > clusters:
        raise UserError(
            f"pseudolabel.supervision: labels: {tags.categories} classes, but only {clusters} clusters; "
            f"set cluster.k to {tags.categories}: the segmenter has as many outputs as there are clusters"
        )
    return tags


def _hash_tags(config: TagConfig) -> dict[str, str]:
    used = {"saliency": open_label_maps("saliency").content_hash} if config.uses_saliency else {}
    if config.supervision == "labels":
        return {**used, "labels": str(read_manifest(LABELS, "labels")["content_hash"])}
    return {**used, "cluster": str(read_manifest(CLUSTERS, "clusters")["content_hash"])}


def _check_saliency(tags: Tags) -> str:
    """The content hash of the saliency maps, of which every tagged photograph has one."""
    maps = open_label_maps("saliency")
    if missing := next((each for each in tags.photographs.image_ids if each not in maps), None):
        raise UserError(
            f"pseudolabel: artifacts/saliency has no map of {missing}; take a method of saliency that makes them, or "
            "pseudolabel.labels.background=threshold, and for rca no saliency_loss"
        )
    return maps.content_hash


class _Rules(NamedTuple):
    """What a worker labels by."""

    config: TagConfig
    make_maps: Compute[Float32]
    threshold: float
    """Strength of the background where that is a constant."""
    saliency: str
    """Content hash of the saliency maps; empty where they do not say what is background."""


@loaded_once
def _open_saliency(_content_hash: str) -> LabelMaps:
    return open_label_maps("saliency")


def _label(rules: _Rules, shard: Shard, positions: list[int]) -> list[LabelMap]:
    maps = rules.make_maps(shard, positions)
    return [_label_one(rules, shard, position, found) for position, found in zip(positions, maps, strict=True)]


def _label_one(rules: _Rules, shard: Shard, position: int, found: Float32) -> LabelMap:
    config, photo = rules.config, shard.photographs[position]
    saliency = _open_saliency(rules.saliency) if rules.saliency else None
    salient = _resize(saliency[photo.image_id].map, found.shape[1:]) if saliency else None
    seen = Seen(found, shard.known[position].ids, salient)
    strengths = weigh(seen, config.labels, rules.threshold)
    if config.crf:
        photograph = shrink(shard.photographs.read(position), config.maps.max_side)
        strengths = follow_edges(strengths, photograph, config.crf)
    return LabelMap(photo.image_id, photo.height, photo.width, make_labels(strengths, seen, config.labels))


def _find_threshold(config: TagConfig, make_maps: Compute[Float32], tags: Tags) -> float:
    """Strength of the background where that is a constant; 0 where it is not."""
    rules = config.labels
    if rules.background != "threshold":
        return 0.0
    if rules.threshold != "otsu":
        return float(rules.threshold)
    rows = np.sort(np.random.default_rng(0).permutation(len(tags.photographs))[: rules.photographs])
    drawn = Shard(tags.photographs.draw(rules.photographs), 0, [tags.own[row] for row in rows])
    maps = iterate_known(make_maps, drawn, "threshold")
    return otsu_of_scores((100 * found.max(0)).astype(np.uint8) for found in maps)


def _resize(saliency: npt.NDArray[np.generic], size: tuple[int, ...]) -> Float32:
    """A stored map (0..255) in 0..1 at the size (H, W), bilinearly."""
    resized = cv2.resize(saliency.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized / 255, np.float32)
