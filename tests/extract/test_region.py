"""Embeddings of superpixels and of sampled pixels against an enlarged map looked at pixel by pixel."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from stages.core.artifacts.features import read_features
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from stages.core.images.crops import resize_short_side
from stages.core.images.inference import normalize
from stages.extract.__main__ import main
from stages.extract.methods.region.config import RegionEmbeddingConfig
from tests.fabricate import EXPECTS, fabricate_backbone, fabricate_images


def enlarge_plainly(backbone: torch.nn.Module, index: ImageIndex, position: int, side: int) -> np.ndarray:
    """(H, W, D) features at the size that a photograph is described at."""
    pixels = torch.from_numpy(resize_short_side(index.read(position), side).transpose(2, 0, 1).copy())[None]
    with torch.no_grad():
        features = backbone(normalize(pixels, EXPECTS))
    return F.interpolate(features, pixels.shape[2:], mode="bilinear", align_corners=False)[0].permute(1, 2, 0).numpy()


def test_rows_are_the_means_over_superpixels() -> None:
    index, backbone = fabricate_images(3, (36, 54)), fabricate_backbone("attend")
    rng = np.random.default_rng(0)
    coarse = {name: rng.integers(0, 6, (6, 9)).astype(np.uint16) for name in index.image_ids}
    write_label_maps("superpixels", "drawn", [LabelMap(name, 36, 54, ids) for name, ids in coarse.items()])
    main(RegionEmbeddingConfig(short_side=48))
    rows, place = read_features(), 0
    for position, name in enumerate(index.image_ids):
        enlarged = enlarge_plainly(backbone, index, position, 48)
        shown = coarse[name].repeat(8, 0).repeat(8, 1)
        for number in sorted(set(shown.ravel().tolist()) - {0}):
            assert (rows.image_ids[place], rows.region_ids[place]) == (name, number)
            assert rows.areas[place] == (coarse[name] == number).sum() * 36
            expected = enlarged[shown == number].mean(0)
            np.testing.assert_allclose(rows.embeddings[place], expected, rtol=1e-4, atol=1e-5)
            place += 1
    assert place == len(rows.image_ids)


def test_pixels_are_drawn_without_repetition_and_named_by_their_place() -> None:
    index, backbone = fabricate_images(2, (40, 48)), fabricate_backbone("attend")
    main(RegionEmbeddingConfig(regions="pixels", pixels=60, short_side=40))
    rows = read_features()
    assert len(rows.image_ids) == 120
    assert set(rows.areas) == {1}
    for position, name in enumerate(index.image_ids):
        enlarged = enlarge_plainly(backbone, index, position, 40).reshape(40 * 48, -1)
        chosen = [row for row, image_id in enumerate(rows.image_ids) if image_id == name]
        places = rows.region_ids[chosen] - 1
        assert len(set(places.tolist())) == 60
        assert (np.diff(places) > 0).all()
        assert 0.3 < np.mean(places) / (40 * 48) < 0.7
        np.testing.assert_allclose(rows.embeddings[chosen], enlarged[places], rtol=1e-4, atol=1e-5)
    main(RegionEmbeddingConfig(regions="pixels", pixels=60, short_side=40, seed=1))
    assert set(read_features().region_ids) != set(rows.region_ids)


def test_drawn_superpixels_are_some_of_all_with_the_same_vectors() -> None:
    index = fabricate_images(3, (36, 54))
    fabricate_backbone("attend")
    rng = np.random.default_rng(0)
    maps = {name: rng.integers(0, 8, (6, 9)).astype(np.uint16) for name in index.image_ids}
    write_label_maps("superpixels", "drawn", [LabelMap(name, 36, 54, ids) for name, ids in maps.items()])
    main(RegionEmbeddingConfig(short_side=48))
    everything = read_features()
    names = zip(everything.image_ids, everything.region_ids, strict=True)
    known = dict(zip(names, everything.embeddings, strict=True))
    main(RegionEmbeddingConfig(short_side=48, sampled=3))
    drawn = read_features()
    keys = list(zip(drawn.image_ids, drawn.region_ids, strict=True))
    assert len(set(keys)) == len(keys) == 3 * 3
    for key, row in zip(keys, drawn.embeddings, strict=True):
        np.testing.assert_allclose(row, known[key], rtol=1e-5, atol=1e-6)
