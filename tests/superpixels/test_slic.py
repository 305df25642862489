"""The kernel against SLIC written out plainly."""

from __future__ import annotations

import numpy as np
import pytest

from stages.core.images.connectivity import connect_labels
from stages.core.images.slic import SLICSettings, slic


def plain_slic(image, settings):
    """Every center, every row, whole windows as arrays; rows in turn, as the kernel documents."""
    height, width = image.shape[:2]
    size, pixels = settings.region_size, image.astype(np.float32)
    rows, columns = max(1, round(height / size)), max(1, round(width / size))
    y, x = np.mgrid[:height, :width]
    labels = (y * rows // height) * columns + x * columns // width
    middles = [((r + 0.5) * height / rows, (c + 0.5) * width / columns) for r in range(rows) for c in range(columns)]
    centers = np.array([(0, 0, 0, *middle) for middle in middles], np.float32)

    def window(k):
        cy, cx = int(centers[k, 3]), int(centers[k, 4])
        return np.s_[max(0, cy - size) : cy + size + 1, max(0, cx - size) : cx + size + 1]

    def update(seen):
        for k in range(len(centers)):
            here = window(k)
            mine = (labels[here] == k) & seen[here]
            if mine.any():
                values = np.dstack([image[here].astype(np.int64), y[here], x[here]])
                centers[k] = values[mine].sum(axis=0) / mine.sum()

    def assign(seen):
        best = np.full((height, width), np.inf, np.float32)
        weight = np.float32((settings.compactness / size) ** 2)
        for k, center in enumerate(centers.copy()):
            here = window(k)
            d = pixels[here] - center[:3]
            dy, dx = y[here].astype(np.float32) - center[3], x[here].astype(np.float32) - center[4]
            distance = d[..., 0] ** 2 + d[..., 1] ** 2 + d[..., 2] ** 2 + weight * dx * dx + weight * dy * dy
            closer = (distance < best[here]) & seen[here]
            best[here][closer] = distance[closer]
            labels[here][closer] = k

    update(y % 2 == 0)
    for iteration in range(settings.iterations - 1):
        assign(y % 2 == iteration % 2)
        update(y % 2 == iteration % 2)
    assign(np.ones_like(y, bool))
    return labels, centers


def remove_specks(labels):
    labels = labels.copy()
    equal = labels[:, 2:] == labels[:, :-2]
    labels[:, 1:-1] = np.where(equal, labels[:, 2:], labels[:, 1:-1])
    equal = labels[2:] == labels[:-2]
    labels[1:-1] = np.where(equal, labels[2:], labels[1:-1])
    return labels


@pytest.mark.parametrize(("shape", "size"), [((48, 64), 8), ((31, 50), 10), ((40, 23), 20)])
def test_regions_equal_those_of_the_algorithm_written_out(shape, size):
    rng = np.random.default_rng(size)
    coarse = rng.integers(0, 256, (shape[0] // 8 + 1, shape[1] // 8 + 1, 3))
    image = np.kron(coarse, np.ones((8, 8, 1), int))[: shape[0], : shape[1]] + rng.integers(-20, 20, (*shape, 3))
    image = image.clip(0, 255).astype(np.uint8)
    settings = SLICSettings(region_size=size, iterations=4)
    labels, centers = plain_slic(image, settings)
    wanted = connect_labels(remove_specks(labels).astype(np.int32), centers[:, :3].copy(), int(0.25 * size**2))
    np.testing.assert_array_equal(slic(image, settings), wanted)


def test_regions_follow_a_color_edge_between_the_grid_lines():
    image = np.zeros((60, 60, 3), np.uint8)
    image[:, 27:] = 200
    regions = slic(image, SLICSettings(region_size=20))
    assert set(regions[:, :27].ravel()).isdisjoint(regions[:, 27:].ravel())
