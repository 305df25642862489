"""Pictures of region embeddings: their first three principal components as red, green and blue."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from stages.core.artifacts.clusters import read_centroids
from stages.core.artifacts.features import OUT, read_features
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.artifacts.shards import read_manifest
from stages.core.faiss_ops import normalize_rows
from stages.core.images.working_size import shrink
from stages.core.metrics.counts import Float64
from stages.core.metrics.kernels import UInt8
from stages.evaluate.inputs import Inputs
from stages.evaluate.report.pictures import PANEL_SIDE

_SHOWN = 10
_UNDESCRIBED = 128
"""Gray of superpixels so small that they vanish at the size at which the network looks."""
_CUT = 2.0
"""Percent of the regions at each end of a direction that take its darkest and its brightest color."""


class EmbeddingMap(NamedTuple):
    """(h, w, 3) uint8 RGB pictures of one photograph."""

    image_id: str
    photo: UInt8
    embeddings: UInt8


def draw_embedding_maps(inputs: Inputs) -> list[EmbeddingMap]:
    """Paint the superpixels of some photographs of the train split, drawn by a fixed seed.

    They are compared as the clusters compare them, brought to length 1 where those are. Nothing where other things than
    superpixels were described.
    """
    if read_manifest(OUT, "features")["method"] != "region" or not inputs.images.has("train"):
        return []
    photographs, maps = inputs.images.in_splits("train").draw(_SHOWN), open_label_maps("superpixels")
    features = read_features(among=photographs.image_ids)
    vectors = normalize_rows(features.embeddings) if read_centroids().normalize_at_use else features.embeddings
    owners, colors = np.array(features.image_ids), color_by_components(vectors)
    shown = []
    for position, image_id in enumerate(photographs.image_ids):
        rows, regions = owners == image_id, np.asarray(maps[image_id].map)
        if not np.isin(features.region_ids[rows], regions).all():
            return []  # Sampled pixels, whose ids are places.
        palette = np.full((int(regions.max()) + 1, 3), _UNDESCRIBED, np.uint8)
        palette[features.region_ids[rows]] = colors[rows]
        photo = shrink(photographs.read(position), PANEL_SIDE)
        size = photo.shape[1], photo.shape[0]
        painted = cv2.resize(palette[regions], size, interpolation=cv2.INTER_NEAREST)
        shown.append(EmbeddingMap(image_id, photo, np.asarray(painted, np.uint8)))
    return shown


def color_by_components(embeddings: np.ndarray) -> UInt8:
    """(N, D) to colors (N, 3): the first three principal components as red, green and blue, each over its range."""
    if len(embeddings) == 0:
        return np.zeros((0, 3), np.uint8)
    values = embeddings.astype(np.float64) - embeddings.mean(0, dtype=np.float64)
    directions = np.linalg.eigh(values.T @ values)[1][:, ::-1][:, :3]  # (D, 3), the largest first
    directions = directions * np.sign(directions[np.abs(directions).argmax(0), np.arange(directions.shape[1])])
    found: Float64 = np.zeros((len(values), 3))
    found[:, : directions.shape[1]] = values @ directions
    low, high = np.percentile(found, (_CUT, 100 - _CUT), axis=0)
    return np.asarray(np.rint(255 * ((found - low) / np.maximum(high - low, 1e-12)).clip(0, 1)), np.uint8)
