"""What holds of every method of pretraining; a new one is tested by joining the union."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from stages.core.artifacts.model_card import StartCard
from stages.core.artifacts.models import read_model
from stages.core.config.params import validate_section
from stages.core.engine import state
from stages.core.engine.devices import seed_everything
from stages.core.engine.method import TrainingProgress
from stages.core.errors import UserError
from stages.core.nets.features import restore_features
from stages.core.nets.transformers import is_transformer
from stages.pretrain import Config
from stages.pretrain.__main__ import main
from stages.pretrain.methods.classifier.config import ClassifierPretrainConfig
from stages.pretrain.methods.dino.config import DINOConfig
from stages.pretrain.methods.rotation.config import RotationConfig
from tests import tiny_transformers
from tests.benchmarks.resume import kill_and_resume, small_training
from tests.fabricate import BACKBONE, SIZE, fabricate_images, label_by_folder
from tests.methods import (
    EPOCH,
    SMALL,
    check_equal,
    check_one_step_is_finite,
    check_passes_add_up,
    check_resumes_exactly,
    check_thirty_steps_lower_the_loss,
    load_two_batches,
    small,
    stop_at,
    train_small,
    union_of,
)
from tests.one_order import check_a_step_adds_in_one_order

assert tiny_transformers.NAMES
METHODS = union_of(Config)
TRAINED = [method for method in METHODS if "training" in method.model_fields]
BASELINES = {
    "classifier",
    "rotation",
    "simclr",
    "moco_v2",
    "byol",
    "pixpro",
    "npid",
    "deepcluster",
    "odc",
    "pcl",
    "picie",
    "iic",
}
"""Methods that one test takes through the whole stage; the others are tried in more ways."""
LONGER = [each for each in METHODS if each.model_fields["method"].default not in BASELINES]

SHRINKING = {"kind": "deeplabv3plus", "channels": 8, "low_level": 4, "output_stride": 8, "rates": [1, 2, 3]}
"""A decoder that averages the first stage."""

every_method = pytest.mark.parametrize("config_type", METHODS, ids=lambda config: config.__name__)
every_longer_method = pytest.mark.parametrize("config_type", LONGER, ids=lambda config: config.__name__)
every_longer_training = pytest.mark.parametrize(
    "config_type", [each for each in LONGER if each in TRAINED], ids=lambda config: config.__name__
)
every_baseline = pytest.mark.parametrize(
    "config_type", [each for each in TRAINED if each not in LONGER], ids=lambda config: config.__name__
)
every_trained_method = pytest.mark.parametrize("config_type", TRAINED, ids=lambda config: config.__name__)


def fabricate_inputs() -> Any:
    """Photographs, and priors for the methods that want some: squares in the middle."""
    index = fabricate_images(12)
    label_by_folder(index)
    square = np.zeros((32, 32), np.uint8)
    square[8:24, 8:24] = 1
    maps = [LabelMap(image_id, 32, 32, square) for image_id in index.image_ids]
    write_label_maps("superpixels", "drawn", [one._replace(map=one.map + 1) for one in maps])
    write_label_maps("saliency", "drawn", [one._replace(map=one.map * 255) for one in maps])
    return index


def build(config: Any) -> Any:
    seed_everything(config.training.seed)
    return config.build().train()


@every_trained_method
def test_one_step_is_finite(config_type: Any) -> None:
    check_one_step_is_finite(build(small(config_type)), fabricate_inputs())


@every_trained_method
def test_one_step_of_a_vision_transformer_is_finite(config_type: Any) -> None:
    backbone = {"name": "tiny_patch8", "output_stride": 8}
    method = build(small(config_type, backbone=backbone))
    assert is_transformer(method.export()["backbone"])
    check_one_step_is_finite(method, fabricate_inputs())


@pytest.mark.parametrize("config_type", [ClassifierPretrainConfig, RotationConfig])
def test_a_step_in_several_passes_learns_the_same(config_type: Any) -> None:
    check_passes_add_up(build, config_type, fabricate_inputs())


@every_trained_method
def test_photographs_that_are_compared_cannot_be_computed_apart(config_type: Any) -> None:
    training = {**config_type().training.model_dump(), "micro_batch": 8}
    if "micro_batch" in config_type.model_fields["training"].annotation.model_fields:
        assert config_type(training=training).training.at_once == 8
        return
    with pytest.raises(UserError, match=r"pretrain\.training.*micro_batch: this method's loss is no mean"):
        validate_section("pretrain", {"method": config_type().method, "training": training}, Config, "params.yaml")


@pytest.mark.parametrize("config_type", [each for each in TRAINED if "freeze_prototypes" in each.model_fields])
def test_prototypes_wait_for_their_first_iterations(config_type: Any) -> None:
    index = fabricate_inputs()
    method = build(small(config_type, freeze_prototypes=2))
    batch = load_two_batches(method, index)[0]
    (weight,) = (weight for name, weight in method.named_parameters() if name.endswith("prototypes.weight"))
    for iteration, learns in [(0, False), (1, False), (2, True)]:
        progress = TrainingProgress(iteration=iteration, iterations=10, epoch=0, epochs=5)
        method.step(batch, progress).total.backward()
        method.after_gradients(progress)
        assert (weight.grad is not None) == learns
        method.zero_grad()


@every_trained_method
def test_a_network_that_sees_nothing_gives_the_loss_that_is_expected_of_chance(config_type: Any) -> None:
    """Features of zero: whatever a method predicts from them is even over all that it could be."""
    index = fabricate_inputs()
    method = build(small(config_type, **{"queue": 0} if "queue" in config_type.model_fields else {}))
    batch = load_two_batches(method, index)[0]
    assert method.expected.chance
    for name, parameter in method.named_parameters():
        if not name.endswith(("original0", "original1")):  # a direction, which cannot be zero
            torch.nn.init.zeros_(parameter)
    losses = method.step(batch, TrainingProgress(0, 1, 0, 1))
    found = {"loss": losses.total, **losses.parts}
    for name, chance in method.expected.chance.items():
        assert found[name].item() == pytest.approx(chance, rel=1e-4)


@every_trained_method
def test_a_step_adds_in_one_order_on_a_gpu_too(config_type: Any) -> None:
    decoder = {"decoder": SHRINKING} if config_type.__name__ == "LUSSConfig" else {}
    check_a_step_adds_in_one_order(build(small(config_type, **decoder)), fabricate_inputs())


@every_trained_method
def test_thirty_steps_on_two_batches_lower_the_loss(config_type: Any) -> None:
    check_thirty_steps_lower_the_loss(build(small(config_type)), fabricate_inputs())


@every_longer_training
def test_stopped_and_resumed_equals_undisturbed(config_type: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small(config_type)
    check_resumes_exactly(lambda: build(config), config, fabricate_inputs(), monkeypatch)


@every_longer_training
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(config_type: Any) -> None:
    index, config = fabricate_inputs(), small(config_type)
    values = config.model_dump()
    other = config_type.model_validate({**values, "training": {**values["training"], "seed": 1}})
    trained = []
    for number, each in enumerate((config, config, other)):
        trained.append(build(each))
        train_small(trained[-1], each, index, f"run{number}")
    check_equal(trained[0], trained[1])
    assert not torch.equal(next(trained[0].parameters()), next(trained[2].parameters()))


@every_longer_method
def test_the_saved_backbone_is_plain_timms(config_type: Any) -> None:
    fabricate_inputs()
    main(small(config_type))
    card, states = read_model("pretrain", ["backbone"])
    plain = timm.create_model(card.parts.backbone.name, num_classes=0)
    plain.load_state_dict(states["backbone"])
    assert plain.num_features == SIZE
    assert card.embedding_size == restore_features(*read_model("pretrain")).size
    stored = load_file("artifacts/pretrain/model.safetensors")
    assert all(torch.isfinite(value).all() for value in stored.values())
    assert card.method == config_type.model_fields["method"].default
    assert card.start == StartCard(origin="random")
    assert card.labels_used is False
    assert card.input.mean == (0.485, 0.456, 0.406)
    assert card.parts.backbone.name == BACKBONE.name


@every_longer_method
def test_the_stage_writes_the_same_bytes_twice_and_leaves_nothing_unfinished(config_type: Any) -> None:
    fabricate_inputs()
    written = []
    for _ in range(2):
        main(small(config_type))
        written.append({path.name: path.read_bytes() for path in Path("artifacts/pretrain").iterdir()})
    assert written[0] == written[1]
    assert set(written[0]) == {"model.safetensors", "model.json", "history.csv", "manifest.json"}
    assert not list(Path(".checkpoints").glob("*/*"))


@every_longer_training
def test_renamed_categories_leave_the_weights_as_they_are(config_type: Any) -> None:
    """Folders' names are all that tells categories apart here: they must not reach a method."""
    weights = []
    for names in (("a", "b", "c"), ("n01", "n02", "zebra")):
        fabricate_images(12, names=names)
        for stage in ("superpixels", "saliency"):
            maps = [
                LabelMap(one, 32, 32, np.pad(np.full((16, 16), 255, np.uint8), 8))
                for one in fabricate_images(12, names=names).image_ids
            ]
            write_label_maps(stage, "drawn", maps)
        main(small(config_type))
        weights.append(Path("artifacts/pretrain/model.safetensors").read_bytes())
    assert weights[0] == weights[1]


