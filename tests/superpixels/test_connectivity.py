"""Every id one component, against scikit-image's component labelling."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.measure import label as find_components

from stages.core.images.connectivity import connect_labels

label_maps = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3))
COLORS = np.array([[0.0], [1.0], [10.0], [100.0]], np.float32)


@settings(deadline=None)  # the first call loads the kernel
@given(label_maps)
def test_without_a_smallest_size_ids_are_the_connected_components(labels):
    wanted = find_components(labels, connectivity=1, background=-1)
    np.testing.assert_array_equal(connect_labels(labels, COLORS, 0), wanted)


@settings(deadline=None)  # the first call loads the kernel
@given(label_maps, st.integers(2, 40))
def test_small_components_join_until_all_are_large_or_one(labels, min_size):
    regions = connect_labels(labels, COLORS, min_size)
    sizes = np.bincount(regions.ravel())[1:]
    assert (sizes > 0).all()
    assert len(sizes) == 1 or sizes.min() >= min_size
    assert find_components(regions, connectivity=1, background=-1).max() == len(sizes)
    components = find_components(labels, connectivity=1, background=-1)
    assert all(len(np.unique(regions[components == i])) == 1 for i in np.unique(components)), "a component was split"


def test_a_small_component_joins_the_neighbor_of_the_closest_color():
    labels = np.array([[0, 0, 0, 1, 3, 3, 3]] * 3, np.int32)
    labels[0, 3] = labels[2, 3] = 0
    regions = connect_labels(labels, COLORS, 2)
    assert regions[1, 3] == regions[0, 0] != regions[0, 6]
    far = np.array([[100.0], [1.0], [10.0], [0.0]], np.float32)
    assert connect_labels(labels, far, 2)[1, 3] == 2
