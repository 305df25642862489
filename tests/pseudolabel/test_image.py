"""Every photograph's cluster becomes a 1x1 map."""

from __future__ import annotations

import numpy as np
import pytest

from stages.core.artifacts.clusters import Assignments
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.errors import UserError
from stages.pseudolabel.__main__ import main
from stages.pseudolabel.methods.image.config import ImageLabelConfig
from stages.pseudolabel.methods.image.method import label
from tests.fabricate import fabricate_clusters, fabricate_images


def test_maps_are_one_pixel_of_cluster_id_plus_one() -> None:
    index = fabricate_images(6, (20, 31), held_out=2)
    clusters = [0, 2, 1, 299, 2, 0]
    fabricate_clusters(clusters, index.in_splits("train").image_ids, 300)
    main(ImageLabelConfig())
    maps = open_label_maps("pseudolabel")
    assert maps.image_ids == index.in_splits("train").image_ids
    for got, cluster in zip(maps, clusters, strict=True):
        assert (got.height, got.width) == (20, 31)
        assert got.map.dtype == np.uint16
        assert got.map.tolist() == [[cluster + 1]]


def test_regions_of_a_photograph_do_not_label_it() -> None:
    index = fabricate_images(2)
    first, second = index.image_ids
    assignments = Assignments(
        [first, first, second], np.array([0, 1, 3], np.int32), np.array([4, 5, 6], np.int32), np.zeros(3, np.float32)
    )
    assert [(one.image_id, one.map.tolist()) for one in label(index, assignments)] == [(first, [[5]])]


def test_without_clusters_it_says_what_to_run() -> None:
    fabricate_images(2)
    with pytest.raises(UserError, match="dvc repro cluster"):
        main(ImageLabelConfig())
