"""Galleries of clusters: their photographs, nearest to the center first, and the categories in them."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from stages.core.images.boxes import crop_box
from stages.core.metrics.kernels import Int64
from stages.evaluate import Config
from stages.evaluate.inputs import Inputs
from stages.evaluate.report.pictures import data_uri, thumbnail


class Gallery(NamedTuple):
    """One cluster."""

    cluster: int
    """From 0; its predicted id is one more."""
    size: int
    """Members: photographs, or parts of photographs."""
    thumbnails: list[tuple[str, str]]
    """Data URI and image id."""
    categories: list[tuple[str, float]]
    """The most frequent categories that its photographs are filed under, with their share in percent."""


def cluster_sizes(inputs: Inputs) -> Int64:
    """(clusters,) members of each cluster."""
    return np.bincount(inputs.assignments.cluster_ids, minlength=inputs.clusters).astype(np.int64)


def draw_galleries(config: Config, inputs: Inputs) -> list[Gallery]:
    """Picture the largest clusters, in the order of their ids."""
    sizes = cluster_sizes(inputs)
    largest = np.lexsort((np.arange(sizes.size), -sizes))[: config.gallery_clusters]
    place = {image_id: number for number, image_id in enumerate(inputs.images.image_ids)}
    return [_draw(config, inputs, place, int(cluster)) for cluster in sorted(largest) if sizes[cluster]]


def _draw(config: Config, inputs: Inputs, place: dict[str, int], cluster: int) -> Gallery:
    assignments = inputs.assignments
    rows = np.flatnonzero(assignments.cluster_ids == cluster)
    nearest = rows[np.argsort(assignments.distances[rows], kind="stable")]
    first = {assignments.image_ids[row]: row for row in reversed(nearest)}  # the nearest part of each photograph
    ids = list(dict.fromkeys(assignments.image_ids[row] for row in nearest))
    shown = [image_id for image_id in ids if image_id in place][: config.gallery_photos]
    thumbnails = []
    for image_id in shown:
        photo = inputs.images.read(place[image_id])
        part = photo if assignments.boxes is None else crop_box(photo, assignments.boxes[first[image_id]].tolist())
        thumbnails.append((data_uri(thumbnail(part)), image_id))
    return Gallery(cluster, rows.size, thumbnails, _categories(inputs, ids))


def _categories(inputs: Inputs, image_ids: list[str]) -> list[tuple[str, float]]:
    names = Counter(name for image_id in image_ids if (name := inputs.labels.class_name(image_id)) is not None)
    ranked = sorted(names.items(), key=lambda item: (-item[1], item[0]))[:3]
    return [(name, 100 * count / names.total()) for name, count in ranked]