@every_baseline
def test_a_baseline_stopped_and_resumed_with_renamed_categories_writes_the_same_bytes(
    config_type: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole stage: stopped in the middle of the second epoch, and its model is plain timm's."""
    config = small(config_type, training={**SMALL["training"], "epochs": 2})
    fabricate_inputs()
    main(config)
    whole = Path("artifacts/pretrain/model.safetensors").read_bytes()
    assert not list(Path(".checkpoints").glob("*/*"))
    label_by_folder(fabricate_images(12, names=("n01", "n02", "zebra")))
    monkeypatch.setattr(state, "_CHECKPOINT_SECONDS", -1.0)
    build_method = config_type.build
    monkeypatch.setattr(config_type, "build", lambda self: stop_at(build_method(self), EPOCH + 1))
    with pytest.raises(KeyboardInterrupt):
        main(config)
    monkeypatch.setattr(config_type, "build", build_method)
    torch.manual_seed(99)
    main(config)
    assert Path("artifacts/pretrain/model.safetensors").read_bytes() == whole
    card, states = read_model("pretrain", ["backbone"])
    timm.create_model(card.parts.backbone.name, num_classes=0).load_state_dict(states["backbone"])
    assert (card.method, card.labels_used) == (config.method, config.supervision == "labels")


@pytest.mark.slow
def test_killed_at_a_random_iteration_and_resumed_equals_undisturbed() -> None:
    """Of one method for all, which differ in their state alone; `python -m tests.benchmarks resume` kills each."""
    config = small_training(DINOConfig)
    fabricate_inputs()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # As many as the one that is killed has.
    main(config)
    torch.set_num_threads(threads)
    killed_at, resumed = kill_and_resume(config, 1)
    assert resumed == Path("artifacts/pretrain/model.safetensors").read_bytes(), killed_at
