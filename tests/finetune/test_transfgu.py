"""TransFGU's labels, losses and schedules worked by hand, and what learns, is reset and is skipped in its steps."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from stages.core.artifacts.clusters import read_centroids
from stages.core.artifacts.models import read_model
from stages.core.engine.method import TrainingProgress
from stages.core.errors import UserError
from stages.core.nets.features import restore_features
from stages.core.nets.segmenter import Segmenter, restore_segmenter
from stages.finetune.__main__ import main
from stages.finetune.methods.transfgu import losses
from stages.finetune.methods.transfgu.config import BootstrappingConfig, TransFGUConfig
from stages.finetune.methods.transfgu.method import TransFGU
from tests.fabricate import (
    fabricate_backbone,
    fabricate_class_maps,
    fabricate_clusters,
    fabricate_image_labels,
    fabricate_images,
)
from tests.methods import load_two_batches, small


def fabricate_inputs(classes: int = 3) -> Any:
    index = fabricate_images(12)
    fabricate_backbone("pretrain")
    fabricate_backbone("attend")
    fabricate_clusters([n // 4 for n in range(12)], index.image_ids, 3)
    fabricate_image_labels(index)
    fabricate_class_maps(index, classes)
    return index


def build(**values: Any) -> TransFGU:
    torch.manual_seed(0)
    config = small(TransFGUConfig, **{"dropout": 0.0, **values})
    method: TransFGU = config.build(restore_features(*read_model("pretrain", ["backbone"])), 3)
    return method.train()


def test_background_is_where_no_map_is_high() -> None:
    maps = torch.tensor([[0.02, 0.5, 0.0], [0.07, 0.0, 0.0]]).view(1, 2, 1, 3)
    labels = losses.add_background(maps, 0.1)
    torch.testing.assert_close(labels[0, 0, 0], torch.tensor([0.03, 0.0, 0.1]))
    assert labels.argmax(1).tolist() == [[[2, 1, 0]]], "below half the level the background is higher, not below it"


def test_the_teacher_is_half_of_the_labels() -> None:
    labels, teacher = torch.tensor([0.2, 0.4]).view(1, 2, 1, 1), torch.tensor([math.log(3), 0.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(losses.refine(labels, teacher).ravel(), torch.tensor([0.475, 0.325]))


def plain_cross_entropy(logits: Tensor, target: Tensor) -> float:
    places = itertools.product(range(len(logits)), range(logits.shape[2]), range(logits.shape[3]))
    each = [-math.log(float(logits[b, :, y, x].softmax(0)[target[b, y, x]])) for b, y, x in places]
    return sum(each) / len(each)


def test_peer_loss_moves_away_from_labels_of_shuffled_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = (torch.randn(2, 5, 3, 4, generator=generator) for _ in range(2))
    target = labels.argmax(1)
    assert float(losses.peer_loss(logits, labels, 0.0)) == pytest.approx(plain_cross_entropy(logits, target), rel=1e-5)
    torch.manual_seed(3)
    got = float(losses.peer_loss(logits, labels, 0.07))
    torch.manual_seed(3)
    order = torch.randperm(5).tolist()
    wrong = torch.tensor([order.index(each) for each in target.ravel().tolist()]).view(target.shape)
    expected = plain_cross_entropy(logits, target) - 0.07 * plain_cross_entropy(logits, wrong)
    assert got == pytest.approx(expected, rel=1e-5)


def test_uncertainty_is_the_distance_of_the_two_best_where_it_counts() -> None:
    shares = torch.tensor([[0.7, 0.2, 0.1], [0.4, 0.3, 0.3]])  # two places
    logits = shares.log().T.reshape(1, 3, 1, 2)
    assert float(losses.uncertainty_loss(logits)) == pytest.approx(1 - (0.5 + 0.1) / 2)
    assert float(losses.uncertainty_loss(logits, torch.tensor([[[False, True]]]))) == pytest.approx(0.9)
    assert float(losses.uncertainty_loss(logits, torch.zeros(1, 1, 2, dtype=torch.bool))) == 0
    assert float(losses.uncertainty_loss(logits[:, :1])) == 0


def test_diversity_is_the_mean_over_pairs() -> None:
    classes = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0)).double()
    pairs = itertools.combinations(range(5), 2)
    cosines = [torch.cosine_similarity(classes[b, i], classes[b, j], 0) for i, j in pairs for b in range(2)]
    torch.testing.assert_close(losses.diversity_loss(classes), 1 + torch.stack(cosines).mean())
    assert float(losses.diversity_loss(torch.eye(4)[None])) == pytest.approx(1.0)
    assert float(losses.diversity_loss(classes[:, :1])) == 0


@pytest.mark.parametrize(
    ("schedule", "epochs", "expected"),
    [
        (BootstrappingConfig(), 100, "5 10 15 20 25 30 35 40 44 48 52 56 60 64 68 72 76 80 84 88 90 93 96"),
        (BootstrappingConfig(start=3, intervals=(3, 3, 3, 2), passes=1), 40, "3 6 9 12 15 18 21 24 27 30 32 34 36 38"),
        (BootstrappingConfig(start=2, intervals=(2,), passes=1), 9, "2 4 6"),
        (BootstrappingConfig(start=1, intervals=(1,), passes=20), 4, "1 2 3"),
        (BootstrappingConfig(start=7, intervals=(2,), passes=1), 12, "8 10"),
    ],
)
def test_the_student_becomes_the_teacher_in_these_epochs(
    schedule: BootstrappingConfig, epochs: int, expected: str
) -> None:
    """VOC's table, COCO-171's, COCO-27's, Cityscapes'; 99 of VOC's is left out, an epoch before the end."""
    assert [e for e in range(epochs) if schedule.is_due(e, epochs)] == [int(each) for each in expected.split()]


