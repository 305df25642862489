"""What holds of every method of pseudolabel that trains on tags; a new one is tested by joining the union."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.artifacts.clusters import read_assignments
from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.label_maps import IGNORE, open_label_maps
from stages.core.artifacts.labels import Label, write_labels
from stages.core.artifacts.models import read_model
from stages.core.engine.devices import seed_everything
from stages.core.errors import UserError
from stages.pseudolabel import Config
from stages.pseudolabel.__main__ import main
from stages.pseudolabel.activation.rounds import restore_backbone
from stages.pseudolabel.activation.running import read_tags
from stages.pseudolabel.activation.tags import Tags
from stages.pseudolabel.methods.rca.config import RCAConfig
from stages.pseudolabel.methods.sc_cam.config import SCCAMConfig
from stages.pseudolabel.methods.seam.config import SEAMConfig
from tests.fabricate import fabricate_backbone, fabricate_clusters, fabricate_images, fabricate_saliency
from tests.methods import (
    check_equal,
    check_one_step_is_finite,
    check_passes_add_up,
    check_resumes_exactly,
    check_thirty_steps_lower_the_loss,
    small,
    union_of,
)
from tests.one_order import check_a_step_adds_in_one_order

TRAINED = [method for method in union_of(Config) if "training" in method.model_fields]
KINDS = {each.__name__: partial(small, each) for each in TRAINED}
KINDS["RCAConfig with saliency_loss"] = partial(small, RCAConfig, saliency_loss={})
every_trained_method = pytest.mark.parametrize("configure", KINDS.values(), ids=KINDS)


def fabricate_inputs(has_saliency: bool = True) -> Any:
    """Twelve photographs in three clusters, which are their classes too."""
    index = fabricate_images(12, held_out=1)
    fabricate_backbone("attend")
    train = index.in_splits("train")
    fabricate_clusters([n // 4 for n in range(12)], train.image_ids, 3)
    fabricate_saliency(train if has_saliency else train.take_rows(range(0)))
    rows = [Label(image_id, None, None, image_id.split("/")[1]) for image_id in index.image_ids]
    write_labels(rows, {1: "a", 2: "b", 3: "c"}, [], "folder")
    return train


def tags_for(config: Any) -> Tags:
    return read_tags(config, read_images(), read_assignments())


def test_more_classes_than_the_segmenter_has_outputs_are_refused_before_the_training() -> None:
    train = fabricate_inputs()
    fabricate_clusters([n // 6 for n in range(12)], train.image_ids, 2)
    with pytest.raises(UserError, match=r"3 classes, but only 2 clusters; set cluster\.k to 3"):
        tags_for(small(TRAINED[0], supervision="labels"))


def build(config: Any) -> Any:
    seed_everything(config.training.seed)
    return config.build(restore_backbone(config, read_model("attend", ["backbone"])), tags_for(config)).train()


@every_trained_method
def test_one_step_is_finite(configure: Any) -> None:
    index = fabricate_inputs()
    check_one_step_is_finite(build(configure()), index)


@every_trained_method
def test_a_step_adds_in_one_order_on_a_gpu_too(configure: Any) -> None:
    index = fabricate_inputs()
    check_a_step_adds_in_one_order(build(configure()), index)


@pytest.mark.parametrize(("config_type", "values"), [(SEAMConfig, {"dropout": 0.0}), (SCCAMConfig, {})])
def test_a_step_in_several_passes_learns_the_same(config_type: Any, values: dict[str, Any]) -> None:
    check_passes_add_up(build, config_type, fabricate_inputs(), **values)


@every_trained_method
def test_thirty_steps_on_two_batches_lower_the_loss(configure: Any) -> None:
    index = fabricate_inputs()
    check_thirty_steps_lower_the_loss(build(configure()), index)


@every_trained_method
def test_stopped_and_resumed_equals_undisturbed(configure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    index, config = fabricate_inputs(), configure()
    check_resumes_exactly(lambda: build(config), config, index, monkeypatch)


@every_trained_method
def test_the_stage_writes_labels_and_history_the_same_twice(configure: Any) -> None:
    index = fabricate_inputs()
    written = []
    for _ in range(2):
        main(configure())
        written.append({path.name: path.read_bytes() for path in Path("artifacts/pseudolabel").iterdir()})
    assert written[0] == written[1]
    assert b"loss" in written[0]["history.csv"]
    assert not list(Path(".checkpoints").glob("*/*"))
    maps = open_label_maps("pseudolabel")
    assert maps.image_ids == index.image_ids
    for number, found in enumerate(maps):
        assert found.map.shape == (32, 32)
        assert set(np.unique(found.map)) <= {0, number // 4 + 1, IGNORE}, "a photograph's own category, or none"


@every_trained_method
def test_true_classes_as_tags_give_what_equal_clusters_give(configure: Any) -> None:
    fabricate_inputs()
    trained = [build(configure(supervision=source)) for source in ("images", "labels")]
    check_equal(*trained)
    np.testing.assert_array_equal(*(each.tags for each in trained))


@every_trained_method
def test_saliency_that_is_missing_is_named_before_training(configure: Any) -> None:
    fabricate_inputs(has_saliency=False)
    config = configure()
    if config.uses_saliency:
        with pytest.raises(UserError, match="has no map of train/a/000"):
            main(config)
    assert not Path(".checkpoints").exists() or config.uses_saliency
