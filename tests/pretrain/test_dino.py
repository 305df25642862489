"""DINO's own parts, beside lightly's; its teacher, its schedules and its section of params.yaml."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightly.loss import DINOLoss
from lightly.models.modules import DINOProjectionHead
from timm.layers import DropPath

from stages.core.config.params import validate_section
from stages.core.engine.diagnosis import Row, diagnose
from stages.core.engine.method import TrainingProgress
from stages.core.errors import UserError
from stages.core.images.dataset import Batch
from stages.pretrain import Config
from stages.pretrain.methods.dino.config import DINOConfig, DINOHeadConfig, TeacherTemperatureConfig
from stages.pretrain.methods.dino.confusion import CHANCE, confusion
from stages.pretrain.methods.dino.head import DINOHead
from stages.pretrain.methods.dino.method import DINO
from tests.fabricate import fabricate_images
from tests.methods import load_two_batches, small

FIRST = TrainingProgress(iteration=0, iterations=10, epoch=0, epochs=5)
LONG = 2000
TRANSFORMER = {"name": "test_vit", "drop_path": 0.2}


def build(**values: Any) -> tuple[DINO, Batch]:
    torch.manual_seed(0)
    method = small(DINOConfig, **{"backbone": TRANSFORMER, **values}).build().train()
    return method, load_two_batches(method, fabricate_images(12))[0]


def lightlys(head: DINOHead, config: DINOHeadConfig) -> DINOProjectionHead:
    """lightly's head with the same weights."""
    size = head.layers[0].in_features
    other = DINOProjectionHead(size, config.hidden, config.bottleneck, config.prototypes, config.batch_norm)
    ours, theirs = ([each for each in layers if list(each.parameters())] for layers in (head.layers, other.layers))
    for own, layer in zip(ours, theirs, strict=True):
        layer.load_state_dict(own.state_dict(), strict=False)  # lightly has no bias in front of a batch norm
    weight = head.last.parametrizations.weight
    other.last_layer.load_state_dict({"weight_g": weight.original0, "weight_v": weight.original1})
    return other


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_head_is_lightlys(batch_norm: bool) -> None:
    config = DINOHeadConfig(hidden=16, bottleneck=8, prototypes=12, batch_norm=batch_norm)
    head, embeddings = DINOHead(10, config), torch.randn(5, 10)
    torch.testing.assert_close(head(embeddings), lightlys(head, config)(embeddings))
    assert not head.lengths.requires_grad
    assert DINOHead(10, config.model_copy(update={"norm_last_layer": False})).lengths.requires_grad


def test_loss_and_center_are_lightlys_over_three_steps() -> None:
    method, batch = build(backbone={**TRANSFORMER, "drop_path": 0.0}, center_momentum=0.9)
    encoder, head = method.teacher.network
    oracle = DINOLoss(6, warmup_teacher_temp=0.04, teacher_temp=0.07, warmup_teacher_temp_epochs=1, center_momentum=0.9)
    for epoch in range(3):
        taught = [head(encoder(view)) for view in batch.views[:2]]
        student = [method.head(method.encoder(view)) for view in batch.views]
        expected = oracle(taught, student, epoch=epoch)
        got = method.step(batch, FIRST._replace(epoch=epoch)).total
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(method.center, oracle.center[0, 0])


def test_the_class_token_is_what_is_learnt_from() -> None:
    method, batch = build(backbone={**TRANSFORMER, "drop_path": 0.0})
    network = method.encoder.backbone
    torch.testing.assert_close(method.encoder(batch.views[0]), network.forward_features(batch.views[0])[:, 0])


def test_no_gradient_reaches_the_teacher_and_none_of_its_paths_is_dropped() -> None:
    method, batch = build()
    method.step(batch, FIRST).total.backward()
    assert all(p.grad is None for p in method.teacher.parameters())
    assert all(p.grad is not None for p in method.encoder.backbone.blocks.parameters())
    dropping = [[m.drop_prob for m in part.modules() if isinstance(m, DropPath)] for part in (method, method.teacher)]
    assert max(dropping[0]) > 0
    assert max(dropping[1]) == 0


def test_the_teacher_follows_and_is_what_is_stored() -> None:
    method, _ = build(momentum={"value": 0.5, "schedule": "fixed"})
    before = method.teacher.network[0].backbone.cls_token.clone()
    with torch.no_grad():
        method.encoder.backbone.cls_token.add_(1)
    method.after_step(FIRST)
    stored = method.export()["backbone"].cls_token
    torch.testing.assert_close(stored, before + 0.5)


