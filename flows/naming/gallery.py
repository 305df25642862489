"""The clusters as the page shows them: members, shares, neighbors, photographs and cut-outs."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from stages.core.artifacts.categories import COUNT_FILE, Clusters, centroid_hash, cut_clusters, read_clusters
from stages.core.artifacts.clusters import Assignments
from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.label_maps import IGNORE, LabelMaps
from stages.core.artifacts.shards import ARTIFACTS, MANIFEST
from stages.core.config.categories import SplitCluster
from stages.core.errors import UserError
from stages.core.faiss_ops import normalize_rows
from stages.core.image_files import UInt8
from stages.core.images.boxes import crop_box
from stages.evaluate.report.pictures import encode_jpeg, thumbnail

NEIGHBORS = 5
_COUNTED = 400
"""Label maps, drawn by a fixed seed, by which shares of pixels are told."""
_FADED = 0.3


class Cluster(NamedTuple):
    """One cluster, or a part of one."""

    key: str
    number: int
    """Its color's."""
    members: int
    share: float
    """Of all members, in percent."""
    pixels: float | None
    """Share of all pixels that are not background, in percent; None where there are no label maps."""
    rows: list[int]
    """Rows of the assignments, of each photograph the nearest one, in the order of their distances."""
    neighbors: list[tuple[str, float]]
    """Keys and cosines of the nearest centroids."""


class Gallery:
    """What the artifacts hold now, read once; another one is made when the clusters have changed.

    Raises:
        UserError: There are no clusters, or what belongs to them is missing.
    """

    def __init__(self) -> None:
        self.centroids = centroid_hash()
        if not self.centroids:
            raise UserError("there are no clusters yet in artifacts/cluster; run `dvc repro cluster`")
        self.clusters, self._images = read_clusters(), read_images()
        self.count = len(self.clusters.centroids.embeddings)
        self._place = {image_id: number for number, image_id in enumerate(self._images.image_ids)}
        self._maps = _open_maps()
        self._pixels = _count_pixels(self._maps, self.count)
        self.picture = lru_cache(maxsize=2048)(self._picture)
        self.describe_parts = lru_cache(maxsize=32)(self._describe_parts)

    def describe(self, parts: dict[int, int]) -> list[Cluster]:
        """All clusters by number, those that are cut as their parts."""
        keys = [str(number) for number in range(1, self.count + 1)]
        plain = _describe(self.clusters, keys, self._pixels)
        found, following = list[Cluster](), self.count + 1
        for one in plain:
            if one.number not in parts:
                found.append(one)
                continue
            for part in self.describe_parts(one.number, parts[one.number]):
                found.append(part._replace(number=following))
                following += 1
        return found

    def _describe_parts(self, cluster: int, parts: int) -> list[Cluster]:
        """The parts that a cluster, from 1, would have.

        Raises:
            UserError: It has fewer members than that.
        """
        if not (1 <= cluster <= self.count and 2 <= parts <= 20):
            raise UserError(f"cluster {cluster} cannot be cut into {parts} parts")
        added = tuple(range(self.count + 1, self.count + parts + 1))
        cut = cut_clusters(self.clusters, (SplitCluster(id=cluster, parts=added),))
        keys = [str(number) for number in range(1, self.count + 1)]
        keys += [f"{cluster}.{part}" for part in range(1, parts + 1)]
        return _describe(cut, keys, None)[self.count :]

    def _picture(self, row: int, cluster: int, is_cut_out: bool) -> bytes:
        """A thumbnail of a member as JPEG; as a cut-out, what is not the cluster's fades.

        Raises:
            UserError: The photograph has changed or is gone.
        """
        assignments = self.clusters.assignments
        image_id = assignments.image_ids[row] if row < len(assignments.image_ids) else ""
        if image_id not in self._place:
            raise UserError(f"{image_id or row}: no such photograph any more")
        photo = self._images.read(self._place[image_id])
        if is_cut_out and self._maps and image_id in self._maps:
            photo = _cut_out(photo, _mask(np.asarray(self._maps[image_id].map), cluster))
        elif assignments.boxes is not None:
            photo = crop_box(photo, assignments.boxes[row])
        return encode_jpeg(thumbnail(photo))

    def image_id(self, row: int) -> str:
        """The photograph of a row."""
        return self.clusters.assignments.image_ids[row]

    @property
    def has_cut_outs(self) -> bool:
        """Whether there are labels of pixels to cut out by."""
        return self._maps is not None


