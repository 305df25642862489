"""Clusters of regions painted over their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import pytest

from stages.core.artifacts.clusters import Assignments, Centroids, write_clusters
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import IGNORE, LabelMap, open_label_maps, write_label_maps
from stages.core.errors import UserError
from stages.pseudolabel.__main__ import main
from stages.pseudolabel.methods.region.config import RegionLabelConfig
from tests.extract.test_salient_object import see_plainly
from tests.fabricate import fabricate_images, fabricate_object_network, fabricate_saliency


def assign(image_ids: Sequence[str], region_ids: Sequence[int], cluster_ids: Sequence[int]) -> None:
    ids = np.array(cluster_ids, np.int32)
    write_clusters(
        Centroids(np.zeros((9, 4), np.float32), np.bincount(ids, minlength=9), True),
        Assignments(list(image_ids), np.array(region_ids, np.int32), ids, np.zeros(len(ids), np.float32)),
        "kmeans",
    )


def write_superpixels(index: ImageIndex) -> np.ndarray:
    regions = np.array([[1, 1, 2], [3, 3, 2]], np.uint16)
    write_label_maps("superpixels", "drawn", [LabelMap(image_id, 32, 32, regions) for image_id in index.image_ids])
    return regions


@pytest.mark.parametrize(("outside", "expected"), [("background", 0), ("ignore", IGNORE)])
def test_superpixels_take_their_clusters(outside: Literal["background", "ignore"], expected: int) -> None:
    index = fabricate_images(3)
    write_superpixels(index)
    first, last = index.image_ids[0], index.image_ids[2]
    assign([first, first, first, last], [1, 2, 3, 2], [5, 0, 8, 7])
    main(RegionLabelConfig(outside=outside))
    labels = open_label_maps("pseudolabel")
    assert labels.image_ids == [first, last]
    np.testing.assert_array_equal(labels[first].map, [[6, 6, 1], [9, 9, 1]])
    np.testing.assert_array_equal(labels[last].map, [[expected, expected, 8], [expected, expected, 8]])
    assert (labels[last].height, labels[last].width) == (32, 32)


def test_clusters_of_sampled_pixels_are_refused() -> None:
    index = fabricate_images(1)
    write_superpixels(index)
    assign([index.image_ids[0]] * 2, [2, 700], [0, 1])
    with pytest.raises(UserError, match=r"region 700 was clustered, its last superpixel is 3; set extract.regions"):
        main(RegionLabelConfig())


def test_objects_of_the_saliency_maps_take_their_clusters() -> None:
    index = fabricate_images(3)
    mask = fabricate_saliency(index)
    assign(index.image_ids, [1, 1, 1], [0, 3, 2])
    main(RegionLabelConfig(regions="saliency_maps"))
    for image_id, cluster in zip(index.image_ids, [0, 3, 2], strict=True):
        np.testing.assert_array_equal(open_label_maps("pseudolabel")[image_id].map, np.where(mask > 0, cluster + 1, 0))


def test_objects_of_the_saliency_head_take_their_clusters() -> None:
    index, network = fabricate_images(4), fabricate_object_network()
    assign(index.image_ids, [1] * 4, [4, 3, 2, 1])
    logits = [see_plainly(network, index, position)[1] for position in range(4)]
    threshold = float(1 / (1 + np.exp(-np.quantile(np.stack(logits), 0.5))))
    main(RegionLabelConfig(regions="saliency_head", short_side=32, threshold=threshold))
    for image_id, logit, cluster in zip(index.image_ids, logits, [4, 3, 2, 1], strict=True):
        expected = np.where(1 / (1 + np.exp(-logit)) >= threshold, cluster + 1, 0)
        found = open_label_maps("pseudolabel")[image_id].map
        assert (found != expected).mean() < 0.01  # pixels on the threshold itself
        assert cv2.countNonZero(found.astype(np.uint8)) == found.astype(bool).sum()
