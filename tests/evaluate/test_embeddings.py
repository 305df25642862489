"""Principal components as colors, against scikit-learn's, and superpixels painted with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from stages.core.artifacts.features import Feature, write_features
from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from stages.evaluate import Config
from stages.evaluate.__main__ import main
from stages.evaluate.inputs import read_inputs
from stages.evaluate.report.embeddings import color_by_components, draw_embedding_maps
from stages.evaluate.scoring import OUT
from tests.evaluate.project import SIDE, write_project

IDS = np.kron(np.array([[1, 2], [3, 4]], np.uint16), np.ones((SIDE // 2, SIDE // 2), np.uint16))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUSS_WORKERS", "1")
    write_project()


def describe(image_ids: list[str], method: str = "region", ids: tuple[int, ...] = (1, 2, 3, 4)) -> np.ndarray:
    """Superpixels of the photographs and random embeddings (N, 4, 6) of the regions `ids`."""
    embeddings = np.random.default_rng(0).normal(size=(len(image_ids), len(ids), 6)).astype(np.float32)
    rows = [
        Feature(image_id, number, 9, vector)
        for image_id, vectors in zip(image_ids, embeddings, strict=True)
        for number, vector in zip(ids, vectors, strict=True)
    ]
    write_features(rows, 6, "float32", method)
    write_label_maps("superpixels", "slic", [LabelMap(image_id, *IDS.shape, IDS) for image_id in image_ids])
    return embeddings


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_colors_follow_the_components(size: int) -> None:
    vectors = np.random.default_rng(1).normal(size=(500, size)) * np.arange(1, size + 1)
    colors = color_by_components(vectors.astype(np.float32)).astype(float)
    components = PCA(min(size, 3)).fit_transform(vectors)
    for channel in range(min(size, 3)):
        inner = (colors[:, channel] > 0) & (colors[:, channel] < 255)
        assert 0.93 < inner.mean() < 0.97
        assert abs(np.corrcoef(colors[inner, channel], components[inner, channel])[0, 1]) > 0.999
    assert not colors[:, size:].any()


def test_each_superpixel_has_the_color_of_its_embedding() -> None:
    images = read_inputs().images.in_splits("train")
    described = describe(images.image_ids)
    shown = draw_embedding_maps(read_inputs())
    places = [images.image_ids.index(each.image_id) for each in shown]
    assert len(set(places)) == 10
    assert (places[0], places[-1]) == (0, len(images) - 1)
    vectors = described[places].reshape(-1, 6)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # as the drawn clusters say
    expected = color_by_components(vectors).reshape(-1, 4, 3)
    for each, colors in zip(shown, expected, strict=True):
        quarters = each.embeddings[SIDE // 4 :: SIDE // 2, SIDE // 4 :: SIDE // 2].reshape(4, 3)
        assert np.array_equal(quarters, colors)
    write_features([Feature(image_id, 2, 9, np.ones(6)) for image_id in images.image_ids], 6, "float32", "region")
    quarters = draw_embedding_maps(read_inputs())[0].embeddings[SIDE // 4 :: SIDE // 2, SIDE // 4 :: SIDE // 2]
    assert (quarters.reshape(4, 3)[[0, 2, 3]] == 128).all(), "not described"
    main(Config())
    assert "Embeddings</a>" in (OUT / "report.html").read_text()


def test_other_things_than_superpixels_are_not_painted() -> None:
    ids = read_inputs().images.in_splits("train").image_ids
    describe(ids, "salient_object")
    assert draw_embedding_maps(read_inputs()) == []
    describe(ids, ids=(7, 900, 901))
    assert draw_embedding_maps(read_inputs()) == []
