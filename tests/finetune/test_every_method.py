"""What holds of every method of fine-tuning; a new one is tested by joining the union."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import IGNORE, LabelMap, write_label_maps
from stages.core.artifacts.labels import write_labels
from stages.core.artifacts.models import read_model
from stages.core.config.training import DivisibleTrainingConfig
from stages.core.engine.devices import seed_everything
from stages.core.nets.features import restore_features
from stages.core.nets.segmenter import restore_segmenter
from stages.finetune import Config
from stages.finetune.__main__ import main
from tests.fabricate import (
    fabricate_backbone,
    fabricate_class_maps,
    fabricate_clusters,
    fabricate_image_labels,
    fabricate_images,
)
from tests.methods import (
    SMALL,
    check_equal,
    check_one_step_is_finite,
    check_passes_add_up,
    check_resumes_exactly,
    check_thirty_steps_lower_the_loss,
    small,
    train_small,
    union_of,
)
from tests.one_order import check_a_step_adds_in_one_order

METHODS = union_of(Config)
TRAINED = [method for method in METHODS if "training" in method.model_fields]

DIVISIBLE = [each for each in TRAINED if issubclass(each.model_fields["training"].annotation, DivisibleTrainingConfig)]

every_method = pytest.mark.parametrize("config_type", METHODS, ids=lambda config: config.__name__)
every_trained_method = pytest.mark.parametrize("config_type", TRAINED, ids=lambda config: config.__name__)
every_divisible_method = pytest.mark.parametrize("config_type", DIVISIBLE, ids=lambda config: config.__name__)


def fabricate_inputs(origin: str = "random") -> Any:
    index = fabricate_images(12, held_out=1)
    fabricate_backbone("pretrain", origin)
    fabricate_backbone("attend", origin)
    train = index.in_splits("train")
    fabricate_clusters([n // 4 for n in range(12)], train.image_ids, 3)
    fabricate_image_labels(train)
    fabricate_class_maps(train, 3)
    write_labels([], {1: "a", 2: "b", 3: "c"}, [], "folder")  # for methods that are trained on masks
    return train


def build(config: Any) -> Any:
    card, states = read_model("pretrain", ["backbone"])
    seed_everything(config.training.seed)
    return config.build(restore_features(card, states), 3).train()


@every_trained_method
def test_one_step_is_finite(config_type: Any) -> None:
    index = fabricate_inputs()
    check_one_step_is_finite(build(small(config_type)), index)


@every_trained_method
def test_a_step_adds_in_one_order_on_a_gpu_too(config_type: Any) -> None:
    index = fabricate_inputs()
    check_a_step_adds_in_one_order(build(small(config_type)), index)


@every_trained_method
def test_thirty_steps_on_two_batches_lower_the_loss(config_type: Any) -> None:
    index = fabricate_inputs()
    lasting = {"bootstrapping": None} if "bootstrapping" in config_type.model_fields else {}  # else it starts anew
    check_thirty_steps_lower_the_loss(build(small(config_type, **lasting)), index)


@every_trained_method
def test_stopped_and_resumed_equals_undisturbed(config_type: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    index, config = fabricate_inputs(), small(config_type)
    check_resumes_exactly(lambda: build(config), config, index, monkeypatch)


@every_divisible_method
def test_a_step_in_several_passes_learns_the_same(config_type: Any) -> None:
    index = fabricate_inputs()
    if config_type.model_fields["method"].default != "image":
        label_unevenly(index)
    check_passes_add_up(build, config_type, index)


def label_unevenly(index: ImageIndex) -> None:
    """Of some photographs all pixels have a label, of others few; the first two none."""
    rng, maps = np.random.default_rng(0), []
    for position in range(len(index)):
        photo, label = index[position], rng.integers(0, 4, (32, 32)).astype(np.uint16)
        label[: 32 - 3 * (position - 1 if position > 1 else 0)] = IGNORE
        maps.append(LabelMap(photo.image_id, photo.height, photo.width, label))
    write_label_maps("pseudolabel", "masks", maps)


@every_divisible_method
def test_stopped_in_a_pass_and_resumed_equals_undisturbed(config_type: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    index = fabricate_inputs()
    config = small(config_type, training={**SMALL["training"], "norm_group": 2, "micro_batch": 2})
    check_resumes_exactly(lambda: build(config), config, index, monkeypatch)


@every_trained_method
def test_the_same_seed_gives_the_same_weights(config_type: Any) -> None:
    index, config = fabricate_inputs(), small(config_type)
    trained = []
    for number in range(2):
        trained.append(build(config))
        train_small(trained[-1], config, index, f"run{number}")
    check_equal(*trained)


@every_method
def test_the_stage_writes_a_segmenter_that_runs_alone(config_type: Any) -> None:
    fabricate_inputs()
    main(small(config_type))
    card, states = read_model("finetune", ["backbone", "head"])
    segmenter = restore_segmenter(card, states)
    found = segmenter.segment_photograph(np.zeros((25, 37, 3), np.uint8), 10**6)
    assert found.label.shape == (25, 37)
    own_background = card.segmenter.background == "class_0"
    assert set(found.label.ravel()) <= {1, 2, 3} | ({0} if own_background else set())
    assert own_background or 0 <= card.segmenter.threshold <= 1
    assert all(torch.isfinite(value).all() for state in states.values() for value in state.values())


@every_method
def test_the_card_tells_where_the_weights_came_from(config_type: Any) -> None:
    for origin, used in (("self_supervised_split", False), ("supervised", True)):
        fabricate_inputs(origin)
        main(small(config_type))
        card, _ = read_model("finetune", ["backbone"])
        assert card.start.origin == origin
        assert card.labels_used is (used or card.params["supervision"] == "labels")
        assert card.method == config_type.model_fields["method"].default
        assert card.segmenter.clusters == 3
        assert card.params == small(config_type).model_dump(mode="json")


@pytest.mark.parametrize("config_type", [method for method in METHODS if "threshold" in method.model_fields])
def test_a_fixed_threshold_is_recorded_as_fixed(config_type: Any) -> None:
    fabricate_inputs()
    threshold = {"rule": "fixed", "value": 0.25, "photographs": 4}
    chosen = {"background": "threshold"} if "background" in config_type.model_fields else {}
    main(small(config_type, threshold=threshold, **chosen))
    segmenter = read_model("finetune", ["head"]).card.segmenter
    assert (segmenter.threshold, segmenter.threshold_source) == (0.25, "fixed")
    main(small(config_type, **chosen))
    assert read_model("finetune", ["head"]).card.segmenter.threshold_source == "without_labels"


@every_method
def test_the_stage_writes_the_same_bytes_twice_and_leaves_nothing_unfinished(config_type: Any) -> None:
    fabricate_inputs()
    written = []
    for _ in range(2):
        main(small(config_type))
        written.append({path.name: path.read_bytes() for path in Path("artifacts/finetune").iterdir()})
    assert written[0] == written[1]
    assert not list(Path(".checkpoints").glob("*/*"))
