"""SwAV's own parts: queue, frozen prototypes, views of several sizes, and its section of params.yaml."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from stages.core.artifacts.models import read_model_card
from stages.core.config.params import validate_section
from stages.core.engine.method import TrainingProgress
from stages.core.engine.online_clustering import sinkhorn
from stages.core.errors import UserError
from stages.core.images.dataset import Batch
from stages.pretrain import Config
from stages.pretrain.methods.swav.config import SwAVConfig
from stages.pretrain.methods.swav.method import SwAV
from stages.pretrain.training import pretrain
from tests.fabricate import fabricate_images
from tests.methods import load_two_batches, small, train_small

FIRST = TrainingProgress(iteration=0, iterations=10, epoch=0, epochs=5)


def build(**values: Any) -> tuple[SwAV, list[Batch]]:
    torch.manual_seed(0)
    plain = {"backbone": {"name": "test_resnet", "output_stride": 32, "drop_path": 0.0}}
    method = small(SwAVConfig, **{**plain, **values}).build().train()
    return method, load_two_batches(method, fabricate_images(12))


def test_the_loss_is_the_papers_written_out() -> None:
    """Views one at a time, in evaluation mode: batch norm then cannot tell how views were put together."""
    method, (batch, _) = build(queue=0)
    method.eval()
    got = method.step(batch, FIRST).total
    prototypes = F.normalize(method.clustering.prototypes.weight, dim=1)
    z = [method.projector(method.backbone(view).mean((2, 3))) for view in batch.views]
    assert len({view.shape[-1] for view in batch.views}) == 2
    scores = [each @ prototypes.T for each in z]
    terms = []
    for assigned in range(2):
        code = sinkhorn(scores[assigned], 0.05)
        for other, score in enumerate(scores):
            if other != assigned:
                terms.append(-(code * torch.log_softmax(score / 0.1, 1)).sum(1).mean())
    torch.testing.assert_close(got, sum(terms) / len(terms), rtol=1e-4, atol=1e-5)


def test_prototypes_have_length_one_in_every_step() -> None:
    method, (batch, _) = build()
    with torch.no_grad():
        method.clustering.prototypes.weight.mul_(3)
    method.step(batch, FIRST)
    torch.testing.assert_close(method.clustering.prototypes.weight.norm(dim=1), torch.ones(6))


def test_the_queue_starts_with_its_epoch_and_takes_part_once_full() -> None:
    method, (batch, _) = build(queue=8, queue_start_epoch=2)
    method.step(batch, FIRST)
    assert not method.clustering.queue.embeddings.any()
    for full in (False, True, True):
        method.step(batch, FIRST._replace(epoch=2))
        assert method.clustering.queue.is_full == full
    lengths = method.clustering.queue.embeddings.norm(dim=2)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    seen = []
    method.clustering.prototypes.register_forward_hook(lambda module, given, scores: seen.append(len(scores)))
    method.step(batch, FIRST._replace(epoch=2))
    assert seen.count(8) == 2, "the queue of each assigned view is scored with the prototypes of today"


def test_the_queue_is_a_multiple_of_the_batch() -> None:
    assert build(queue=10)[0].clustering.queue.embeddings.shape == (2, 8, 8)
    assert build(queue=3)[0].clustering.queue.embeddings.shape == (2, 0, 8)


def test_it_says_how_peaked_codes_are_and_how_far_it_is_from_collapse() -> None:
    method, (batch, _) = build()
    parts = method.step(batch, FIRST).parts
    assert 0 <= parts["code_entropy"] <= torch.log(torch.tensor(6.0)) + 1e-4
    assert 0.1 < parts["prototype_use"] <= 1
    assert 0.01 < parts["embedding_std"] <= 1


def test_fewer_photographs_than_a_batch_train() -> None:
    config = small(SwAVConfig)
    history = train_small(config.build(), config, fabricate_images(3), "work")
    assert len(history) == 3


def test_the_card_says_what_the_loss_would_be_by_chance() -> None:
    fabricate_images(3)
    pretrain(small(SwAVConfig))
    assert read_model_card("pretrain").chance == {"loss": pytest.approx(math.log(6))}


def refused(**values: Any) -> str:
    section = {**small(SwAVConfig).model_dump(mode="json"), **values}
    with pytest.raises(UserError) as error:
        validate_section("pretrain", section, Config, "params.yaml")
    return str(error.value)


def test_wrong_values_are_named() -> None:
    assert "prototypes" in refused(prototypes=1)
    assert "temperature" in refused(temperature=0)
    assert "epsilon" in refused(epsilon=-0.1)
    assert "views.crops" in refused(views={"crops": []})
    assert "method" in refused(method="swaw")


def test_one_large_view_is_refused() -> None:
    crop = {"count": 1, "size": 32, "scale": [0.3, 1.0]}
    assert "two" in refused(views={"crops": [crop, {**crop, "count": 4, "size": 24}]})
    assert "two" in refused(views={"crops": [crop]})


def test_shares_of_a_crop_lie_between_nothing_and_everything() -> None:
    for scale in ([-0.1, 1.0], [0.5, 1.5], [0.9, 0.2]):
        assert "views.crops" in refused(views={"crops": [{"count": 2, "size": 32, "scale": scale}]})