def _describe(clusters: Clusters, keys: list[str], pixels: npt.NDArray[np.float64] | None) -> list[Cluster]:
    assignments = clusters.assignments
    sizes = np.bincount(assignments.cluster_ids, minlength=len(keys))
    near = _neighbors(clusters, keys)
    order = np.lexsort((assignments.distances, assignments.cluster_ids))
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    return [
        Cluster(
            key,
            number + 1,
            int(sizes[number]),
            100 * float(sizes[number]) / max(len(assignments.cluster_ids), 1),
            None if pixels is None else float(pixels[number]),
            _one_of_each(assignments, order[bounds[number] : bounds[number + 1]]),
            near[number],
        )
        for number, key in enumerate(keys)
    ]


def _one_of_each(assignments: Assignments, nearest: npt.NDArray[np.int64], most: int = 48) -> list[int]:
    """The nearest row of each of the first photographs."""
    first: dict[str, int] = {}
    for row in nearest:
        first.setdefault(assignments.image_ids[row], int(row))
        if len(first) == most:
            break
    return list(first.values())


def _neighbors(clusters: Clusters, keys: list[str]) -> list[list[tuple[str, float]]]:
    unit = normalize_rows(clusters.centroids.embeddings)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    cosines[:, list(clusters.cut)] = -2
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :NEIGHBORS]
    return [
        [(keys[other], float(row[other])) for other in order if row[other] > -2]
        for row, order in zip(cosines, nearest, strict=True)
    ]


def _open_maps() -> LabelMaps | None:
    """The pseudo-labels, which the photographs of clusters have; None where they are of whole photographs."""
    out = ARTIFACTS / "pseudolabel"
    if not (out / MANIFEST).is_file():
        return None
    maps = LabelMaps(out)
    return maps if len(maps) and maps[maps.image_ids[0]].map.size > 1 else None


def _count_pixels(maps: LabelMaps | None, clusters: int) -> npt.NDArray[np.float64] | None:
    """(K,) the share of each cluster in the pixels that are not background, in percent."""
    if maps is None:
        return None
    areas, ids = np.zeros(clusters + 1), maps.image_ids
    drawn = np.random.default_rng(0).permutation(len(ids))[:_COUNTED]
    for image_id in sorted(ids[number] for number in drawn):
        found = np.asarray(maps[image_id].map).reshape(-1).astype(np.int64)
        areas += np.bincount(found[found <= clusters], minlength=clusters + 1) / max(found.size, 1)
    share: npt.NDArray[np.float64] = 100 * areas[1:] / max(areas[1:].sum(), 1e-9)
    return share


def _mask(found: npt.NDArray[np.generic], cluster: int) -> npt.NDArray[np.bool_]:
    """Where a map (h, w) shows a cluster; all that is labelled, where a person has made the labels of clusters."""
    mask: npt.NDArray[np.bool_] = found == cluster
    is_made = (ARTIFACTS / "pseudolabel" / COUNT_FILE).is_file()
    return (found != 0) & (found != IGNORE) if is_made and not mask.any() else mask


def _cut_out(photo: UInt8, mask: npt.NDArray[np.bool_]) -> UInt8:
    """The square around a mask, with what lies outside of it faded; all of the photograph faded where it is empty."""
    mask = cv2.resize(mask.astype(np.uint8), (photo.shape[1], photo.shape[0]), interpolation=cv2.INTER_NEAREST) > 0
    faded = np.where(mask[..., None], photo, (_FADED * photo + (1 - _FADED) * 255).astype(np.uint8))
    if not mask.any():
        return np.asarray(faded, np.uint8)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    side = max(rows[-1] - rows[0], columns[-1] - columns[0]) * 9 // 8 + 8
    slices = []
    for found, length in ((rows, photo.shape[0]), (columns, photo.shape[1])):
        start = max(min((found[0] + found[-1] - side) // 2, length - side), 0)
        slices.append(slice(start, start + side))
    return np.ascontiguousarray(faded[slices[0], slices[1]], np.uint8)