def test_an_epoch_is_so_many_passes() -> None:
    assert [BootstrappingConfig(passes=20).epoch(passes) for passes in (0, 19, 20, 41)] == [0, 0, 1, 2]


def test_only_the_student_gets_gradients_and_they_are_clamped() -> None:
    index = fabricate_inputs()
    method = build()
    batch = load_two_batches(method, index)[0]
    loss = method.step(batch, TrainingProgress(0, 9, 0, 3)).total
    (1e6 * loss).backward()
    learning = {name for name, parameter in method.named_parameters() if parameter.grad is not None}
    assert learning == {f"student.{name}" for name, _ in method.student.named_parameters()}
    assert max(float(parameter.grad.abs().max()) for parameter in method.student.parameters()) > 1
    method.after_gradients(TrainingProgress(0, 9, 0, 3))
    assert max(float(parameter.grad.abs().max()) for parameter in method.student.parameters()) == 1
    assert not method.features.backbone.training
    assert not method.teacher.training
    assert method.student.training


def test_a_step_whose_loss_is_not_positive_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    index = fabricate_inputs()
    method = build()
    batch = load_two_batches(method, index)[0]
    monkeypatch.setattr("stages.finetune.methods.transfgu.method.peer_loss", lambda logits, *_: logits.mean() * 0 - 9)
    found = method.step(batch, TrainingProgress(0, 9, 0, 3))
    assert float(found.parts["skipped"]) == 1
    found.total.backward()
    method.after_gradients(TrainingProgress(0, 9, 0, 3))
    assert all(parameter.grad is None for parameter in method.parameters())


