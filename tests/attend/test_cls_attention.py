"""The class token's attention against timm's own projections, through every stage that reads it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from stages.attend.__main__ import main
from stages.attend.methods.cls_attention.config import ClassTokenAttentionConfig
from stages.core.artifacts.features import read_features
from stages.core.artifacts.models import read_model, read_model_card
from stages.core.config.segmenter import ThresholdConfig
from stages.core.errors import UserError
from stages.core.nets.attention import rank_by_mass
from stages.core.nets.features import restore_features
from stages.core.nets.segmenter import restore_segmenter
from stages.extract.__main__ import main as extract
from stages.extract.methods.image.config import ImageEmbeddingConfig
from stages.finetune.__main__ import main as finetune
from stages.finetune.methods.none.config import NoFineTuningConfig
from tests.fabricate import EXPECTS, fabricate_backbone, fabricate_images, fabricate_transformer
from tests.finetune.test_none import write_centroids


def attend_plainly(network: torch.nn.Module, images: Tensor, block: int) -> np.ndarray:
    """Mean of the heads' attention of the class token (B, N), from the queries and keys of timm's block."""
    attention, seen = network.blocks[block].attn, {}
    hook = attention.qkv.register_forward_hook(lambda module, given, qkv: seen.update(qkv=qkv))
    with torch.no_grad():
        network.forward_features(images)
    hook.remove()
    q, k, _ = seen["qkv"].reshape(len(images), -1, 3, 2, 12).permute(2, 0, 3, 1, 4)  # (B, heads, N, 12) each
    return (q[:, :, :1] @ k.transpose(2, 3) / 12**0.5).softmax(-1)[:, :, 0, 1:].mean(1).numpy()


def rank_plainly(shares: np.ndarray) -> np.ndarray:
    return np.array([shares[shares <= share].sum() / shares.sum() for share in shares])


def test_a_pixels_rank_is_the_mass_of_those_with_less() -> None:
    shares = torch.tensor([0.5, 0.05, 0.3, 0.15]).reshape(1, 1, 2, 2) * 0.9
    torch.testing.assert_close(rank_by_mass(shares).flatten(), torch.tensor([1.0, 0.05, 0.5, 0.2]))


@pytest.mark.parametrize("block", [1, -1])
def test_pixels_weigh_as_the_class_token_attends_to_them(block: int) -> None:
    network, images = fabricate_transformer("pretrain"), torch.randn(2, 3, 40, 56)
    main(ClassTokenAttentionConfig(block=block))
    assert read_model_card("attend").method == "cls_attention"
    features = restore_features(*read_model("attend"), is_attended=True).eval()
    with torch.no_grad():
        found, plain, weighed = features.attend(images), network(images), features(images)
    assert found.weights.shape == (2, 1, 5, 7)
    wanted = [rank_plainly(shares) for shares in attend_plainly(network, images, block)]
    np.testing.assert_allclose(found.weights.flatten(1), wanted, atol=1e-5)
    torch.testing.assert_close(found.features, plain)
    torch.testing.assert_close(weighed, found.weights * plain)


def test_embeddings_are_pooled_by_it_and_it_tells_the_background() -> None:
    index = fabricate_images(3, (48, 48))
    network = fabricate_transformer("pretrain")
    main(ClassTokenAttentionConfig())
    extract(ImageEmbeddingConfig(resize=48, crop=48))
    embeddings = read_features().embeddings
    centroids = write_centroids(24)
    threshold = ThresholdConfig(rule="fixed", value=0.4)
    finetune(NoFineTuningConfig(short_side=48, background="attention", threshold=threshold))
    segmenter = restore_segmenter(*read_model("finetune", ["backbone", "head"]))
    units = torch.tensor(centroids / np.linalg.norm(centroids, axis=1, keepdims=True))
    for position, embedding in enumerate(embeddings):
        pixels = torch.from_numpy(index.read(position).copy()).permute(2, 0, 1)[None] / 255
        images = (pixels - torch.tensor(EXPECTS.mean)[:, None, None]) / torch.tensor(EXPECTS.std)[:, None, None]
        shares = attend_plainly(network, images, -1)[0]
        weights = torch.tensor(rank_plainly(shares)).reshape(1, 1, 6, 6).float()
        with torch.no_grad():
            features = network(images)
        wanted = (weights * features).mean((2, 3))[0]
        np.testing.assert_allclose(embedding, wanted, rtol=1e-3, atol=1e-4)
        found = segmenter.segment_photograph(index.read(position), 10**6)
        enlarged = torch.nn.functional.interpolate(weights, (48, 48), mode="bilinear")[0, 0]
        np.testing.assert_allclose(found.score, np.floor(100 * enlarged.numpy()), atol=1)
        cosines = torch.einsum("kd,dhw->khw", units, torch.nn.functional.normalize(features[0], dim=0))
        nearest = cosines.argmax(0).numpy() + 1
        assert (found.label[4::8, 4::8] == nearest).mean() > 0.8  # enlarged cosines, read at the patches' middles


@pytest.mark.parametrize(
    ("name", "block", "said"),
    [
        ("tiny_patch8", 3, "attention: block 3, but tiny_patch8 has blocks 0 to 2"),
        ("tiny_patch8_without_class_token", -1, "has neither class token nor registers"),
    ],
)
def test_a_network_without_it_is_refused_before_the_stages_behind(name: str, block: int, said: str) -> None:
    fabricate_transformer("pretrain", name)
    with pytest.raises(UserError, match=said):
        main(ClassTokenAttentionConfig(block=block))


def test_a_convolutional_network_is_refused() -> None:
    fabricate_backbone()
    with pytest.raises(UserError, match="test_resnet has no class token"):
        main(ClassTokenAttentionConfig())


def test_without_attention_it_tells_no_background() -> None:
    fabricate_backbone("attend")
    write_centroids(96)
    with pytest.raises(UserError, match=r"finetune\.background: the model of none has no attention"):
        finetune(NoFineTuningConfig(background="attention"))