def test_the_last_layer_waits_for_its_epoch() -> None:
    method, batch = build(freeze_last_layer=1)
    for epoch, learns in [(0, False), (1, True)]:
        method.step(batch, FIRST._replace(epoch=epoch)).total.backward()
        method.after_gradients(FIRST._replace(epoch=epoch))
        assert (method.head.last.parametrizations.weight.original1.grad is not None) == learns
        assert method.head.layers[0].weight.grad is not None
        method.zero_grad()


@pytest.mark.parametrize("epochs", [0, 1, 2, 30])
def test_the_teachers_temperature_warms_up_as_in_the_authors_code(epochs: int) -> None:
    config = TeacherTemperatureConfig(start=0.04, final=0.07, warmup_epochs=epochs)
    expected = [*torch.linspace(0.04, 0.07, epochs).tolist(), 0.07, 0.07]
    assert [config.at(epoch) for epoch in range(epochs + 2)] == pytest.approx(expected)


def test_each_large_view_has_changes_of_color_of_its_own() -> None:
    first, second, rest = DINOConfig().views.crops
    assert (first.photometric.blur_probability, first.photometric.solarize_probability) == (1.0, 0.0)
    assert (second.photometric.blur_probability, second.photometric.solarize_probability) == (0.1, 0.2)
    assert rest.photometric is None
    assert DINOConfig().views.photometric.blur_probability == 0.5


def test_two_sizes_in_place_of_two_large_views_are_refused() -> None:
    crops = [{"count": 1, "size": size, "scale": [0.2, 1.0]} for size in (64, 32)]
    with pytest.raises(UserError, match="the first two views must be of one size"):
        validate_section("pretrain", {"method": "dino", "views": {"crops": crops}}, Config, "params.yaml")


HEADS = [{"hidden": 16, "bottleneck": 4, "prototypes": 6}, {"hidden": 64, "bottleneck": 128, "prototypes": 1000}]


def test_confusion_counts_targets_that_fit_better_and_halves_ties() -> None:
    targets = torch.eye(4)
    assert confusion(targets, targets, 0.1).item() == pytest.approx(1 / 8)
    assert confusion(-targets, targets, 0.1).item() == pytest.approx(7 / 8)
    assert confusion(torch.zeros(4, 4), targets, 0.1).item() == CHANCE
    assert confusion(targets[[0, 1, 3, 2]], targets, 0.1).item() == pytest.approx((1 / 8 + 1 / 8 + 5 / 8 + 5 / 8) / 4)
    assert confusion(targets[:1], targets[:1], 0.1).item() == CHANCE


@pytest.mark.parametrize("head", HEADS)
def test_views_with_nothing_in_common_are_told_whatever_the_size_of_the_head(head: dict[str, int]) -> None:
    method, _ = build(backbone={"name": "test_resnet"}, head={**head, "batch_norm": True})
    views = [torch.randn(200, 3, 32, 32) for _ in method.views.sizes]
    losses = method.step(Batch(views, torch.zeros(0), {}, torch.zeros(0)), FIRST)
    shares = {name: losses.parts[name].item() for name in ("confusion", "embedding_std", "prototype_use")}
    assert shares["confusion"] == pytest.approx(CHANCE, abs=0.1)
    told = diagnose(rows_of(shares | {"confusion": CHANCE}), LONG, method.expected)
    assert told is not None
    assert "nothing was learnt in 500 iterations" in told
    assert "views.photometric" in told


@pytest.mark.parametrize("head", HEADS)
def test_what_is_learnt_leaves_chance_whatever_the_size_of_the_head(head: dict[str, int]) -> None:
    method, batch = build(backbone={"name": "test_resnet"}, head={**head, "batch_norm": True})
    optimizer = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], 0.01)
    for _ in range(40):  # The teacher stands still.
        losses = method.step(batch, FIRST)
        losses.total.backward()
        optimizer.step()
        optimizer.zero_grad()
    shares = {name: losses.parts[name].item() for name in ("confusion", "embedding_std", "prototype_use")}
    assert shares["confusion"] < 0.4
    assert diagnose(rows_of(shares), LONG, method.expected) is None


def test_a_collapse_is_called_one_and_not_a_training_that_learnt_nothing() -> None:
    method, batch = build(backbone={"name": "test_resnet"})
    for parameter in [*method.encoder.parameters(), *method.teacher.network[0].parameters()]:
        parameter.data.zero_()
    losses = method.step(batch, FIRST)
    assert losses.parts["confusion"].item() == pytest.approx(CHANCE, abs=0.1)
    shares = {name: losses.parts[name].item() for name in ("confusion", "embedding_std", "prototype_use")}
    assert "training collapsed" in (diagnose(rows_of(shares), LONG, method.expected) or "")


def rows_of(values: dict[str, float]) -> list[Row]:
    """A history of 500 iterations that are all alike."""
    return [{"iteration": 10 * (number + 1), **values} for number in range(50)]