def test_teacher_and_student_change_places_once_an_epoch_and_the_weight_of_the_peer_loss_starts_anew() -> None:
    index = fabricate_inputs()
    schedule = {"start": 1, "intervals": [3], "passes": 1}
    method = build(bootstrapping=schedule, peer_weights=[0.03, 0.04])
    first = {name: value.clone() for name, value in method.student.state_dict().items()}
    batch = load_two_batches(method, index)[0]

    def run(epoch: int) -> float:
        progress = TrainingProgress(2 * epoch, 24, epoch, 12)
        method.step(batch, progress)
        return method._peer_weight(progress)

    def learn() -> dict[str, Tensor]:
        with torch.no_grad():
            for parameter in method.student.parameters():
                parameter.add_(1.0)
        return {name: value.clone() for name, value in method.student.state_dict().items()}

    assert [run(epoch) for epoch in (0, 1, 2)] == [0, 0, 0], "plain cross-entropy before there is a teacher"
    taught = learn()
    assert run(3) == 0.03
    assert all(torch.equal(value, taught[name]) for name, value in method.teacher.state_dict().items())
    assert all(torch.equal(value, first[name]) for name, value in method.student.state_dict().items())
    later = learn()
    assert [run(epoch) for epoch in (3, 4, 5)] == [0.03, 0.04, 0.04]
    assert all(torch.equal(value, later[name]) for name, value in method.student.state_dict().items()), "once"
    resumed = build(bootstrapping=schedule)
    resumed.load_state_dict(method.state_dict())
    assert int(resumed.taught_epoch) == 3
    assert all(torch.equal(value, taught[name]) for name, value in resumed.teacher.state_dict().items())


def test_the_teachers_opinion_enters_the_labels() -> None:
    index = fabricate_inputs()
    method = build(head="pixel", background=False)
    batch = load_two_batches(method, index)[0]
    seen, (maps,) = method._look(batch.views[0]), batch.maps["class_maps"]
    assert torch.equal(method._find_labels(maps, seen), maps)
    with torch.no_grad():
        method.teacher.head.conv.weight.zero_()
        method.teacher.head.conv.bias.copy_(torch.tensor([0.0, 9.0, 0.0]))
    method.taught_epoch.fill_(1)
    labels = method._find_labels(maps, seen)
    torch.testing.assert_close(labels, (maps + torch.tensor([0.0, 9.0, 0.0]).softmax(0).view(3, 1, 1)) / 2)
    assert (method.student(seen).logits.shape[1], method.step(batch, TrainingProgress(0, 9, 0, 3)).total.ndim) == (3, 0)


def test_without_a_background_every_pixel_has_a_category() -> None:
    fabricate_inputs()
    main(small(TransFGUConfig, background=False, size=[32, 64]))
    card, states = read_model("finetune", ["head"])
    segmenter: Segmenter = restore_segmenter(card, states)
    assert (card.segmenter.clusters, card.segmenter.size, card.segmenter.predicts_background) == (3, (32, 64), False)
    assert isinstance(segmenter.head.card.clusters, int)
    assert segmenter.head.card.clusters == 3


def test_a_decoder_learns_with_the_head_and_is_reset_with_it() -> None:
    index = fabricate_inputs()
    method = build(decoder={"kind": "fpn", "channels": 8}, head="pixel", bootstrapping={"start": 1, "intervals": [1]})
    batch = load_two_batches(method, index)[0]
    method.step(batch, TrainingProgress(0, 9, 0, 3)).total.backward()
    learning = {name.split(".")[1] for name, parameter in method.named_parameters() if parameter.grad is not None}
    assert learning == {"decoder", "head"}
    assert method.side > 2, "the first stage's stride"
    main(small(TransFGUConfig, decoder={"kind": "fpn", "channels": 8}))
    card, states = read_model("finetune", ["backbone", "decoder", "head"])
    assert (card.feature_map, card.parts.decoder.channels) == ("decoder", 8)
    found = restore_segmenter(card, states).segment_photograph(index.read(0), 10**6)
    assert found.label.shape == (32, 32)


def test_what_does_not_fit_is_said_before_the_work() -> None:
    fabricate_inputs(classes=4)
    assert len(read_centroids().embeddings) == 3
    with pytest.raises(UserError, match=r"maps of 4 classes, but artifacts/cluster has 3 centroids; run `dvc repro`"):
        main(small(TransFGUConfig))
    fabricate_image_labels(fabricate_images(12))
    with pytest.raises(UserError, match=r"pseudolabel\.method: image makes no class maps; take one that does"):
        main(small(TransFGUConfig))
    fabricate_inputs()
    with pytest.raises(UserError, match="heads = 7: does not divide the 96 channels of the decoder"):
        main(small(TransFGUConfig, heads=7))
