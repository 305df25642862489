"""The mask transformer against attention written out token by token, and as the head of a stored segmenter."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from stages.core.artifacts.models import describe_parts, read_model, write_model
from stages.core.config.networks import ClassifierConfig, MaskTransformerConfig
from stages.core.config.segmenter import SegmenterCard
from stages.core.errors import UserError
from stages.core.nets.backbones import build_backbone
from stages.core.nets.mask_transformer import MaskTransformer
from stages.core.nets.segmentation_heads import build_head
from stages.core.nets.segmenter import restore_segmenter
from stages.predict.folder import predict_folder
from tests.fabricate import BACKBONE, SIZE, backbone_card, draw_photograph, fabricate_segmenter, project

__all__ = ["project"]


def config(**values: float) -> MaskTransformerConfig:
    sizes = {"clusters": 4, "width": 6, "blocks": 2, "heads": 3, "dropout": 0.5}
    return MaskTransformerConfig.model_validate({"kind": "mask_transformer", **sizes, **values})


def far_from_its_start(size: int, wanted: MaskTransformerConfig) -> MaskTransformer:
    head = MaskTransformer(size, wanted).double().eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return head


def norm(vector: Tensor, weights: dict[str, Tensor], name: str, eps: float = 1e-5) -> Tensor:
    centered = vector - vector.mean()
    return centered / (centered.square().mean() + eps).sqrt() * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(vector: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return weights[f"{name}.weight"] @ vector + weights[f"{name}.bias"]


def plain_block(tokens: list[Tensor], weights: dict[str, Tensor], name: str, heads: int) -> list[Tensor]:
    """One block, every token and head by itself."""
    width = len(tokens[0])
    each, eps = width // heads, 1e-6
    split = [linear(norm(t, weights, f"{name}.norm1", eps), weights, f"{name}.attn.qkv") for t in tokens]
    mixed = []
    for token, own in zip(tokens, split, strict=True):
        parts = []
        for head in range(heads):
            query, key, value = (slice(n * width + head * each, n * width + (head + 1) * each) for n in range(3))
            shares = torch.stack([own[query] @ other[key] / math.sqrt(each) for other in split]).softmax(0)
            parts.append(sum(share * other[value] for share, other in zip(shares, split, strict=True)))
        mixed.append(token + linear(torch.cat(parts), weights, f"{name}.attn.proj"))
    inner = [linear(norm(t, weights, f"{name}.norm2", eps), weights, f"{name}.mlp.fc1") for t in mixed]
    gelu = [0.5 * x * (1 + torch.erf(x / math.sqrt(2))) for x in inner]
    return [token + linear(x, weights, f"{name}.mlp.fc2") for token, x in zip(mixed, gelu, strict=True)]


def test_it_equals_attention_written_out() -> None:
    torch.manual_seed(0)
    head = far_from_its_start(5, config())
    weights = {name: value.detach() for name, value in head.state_dict().items()}
    features = torch.randn(2, 5, 2, 3, dtype=torch.double)
    got = head.decode(features)
    for image in range(2):
        tokens = [linear(features[image, :, y, x], weights, "project") for y in range(2) for x in range(3)]
        tokens += list(weights["classes"][0])
        for block in range(2):
            tokens = plain_block(tokens, weights, f"blocks.{block}", 3)
        tokens = [norm(token, weights, "norm") for token in tokens]
        classes = [token @ weights["class_matrix"] for token in tokens[6:]]
        classes = [each / each.norm() for each in classes]
        torch.testing.assert_close(got.classes[image], torch.stack(classes))
        for place, token in enumerate(tokens[:6]):
            patch = token @ weights["patch_matrix"]
            cosines = torch.stack([patch @ each / patch.norm() for each in classes])
            expected = norm(cosines, weights, "logit_norm")
            torch.testing.assert_close(got.logits[image, :, place // 3, place % 3], expected)


def test_classes_start_at_right_angles_and_dropout_is_for_training_alone() -> None:
    head = MaskTransformer(8, config(width=12))
    gram = head.classes[0] @ head.classes[0].T
    torch.testing.assert_close(gram, torch.eye(4), atol=1e-5, rtol=0)
    features = torch.randn(1, 8, 3, 3)
    assert not torch.equal(head(features), head(features))
    head.eval()
    assert torch.equal(head(features), head(features))


def test_heads_that_do_not_share_the_width_are_refused() -> None:
    with pytest.raises(UserError, match="heads = 5: does not divide the 6 channels"):
        MaskTransformer(8, config(heads=5))


def test_a_segmenter_with_it_is_stored_and_segments_at_a_squashed_size(project: Path) -> None:
    torch.manual_seed(0)
    head = build_head(SIZE, config(clusters=3, dropout=0.0)).eval()
    parts = {"backbone": build_backbone(BACKBONE).eval(), "head": head}
    card = SegmenterCard(clusters=2, short_side=32, size=(32, 96), score="softmax", background="class_0")
    whole = backbone_card().model_copy(update={"parts": describe_parts(parts), "segmenter": card})
    write_model("finetune", parts, whole, [])
    segmenter = restore_segmenter(*read_model("finetune", ["backbone", "head"]))
    image = draw_photograph(1, np.random.default_rng(0), (30, 41))
    assert segmenter.prepare(image).shape == (32, 96, 3)
    found = segmenter.segment_photograph(image, 10**6)
    assert found.label.shape == (30, 41)
    features = torch.randn(1, SIZE, 3, 2)
    assert torch.equal(segmenter.head(features), head(features))
    Path("photos").mkdir()
    from PIL import Image

    Image.fromarray(image).save("photos/a.png")
    predict_folder(Path("photos"), Path("out"))
    assert len(list(Path("out/masks").rglob("*.png"))) == 1


def test_a_head_without_a_kind_is_a_classifier_of_pixels_and_stays_without(project: Path) -> None:
    fabricate_segmenter()
    stored = json.loads(Path("artifacts/finetune/model.json").read_text())
    assert stored["parts"]["head"] == {"clusters": 3, "normalize": False}
    assert "size" not in stored["segmenter"]
    assert read_model("finetune").card.parts.head == ClassifierConfig(clusters=3)
