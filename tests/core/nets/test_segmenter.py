"""The segmenter against plain interpolation, softmax and arg-max of all classes at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stages.core.artifacts.model_card import ModelCard
from stages.core.artifacts.models import describe_parts, read_model, write_model
from stages.core.config.networks import ProjectionConfig
from stages.core.config.segmenter import Score
from stages.core.nets.heads import PixelClassifier, ProjectionHead, Prototypes, classify_by_centroids
from stages.core.nets.segmenter import Segmenter, _label_and_score, restore_segmenter
from tests.fabricate import EXPECTS, SIZE, fabricate_segmenter


@pytest.mark.parametrize("clusters", [2, 64, 65, 70, 130])
@pytest.mark.parametrize("score", ["softmax", "normalized_logit"])
def test_label_and_score_equal_the_plain_computation(clusters: int, score: Score) -> None:
    logits = 3 * torch.randn(1, clusters, 5, 7, generator=torch.Generator().manual_seed(clusters))
    label, hundredths = _label_and_score(logits, (23, 31), score)
    large = F.interpolate(logits.double(), (23, 31), mode="bilinear", align_corners=False)[0]
    assert (label == large.argmax(0) + 1).double().mean() > 0.999  # float32 may part ties differently
    top = large.amax(0)
    expected = F.softmax(large, 0).amax(0) if score == "softmax" else (top - top.min()) / (top.max() - top.min())
    clear = (expected * 100 - (expected * 100).round()).abs() > 1e-3
    assert clear.double().mean() > 0.95
    assert torch.equal(hundredths[clear].long(), (expected[clear] * 100).floor().long())
    assert int(label.min()) >= 1
    assert int(label.max()) <= clusters


@pytest.mark.parametrize("clusters", [1, 2, 64, 70, 130])
def test_foreground_is_what_the_first_class_is_not(clusters: int) -> None:
    """The label is the best of the categories even where the background is likelier, the score all of them together."""
    logits = 3 * torch.randn(1, clusters + 1, 5, 7, generator=torch.Generator().manual_seed(clusters))
    logits[:, 0] += np.log(clusters)
    label, hundredths = _label_and_score(logits, (23, 31), "foreground")
    large = F.interpolate(logits.double(), (23, 31), mode="bilinear", align_corners=False)[0]
    assert (label == large[1:].argmax(0) + 1).double().mean() > 0.999  # float32 may part ties differently
    expected = F.softmax(large, 0)[1:].sum(0)
    assert expected.min() < 0.5 < expected.max()
    clear = (expected * 100 - (expected * 100).round()).abs() > 1e-3
    assert clear.double().mean() > 0.95
    assert torch.equal(hundredths[clear].long(), (expected[clear] * 100).floor().long())


def test_the_best_class_is_found_on_both_sides_of_a_chunks_border() -> None:
    for best in (0, 63, 64, 69):
        logits = torch.zeros(1, 70, 2, 2)
        logits[:, best] = 9.0
        label, score = _label_and_score(logits, (4, 4), "softmax")
        assert set(label.flatten().tolist()) == {best + 1}
        assert set(score.flatten().tolist()) == {int(100 * np.exp(9) / (np.exp(9) + 69))}


@pytest.mark.parametrize("hundredth", range(0, 101, 7))
def test_scores_are_hundredths_rounded_down(hundredth: int) -> None:
    """`stored < 100 t` must equal `score < t`, also for a score that is t itself in float32."""
    t = np.float32(hundredth) / np.float32(100)
    scores = torch.tensor([np.nextafter(t, np.float32(-1)), t, np.nextafter(t, np.float32(2))]).clamp(0, 1)
    logits = torch.stack([scores, torch.full((3,), -9.0)])[None, :, None]  # the top logit is the score
    logits = torch.cat(
        [logits, torch.tensor([[0.0], [-9.0]])[None, :, None], torch.tensor([[1.0], [-9]])[None, :, None]], 3
    )
    _, stored = _label_and_score(logits, (1, 5), "normalized_logit")
    for value, got in zip(scores.tolist(), stored[0, :3].tolist(), strict=True):
        assert (got < hundredth) == (value < t)


def with_segmenter(card: ModelCard, **values: object) -> ModelCard:
    return card.model_copy(update={"segmenter": card.segmenter.model_copy(update=values)})


def build(clusters: int = 5, score: str = "softmax") -> Segmenter:
    backbone, head = fabricate_segmenter(clusters)
    card, states = read_model("finetune", ["backbone", "head"])
    card = with_segmenter(card, score=score)
    segmenter = restore_segmenter(card, states)
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(segmenter(images), head(backbone(images)))
    return segmenter


PHOTO = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)


def test_a_photograph_is_segmented_at_its_own_size_as_plain_torch_does() -> None:
    from PIL import Image
    from torchvision.transforms.v2 import functional as tv

    segmenter = build()
    small = tv.resize(Image.fromarray(PHOTO), [32], antialias=True)
    pixels = tv.normalize(tv.to_dtype(tv.to_image(small), torch.float32, scale=True), EXPECTS.mean, EXPECTS.std)
    with torch.no_grad():
        logits = F.interpolate(segmenter.head(segmenter.features(pixels[None])), (40, 60), mode="bilinear")[0]
    found = segmenter.segment_photograph(PHOTO, 10**6)
    assert (found.label.dtype, found.score.dtype) == (np.uint16, np.uint8)
    assert found.label.shape == found.score.shape == (40, 60)
    assert np.mean(found.label == logits.argmax(0).numpy() + 1) > 0.99
    assert abs(found.score / 100 - F.softmax(logits, 0).amax(0).numpy()).max() < 0.011


def test_above_the_bound_labels_are_enlarged_by_nearest_neighbor() -> None:
    segmenter = build()
    exact, coarse = segmenter.segment_photograph(PHOTO, 2400), segmenter.segment_photograph(PHOTO, 600)
    assert exact.label.shape == coarse.label.shape == (40, 60)
    np.testing.assert_array_equal(coarse.label, np.kron(coarse.label[::2, ::2], np.ones((2, 2), int)))
    np.testing.assert_array_equal(coarse.score, np.kron(coarse.score[::2, ::2], np.ones((2, 2), int)))
    alone = segmenter.segment_photograph(PHOTO, 1)
    assert len(np.unique(alone.label)) == 1


def test_background_as_a_class_of_its_own_is_label_0() -> None:
    segmenter = build(clusters=4)
    plain = segmenter.segment_photograph(PHOTO, 10**6)
    segmenter.card = segmenter.card.model_copy(update={"background": "class_0"})
    found = segmenter.segment_photograph(PHOTO, 10**6)
    np.testing.assert_array_equal(found.label + 1, plain.label)
    np.testing.assert_array_equal(found.score, plain.score)


def test_a_saliency_head_gives_the_score_and_comes_back_from_the_artifact() -> None:
    backbone, head = fabricate_segmenter(3)
    card, states = read_model("finetune", ["backbone", "head"])
    saliency = PixelClassifier(SIZE, 1).requires_grad_(False)
    saliency.conv.weight.mul_(50)
    parts = {"backbone": backbone, "head": head, "saliency": saliency}
    described = with_segmenter(card.model_copy(update={"parts": describe_parts(parts)}), background="saliency_head")
    write_model("finetune", parts, described, [])
    segmenter = restore_segmenter(*read_model("finetune", ["saliency"]))
    found = segmenter.segment_photograph(PHOTO, 10**6)
    np.testing.assert_array_equal(found.label, restore_segmenter(card, states).segment_photograph(PHOTO, 10**6).label)
    images = torch.tensor(segmenter.prepare(PHOTO)).permute(2, 0, 1)[None] / 255
    images = (images - torch.tensor(EXPECTS.mean)[:, None, None]) / torch.tensor(EXPECTS.std)[:, None, None]
    with torch.no_grad():
        logits = F.interpolate(saliency(backbone(images)), PHOTO.shape[:2], mode="bilinear")
    expected = torch.sigmoid(logits)[0, 0].numpy()
    assert np.ptp(expected) > 0.01
    assert abs(found.score / 100 - expected).max() < 0.011


@pytest.mark.parametrize("normalize", [True, False])
def test_the_largest_logit_is_the_nearest_centroid(normalize: bool) -> None:
    from scipy.spatial.distance import cdist

    rng = np.random.default_rng(0)
    centroids, features = rng.normal(size=(7, 5)).astype(np.float32), rng.normal(size=(1, 5, 6, 9)).astype(np.float32)
    head = classify_by_centroids(torch.from_numpy(centroids), normalize)
    points = features[0].reshape(5, -1).T
    points = points / np.linalg.norm(points, axis=1, keepdims=True) if normalize else points
    nearest = cdist(points, centroids).argmin(1)
    np.testing.assert_array_equal(head(torch.from_numpy(features)).argmax(1).flatten().numpy(), nearest)


def test_heads_have_the_shapes_and_lengths_that_they_say() -> None:
    torch.manual_seed(0)
    z = ProjectionHead(6, ProjectionConfig(hidden=8, projected=4))(torch.randn(5, 6))
    torch.testing.assert_close(z.norm(dim=1), torch.ones(5))
    prototypes = Prototypes(4, 3)
    torch.testing.assert_close(prototypes.weight.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(prototypes(z), F.linear(z, prototypes.weight))
    with torch.no_grad():
        prototypes.weight.mul_(7)
    prototypes.normalize()
    torch.testing.assert_close(prototypes.weight.norm(dim=1), torch.ones(3))
    assert PixelClassifier(6, 3)(torch.zeros(2, 6, 4, 5)).shape == (2, 3, 4, 5)
