"""Rows against torchvision's resize and crop and a plain forward pass of timm's network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from stages.core.artifacts.features import read_features
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from stages.core.artifacts.models import read_model
from stages.core.config.networks import FeatureMap
from stages.core.errors import UserError
from stages.core.nets.features import restore_features
from stages.extract.__main__ import main
from stages.extract.methods.image.config import ImageEmbeddingConfig
from stages.pretrain.__main__ import main as pretrain
from stages.pretrain.methods.luss.config import LUSSConfig
from tests.fabricate import EXPECTS, SIZE, fabricate_backbone, fabricate_images
from tests.methods import small

CONFIG = ImageEmbeddingConfig(resize=40, crop=32)


def prepare_plainly(index: ImageIndex, position: int) -> torch.Tensor:
    image = Image.open(f"data/{index[position].path}")
    crop = tv.center_crop(tv.resize(image, [40], antialias=True), [32, 32])
    return tv.normalize(tv.to_dtype(tv.to_image(crop), torch.float32, scale=True), EXPECTS.mean, EXPECTS.std)


def describe_plainly(backbone: torch.nn.Module, index: ImageIndex, position: int) -> np.ndarray:
    plain = timm.create_model("test_resnet", num_classes=0).eval()  # pools over positions by itself
    plain.load_state_dict(backbone.state_dict())
    with torch.no_grad():
        return plain(prepare_plainly(index, position)[None])[0].numpy()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rows_are_the_mean_of_the_last_map_of_the_center_crop(dtype: str) -> None:
    index = fabricate_images(70, (36, 50))  # more than a batch
    backbone = fabricate_backbone("attend")
    main(CONFIG.model_copy(update={"dtype": dtype}))
    rows = read_features()
    assert rows.image_ids == index.image_ids
    assert set(rows.region_ids) == {0}
    assert set(rows.areas) == {36 * 50}
    assert rows.embeddings.shape == (70, SIZE)
    tolerance = 1e-4 if dtype == "float32" else 2e-3
    for position in (0, 33, 63, 64, 69):
        expected = describe_plainly(backbone, index, position)
        np.testing.assert_allclose(rows.embeddings[position], expected, rtol=tolerance, atol=tolerance)


def pretrain_luss(attention: bool) -> ImageIndex:
    """A model with a decoder, and with attention where asked for, after a few steps."""
    index = fabricate_images(8)
    square = np.zeros((32, 32), np.uint8)
    square[8:24, 8:24] = 255
    write_label_maps("saliency", "drawn", [LabelMap(one, 32, 32, square) for one in index.image_ids])
    pretrain(small(LUSSConfig, attention=attention, saliency_weight=float(attention)))
    Path("artifacts/pretrain").rename("artifacts/attend")
    return index


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("feature_map", [None, "decoder", "stage4"])
def test_maps_are_pooled_by_the_attention_that_was_trained_on_them(
    attention: bool, feature_map: FeatureMap | None
) -> None:
    index = pretrain_luss(attention)
    main(CONFIG.model_copy(update={"feature_map": feature_map}))
    card, states = read_model("attend")
    network = restore_features(card, states, feature_map).eval()
    for position, row in enumerate(read_features().embeddings):
        with torch.no_grad():
            pixels = network(prepare_plainly(index, position)[None])[0].flatten(1).T  # (h w, D)
        if attention and feature_map != "stage4":
            weights = pixels @ states["attention"]["conv.weight"][0, :, 0, 0] + states["attention"]["conv.bias"]
            pixels = pixels * torch.sigmoid(weights)[:, None]
        np.testing.assert_allclose(row, pixels.mean(0), rtol=1e-3, atol=1e-4)


def test_a_projection_of_another_map_is_refused() -> None:
    pretrain_luss(attention=True)
    main(CONFIG.model_copy(update={"embedding": "projected"}))
    np.testing.assert_allclose(np.linalg.norm(read_features().embeddings, axis=1), 1, rtol=1e-4)
    with pytest.raises(UserError, match="made of the model's decoder; take backbone"):
        main(CONFIG.model_copy(update={"embedding": "projected", "feature_map": "stage4"}))


def test_only_the_splits_asked_for_are_described() -> None:
    index = fabricate_images(3, held_out=2)
    fabricate_backbone("attend")
    main(CONFIG)
    assert read_features().image_ids == index.in_splits("train").image_ids
    main(CONFIG.model_copy(update={"splits": ("train", "test")}))
    assert read_features().image_ids == index.in_splits("train", "test").image_ids


def test_a_crop_larger_than_the_resized_photograph_is_filled() -> None:
    fabricate_images(3)
    fabricate_backbone("attend")
    main(ImageEmbeddingConfig(resize=16, crop=48))
    assert np.isfinite(read_features().embeddings).all()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_processes_do_not_change_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    fabricate_images(5)
    fabricate_backbone("attend")
    written = []
    for workers in ("1", "3"):
        monkeypatch.setenv("LUSS_WORKERS", workers)
        main(CONFIG)
        written.append(Path("artifacts/extract/part-00000.parquet").read_bytes())
    assert written[0] == written[1]


def test_a_photograph_that_changed_since_is_refused() -> None:
    index = fabricate_images(3)
    fabricate_backbone("attend")
    Path("data", index[1].path).write_bytes(b"else")
    with pytest.raises(UserError, match=f"data/{index[1].path}: changed or gone"):
        main(CONFIG)
    assert not Path("artifacts/extract").exists()
