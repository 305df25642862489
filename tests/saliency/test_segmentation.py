"""Our graph-based segmentation against scikit-image's."""

from __future__ import annotations

import cv2
import numpy as np
from skimage.segmentation import felzenszwalb
from sklearn.metrics import adjusted_rand_score

from stages.core.images.segmentation import segment_graph


def draw(seed):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 100, (6, 8, 3)).astype(np.float32)
    image = cv2.resize(coarse, (120, 90), interpolation=cv2.INTER_NEAREST) + rng.normal(0, 2, (90, 120, 3))
    return image.astype(np.float32)


def test_segments_agree_with_another_implementation():
    # scikit-image divides its scale by 255; it takes values as they are when they are floats.
    scores = []
    for seed in range(8):
        image = draw(seed)
        theirs = felzenszwalb(image / 255, scale=50, sigma=0, min_size=20)
        scores.append(adjusted_rand_score(theirs.ravel(), segment_graph(image, 50, 20).ravel()))
    # Edges of equal weight are taken in another order, and ours are rounded to 1/64.
    assert np.mean(scores) > 0.95


def test_a_step_larger_than_the_variation_inside_separates():
    image = np.zeros((20, 20, 3), np.float32)
    image[:, 10:] = 30
    regions = segment_graph(image, 50, 1)
    np.testing.assert_array_equal(regions, np.repeat([[0] * 10 + [1] * 10], 20, axis=0))


def test_small_segments_join():
    image = np.zeros((20, 20, 3), np.float32)
    image[5:8, 5:8] = 90
    assert segment_graph(image, 1, 1).max() == 1
    assert segment_graph(image, 1, 10).max() == 0


def test_ids_have_no_gaps_and_segments_have_the_smallest_size():
    regions = segment_graph(draw(0), 5, 30)
    sizes = np.bincount(regions.ravel())
    assert sizes.min() >= 30
    assert regions[0, 0] == 0
