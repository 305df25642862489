"""Objects' embeddings against sums over pixels one by one, and scikit-learn's PCA."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.decomposition import PCA
from torch import nn
from torch.nn import functional as F

from stages.core.artifacts.features import read_features
from stages.core.artifacts.image_index import ImageIndex
from stages.core.errors import UserError
from stages.core.nets.objects import ObjectNetwork
from stages.extract.__main__ import main
from stages.extract.methods.salient_object.config import SalientObjectConfig
from tests.fabricate import (
    EXPECTS,
    fabricate_backbone,
    fabricate_images,
    fabricate_object_network,
    fabricate_saliency,
)

SIDE = 32


def see_plainly(network: ObjectNetwork, index: ImageIndex, position: int) -> tuple[np.ndarray, np.ndarray]:
    """Raw embeddings (H, W, D) and saliency logits (H, W) of a photograph of 32 x 32 pixels."""
    pixels = index.read(position).astype(np.float32) / 255
    image = torch.from_numpy((pixels - EXPECTS.mean) / EXPECTS.std).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        features = network.features(image)
        maps = torch.cat([cast(nn.Module, head)(features) for head in (network.embedding, network.saliency)], 1)
        maps = F.interpolate(maps, (SIDE, SIDE), mode="bilinear")[0].permute(1, 2, 0)
    return maps[..., :-1].numpy(), maps[..., -1].numpy()


def mean_direction(embeddings: np.ndarray, mask: np.ndarray) -> Any:
    return np.mean([vector / np.linalg.norm(vector) for vector in embeddings[mask]], axis=0)


def test_mean_of_unit_embeddings_where_the_head_sees_an_object() -> None:
    index, network = fabricate_images(6), fabricate_object_network()
    logits = np.stack([see_plainly(network, index, position)[1] for position in range(6)])
    threshold = float(1 / (1 + np.exp(-np.quantile(logits, 0.7))))
    main(SalientObjectConfig(short_side=SIDE, threshold=threshold))
    rows = read_features()
    expected, ids, areas = [], [], []
    for position in range(6):
        embeddings, logit = see_plainly(network, index, position)
        mask = 1 / (1 + np.exp(-logit)) >= threshold
        if mask.any():
            expected.append(mean_direction(embeddings, mask))
            ids.append(index.image_ids[position])
            areas.append(mask.sum())
    assert rows.image_ids == ids
    assert set(rows.region_ids) == {1}
    np.testing.assert_allclose(rows.areas, areas, atol=2)
    np.testing.assert_allclose(rows.embeddings, expected, atol=2e-3)


def test_weighted_sum_of_raw_embeddings_as_in_the_code() -> None:
    index, network = fabricate_images(6), fabricate_object_network()
    main(SalientObjectConfig(short_side=SIDE, threshold=0.3, weighting="saliency"))
    rows = read_features()
    for image_id, found in zip(rows.image_ids, rows.embeddings, strict=True):
        embeddings, logit = see_plainly(network, index, index.image_ids.index(image_id))
        mask = 1 / (1 + np.exp(-logit)) >= 0.3
        total = (embeddings[mask] * logit[mask][:, None]).sum(0)
        np.testing.assert_allclose(found, total / np.linalg.norm(total), atol=2e-3)


def test_masks_of_the_saliency_stage_serve_models_without_a_head() -> None:
    index = fabricate_images(6)
    backbone = fabricate_backbone("attend")
    mask = fabricate_saliency(index, empty=[2])
    main(SalientObjectConfig(short_side=SIDE, mask="saliency_maps"))
    rows = read_features()
    assert rows.image_ids == [image_id for number, image_id in enumerate(index.image_ids) if number != 2]
    inside = cv2.resize(mask.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) >= 128
    pixels = index.read(0).astype(np.float32) / 255
    image = torch.from_numpy((pixels - EXPECTS.mean) / EXPECTS.std).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        features = F.interpolate(backbone(image), (SIDE, SIDE), mode="bilinear")[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(rows.embeddings[0], mean_direction(features, inside), atol=1e-4)


def test_a_model_without_a_saliency_head_is_told_what_to_do() -> None:
    fabricate_images(3)
    fabricate_backbone("attend")
    with pytest.raises(UserError, match="mask: saliency_maps"):
        main(SalientObjectConfig(short_side=SIDE))


def test_whitening_is_pca_with_unit_variance() -> None:
    fabricate_images(12)
    fabricate_object_network()
    main(SalientObjectConfig(short_side=SIDE, threshold=0.01))
    plain = read_features().embeddings
    main(SalientObjectConfig(short_side=SIDE, threshold=0.01, whiten=3))
    found = read_features().embeddings
    expected = PCA(3, whiten=True).fit_transform(plain.astype(np.float64))
    assert found.shape == (12, 3)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.T @ found / 11, np.eye(3), atol=1e-3)


def test_more_components_than_there_are_is_refused() -> None:
    fabricate_images(6)
    fabricate_object_network(size=4)
    with pytest.raises(
        UserError,
        match=r"whiten = 5: 6 vectors of 4 channels .* at most 4, or add",
    ):
        main(SalientObjectConfig(short_side=SIDE, threshold=0.01, whiten=5))


def test_the_heads_logit_needs_the_head() -> None:
    with pytest.raises(ValidationError, match="set mask: saliency_head"):
        SalientObjectConfig(mask="saliency_maps", weighting="saliency")
