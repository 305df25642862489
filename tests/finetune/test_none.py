"""Centroids as the last layer: every pixel takes the centroid that brute force finds nearest."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stages.core.artifacts.clusters import Assignments, Centroids, write_clusters
from stages.core.artifacts.models import read_model
from stages.core.config.networks import Space
from stages.core.config.segmenter import ThresholdConfig
from stages.core.errors import UserError
from stages.core.nets.heads import PixelClassifier
from stages.core.nets.segmenter import restore_segmenter
from stages.finetune.__main__ import main
from stages.finetune.methods.none.config import NoFineTuningConfig
from tests.extract.test_salient_object import see_plainly
from tests.fabricate import SIZE, fabricate_backbone, fabricate_images, fabricate_object_network

FIXED = ThresholdConfig(rule="fixed", value=0.5)


def write_centroids(size: int, normalize: bool = True, scale: float = 1.0, space: Space = "stage4") -> np.ndarray:
    """Centroids of different lengths, so that angle and distance do not agree."""
    rng = np.random.default_rng(3)
    vectors = (rng.normal(size=(5, size)) * rng.uniform(0.3, 1.0, (5, 1)) * scale).astype(np.float32)
    nothing = Assignments([], np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32))
    write_clusters(Centroids(vectors, np.ones(5, np.int64), normalize, space), nothing, "kmeans")
    return vectors


def test_embedding_and_saliency_head_are_taken_along() -> None:
    index, network = fabricate_images(3), fabricate_object_network()
    centroids = write_centroids(6, space="embedding")
    main(NoFineTuningConfig(short_side=32, background="saliency_head", threshold=FIXED))
    card, states = read_model("finetune", ["backbone", "head", "saliency"])
    segmenter = restore_segmenter(card, states)
    assert card.segmenter.background == "saliency_head"
    units = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    for position in range(3):
        embeddings, logits = see_plainly(network, index, position)
        cosines = embeddings / np.linalg.norm(embeddings, axis=2, keepdims=True) @ units.T  # (H, W, K)
        found = segmenter.segment_photograph(index.read(position), 10**6)
        ranked = np.sort(cosines, axis=2)
        clear = ranked[..., -1] - ranked[..., -2] > 1e-4
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(found.label[clear], cosines.argmax(2)[clear] + 1)
        np.testing.assert_allclose(found.score, np.floor(100 / (1 + np.exp(-logits))), atol=1)


@pytest.mark.parametrize("normalize", [True, False])
def test_a_plain_backbone_takes_the_nearest_centroid(normalize: bool) -> None:
    index, backbone = fabricate_images(3), fabricate_backbone("attend")
    centroids = write_centroids(SIZE, normalize, scale=0.3)
    main(NoFineTuningConfig(short_side=96, threshold=ThresholdConfig(rule="fixed", value=0.0)))
    segmenter = restore_segmenter(*read_model("finetune"))
    torch.manual_seed(0)
    image = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        pixels = backbone(image)[0].flatten(1).T.numpy()  # (P, D)
        found = segmenter(image)[0].flatten(1).argmax(0).numpy()
    if normalize:
        pixels, centroids = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (pixels, centroids))
    distances = ((pixels[:, None] - centroids[None]) ** 2).sum(2)
    np.testing.assert_array_equal(found, distances.argmin(1))
    assert index.image_ids


def test_a_missing_saliency_head_and_vectors_of_another_size_are_told() -> None:
    fabricate_images(3)
    fabricate_backbone("attend")
    write_centroids(SIZE)
    with pytest.raises(UserError, match="no saliency head"):
        main(NoFineTuningConfig(background="saliency_head", threshold=FIXED))
    write_centroids(7)
    with pytest.raises(UserError, match="7 channels"):
        main(NoFineTuningConfig(threshold=FIXED))


@pytest.mark.parametrize("space", ["whitened", "projected", "decoder", "embedding"])
def test_centroids_of_something_else_are_refused_even_at_the_right_size(space: Space) -> None:
    fabricate_images(3)
    fabricate_backbone("attend")
    write_centroids(SIZE, space=space)
    with pytest.raises(UserError, match=f"centroids are of {space} vectors .* the pixels of the model of stage4 ones"):
        main(NoFineTuningConfig(threshold=FIXED))
    assert not Path("artifacts/finetune").exists()


def test_nothing_is_trained() -> None:
    fabricate_images(3)
    network = fabricate_object_network()
    write_centroids(6, space="embedding")
    main(NoFineTuningConfig(short_side=32, background="saliency_head", threshold=FIXED))
    _, states = read_model("finetune")
    for name, value in network.features.backbone.state_dict().items():
        assert torch.equal(states["backbone"][name], value)
    assert F.mse_loss(states["saliency"]["conv.weight"], cast(PixelClassifier, network.saliency).conv.weight) == 0
