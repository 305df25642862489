"""Trains a classifier on tags and labels the photographs by its class activation maps."""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from stages.core.artifacts.class_maps import FOLDER, Origin, write_class_maps
from stages.core.artifacts.clusters import OUT as CLUSTERS
from stages.core.artifacts.clusters import Assignments, read_centroids
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import IGNORE, LabelMap, LabelMaps, open_label_maps, write_label_maps
from stages.core.artifacts.labels import LABELS
from stages.core.artifacts.models import model_hash, read_model
from stages.core.artifacts.shards import ARTIFACTS, read_manifest
from stages.core.errors import UserError
from stages.core.images.working_size import shrink
from stages.core.metrics.otsu import otsu_of_scores
from stages.core.progress import track
from stages.core.resume import resumable_work
from stages.pseudolabel.activation.config import TagConfig
from stages.pseudolabel.activation.inference import iterate_maps
from stages.pseudolabel.activation.labels import Seen, follow_edges, make_labels, weigh
from stages.pseudolabel.activation.rounds import Rounds
from stages.pseudolabel.activation.tags import Tags, class_tags, cluster_tags
from stages.pseudolabel.activation.training import TagTraining

Float32 = npt.NDArray[np.float32]


def train_and_label(config: TagConfig, tags: Tags) -> None:
    """Train on the tags of the train split and write the label maps `artifacts/pseudolabel`, with the history.

    Raises:
        UserError: Tags, saliency or the pretrained model are not what the method wants, or training goes wrong.
    """
    saliency = _open_saliency(tags) if config.uses_saliency else None
    pretrained = read_model("attend", ["backbone"])
    inputs = {"images": tags.photographs.content_hash, "attend": model_hash("attend"), **_hash_tags(config)}
    with resumable_work("pseudolabel", config, inputs) as work:
        training, history = Rounds(config, pretrained, tags, work).train()
        labels = _label(config, training, tags, saliency)
        write_label_maps("pseudolabel", config.method, labels, history=history)
        if training.accumulated is not None:
            origin = Origin("pseudolabel", config.method, tags.categories)
            write_class_maps(ARTIFACTS / "pseudolabel" / FOLDER, origin, training.accumulated)


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


def _open_saliency(tags: Tags) -> LabelMaps:
    maps = open_label_maps("saliency")
    if missing := next((each for each in tags.photographs.image_ids if each not in maps), None):
        raise UserError(
            f"pseudolabel.labels.background: saliency, but artifacts/saliency has no map of {missing}; take a method "
            "of saliency that makes them, or background: threshold"
        )
    return maps


def _label(config: TagConfig, training: TagTraining, tags: Tags, saliency: LabelMaps | None) -> Iterator[LabelMap]:
    threshold, has_found = _find_threshold(config, training, tags), False
    maps = iterate_maps(training, tags, config.maps)
    for position, found in enumerate(track(maps, len(tags.photographs), label="labels")):
        photo, ids = tags.photographs[position], tags.ids[position]
        salient = _resize(saliency[photo.image_id].map, found.shape[1:]) if saliency else None
        seen = Seen(found, ids[ids >= 0], salient)
        strengths = weigh(seen, config.labels, threshold)
        if config.crf:
            photograph = shrink(tags.photographs.read(position), config.maps.max_side)
            strengths = follow_edges(strengths, photograph, config.crf)
        label = make_labels(strengths, seen, config.labels)
        has_found |= bool(((label != 0) & (label != IGNORE)).any())
        yield LabelMap(photo.image_id, photo.height, photo.width, label)
    if not has_found:
        raise UserError(
            "pseudolabel: all pixels are background or too uncertain, so nothing is left to learn; train longer, or "
            "change pseudolabel.labels.background"
        )


def _find_threshold(config: TagConfig, training: TagTraining, tags: Tags) -> float:
    """Strength of the background where that is a constant; 0 where it is not."""
    rules = config.labels
    if rules.background != "threshold":
        return 0.0
    if rules.threshold != "otsu":
        return float(rules.threshold)
    rows = np.sort(np.random.default_rng(0).permutation(len(tags.photographs))[: rules.photographs])
    maps = iterate_maps(training, tags, config.maps, rows)
    strongest = ((100 * found.max(0)).astype(np.uint8) for found in track(maps, len(rows), label="threshold"))
    return otsu_of_scores(strongest)


def _resize(saliency: npt.NDArray[np.generic], size: tuple[int, ...]) -> Float32:
    """A stored map (0..255) in 0..1 at the size (H, W), bilinearly."""
    resized = cv2.resize(saliency.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized / 255, np.float32)
