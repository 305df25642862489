"""The graph and the optimization of RBD against SciPy and hand-made graphs."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.sparse.csgraph import dijkstra

from stages.saliency.robust_background.scoring import find_background, optimize_saliency
from stages.saliency.robust_background.superpixel_graph import SuperpixelGraph, build_graph, find_geodesics


def draw_graph(count=30, seed=0):
    rng = np.random.default_rng(seed)
    colors = rng.uniform(0, 60, (count, 3))
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=2).astype(np.float32)
    linked = rng.uniform(size=(count, count)) < 0.15
    linked = (linked | linked.T) & ~np.eye(count, dtype=bool)
    return SuperpixelGraph(
        distances, rng.uniform(size=(count, 2)).astype(np.float32), rng.uniform(size=count) < 0.3, linked
    )


def test_geodesics_are_shortest_paths():
    graph = draw_graph()
    wanted = dijkstra(np.where(graph.linked, graph.color_distances, 0), directed=False)
    np.testing.assert_allclose(find_geodesics(graph), wanted, rtol=1e-5)


def test_saliency_minimizes_the_cost():
    graph = draw_graph()
    rng = np.random.default_rng(1)
    background, foreground = rng.uniform(size=(2, 30)).astype(np.float32)
    weights = (np.exp(-np.square(graph.color_distances) / 200) + 0.1) * graph.linked

    def cost(s):
        smooth = 0.5 * (weights * np.square(s[:, None] - s[None])).sum()
        return (background * s**2).sum() + (foreground * (s - 1) ** 2).sum() + smooth

    wanted = minimize(cost, np.zeros(30), tol=1e-10).x
    np.testing.assert_allclose(optimize_saliency(graph, background, foreground), wanted, atol=1e-3)


def test_neighbors_colors_and_places_of_a_drawn_image():
    labels = np.repeat(np.repeat(np.arange(1, 26).reshape(5, 5), 4, axis=0), 6, axis=1).astype(np.int32)
    lab = np.zeros((20, 30, 3), np.uint8)
    lab[labels == 13] = (255, 138, 128)
    graph = build_graph(labels, lab)
    np.testing.assert_allclose(graph.positions[12], [0.5, 0.5])
    assert graph.at_border.sum() == 16
    assert set(np.flatnonzero(graph.linked[12])) == {7, 11, 13, 17}
    assert graph.linked[0, 24]
    assert graph.color_distances[12, 0] == np.float32(np.linalg.norm([100, 138, 128]))


def test_background_is_what_touches_the_border():
    labels = np.repeat(np.repeat(np.arange(1, 26).reshape(5, 5), 4, axis=0), 6, axis=1).astype(np.int32)
    lab = np.full((20, 30, 3), 128, np.uint8)
    inside = np.isin(labels, [7, 8, 9, 12, 13, 14, 17, 18, 19])
    lab[inside] = (255, 200, 60)
    background = find_background(build_graph(labels, lab))
    middle = np.isin(np.arange(1, 26), [7, 8, 9, 12, 13, 14, 17, 18, 19])
    assert background[~middle].min() > 0.9
    assert background[middle].max() < 0.01
