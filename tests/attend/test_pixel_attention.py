"""Attention on a frozen model: its loss written out, what moves and what does not, and the artifact."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from stages.attend.__main__ import main
from stages.attend.methods.pixel_attention.config import PixelAttentionConfig
from stages.attend.methods.pixel_attention.method import PixelAttentionTraining
from stages.core.artifacts.models import read_model
from stages.core.engine.devices import seed_everything
from stages.core.engine.method import TrainingProgress
from stages.core.engine.online_clustering import sinkhorn
from stages.core.errors import UserError
from stages.core.nets.attention import restore_attention
from stages.pretrain.__main__ import main as pretrain
from stages.pretrain.methods.pass_.config import PASSConfig
from tests.fabricate import SIZE, fabricate_images
from tests.methods import check_resumes_exactly, load_two_batches, small
from tests.one_order import check_a_step_adds_in_one_order

FIRST = TrainingProgress(iteration=0, iterations=10, epoch=0, epochs=5)
MODEL = {"backbone": {"name": "test_resnet", "output_stride": 32, "drop_path": 0.0}}


def build(**values: Any) -> PixelAttentionTraining:
    config = small(PixelAttentionConfig, **values)
    seed_everything(0)
    return PixelAttentionTraining(config, *read_model("pretrain")).train()


@pytest.fixture
def index() -> Any:
    index = fabricate_images(12)
    pretrain(small(PASSConfig, **MODEL))
    return index


def test_a_step_adds_in_one_order_on_a_gpu_too(index: Any) -> None:
    check_a_step_adds_in_one_order(build(), index)


@torch.no_grad()
def test_the_loss_is_swavs_of_attended_unit_features(index: Any) -> None:
    method = build(queue=0).eval()
    batch = load_two_batches(method, index)[0]
    got = method.step(batch, FIRST).total
    prototypes = F.normalize(read_model("pretrain")[1]["prototypes"]["weight"], dim=1)
    scores = []
    for view in batch.views:
        features = F.interpolate(method.features(view), scale_factor=4, mode="bilinear")
        unit = features / features.norm(dim=1, keepdim=True)
        scores.append(method.projector((method.attention(unit) * unit).mean((2, 3))) @ prototypes.T)
    terms = [-(sinkhorn(scores[i], 0.05) * torch.log_softmax(scores[1 - i] / 0.1, 1)).sum(1).mean() for i in (0, 1)]
    torch.testing.assert_close(got, sum(terms) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("statistics", ["frozen", "drift"])
def test_attention_and_prototypes_learn_and_the_rest_stays(index: Any, statistics: str) -> None:
    _, before = read_model("pretrain")
    main(small(PixelAttentionConfig, running_statistics=statistics))
    card, after = read_model("attend", ["attention", "projector"])
    assert not torch.equal(before["prototypes"]["weight"], after["prototypes"]["weight"])
    for part in ("backbone", "projector"):
        for name, value in before[part].items():
            drifts = statistics == "drift" and ("running" in name or "num_batches" in name)
            assert torch.equal(value, after[part][name]) != drifts, name
    assert card.method == "pixel_attention"
    attention = restore_attention(card.parts.attention, after["attention"], SIZE).eval()
    weights = attention(torch.randn(1, SIZE, 2, 2))
    assert weights.shape == (1, SIZE, 2, 2)
    assert ((weights > 0) & (weights < 1)).all()


def test_gradients_reach_attention_and_prototypes_alone(index: Any) -> None:
    method = build()
    method.step(load_two_batches(method, index)[0], FIRST).total.backward()
    touched = {name.partition(".")[0] for name, weight in method.named_parameters() if weight.grad is not None}
    assert touched == {"attention", "clustering"}


def test_stopped_and_resumed_equals_undisturbed(index: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    check_resumes_exactly(build, small(PixelAttentionConfig), index, monkeypatch)


def test_another_number_of_prototypes_is_named(index: Any) -> None:
    with pytest.raises(UserError, match=r"attend.prototypes = 7: the pretrained model has 6"):
        main(small(PixelAttentionConfig, prototypes=7))
