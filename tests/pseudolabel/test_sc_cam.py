"""SC-CAM's sub-categories, and that its rounds learn them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.core.artifacts.models import read_model
from stages.core.engine.method import TrainingProgress
from stages.pseudolabel.__main__ import main
from stages.pseudolabel.activation import rounds
from stages.pseudolabel.activation.rounds import restore_backbone
from stages.pseudolabel.activation.training import TagTraining, classification_loss
from stages.pseudolabel.methods.sc_cam.config import SCCAMConfig
from stages.pseudolabel.methods.sc_cam.sub_categories import find_sub_categories
from tests.methods import load_two_batches, small
from tests.pseudolabel.test_trained import fabricate_inputs, tags_for


def test_photographs_of_a_category_are_grouped_and_few_are_groups_themselves() -> None:
    vectors = np.array([[0.0], [0.1], [9.0], [9.1], [5.0]], np.float32)
    ids = np.array([[0, -1], [0, 2], [0, -1], [0, 2], [1, -1]])
    found = find_sub_categories(vectors, ids, 2, 0)
    groups = found[:4, 0]
    assert set(groups) == {0, 1}
    assert groups[0] == groups[1] != groups[2] == groups[3]
    assert found[[1, 3], 1].tolist() == [4, 5]
    assert found[4].tolist() == [2, -1]
    assert (found[ids < 0] == -1).all()


def test_a_step_weighs_sub_categories_five_times() -> None:
    fabricate_inputs()
    config = small(SCCAMConfig)
    training = config.build(restore_backbone(config, read_model("attend")), tags_for(config)).train()
    training.take_groups(np.arange(12)[:, None] // 4 * 2 + np.arange(12)[:, None] % 2)
    batch = load_two_batches(training, tags_for(config).photographs)[0]
    losses = training.step(batch, TrainingProgress(0, 9, 0, 3))
    torch.testing.assert_close(losses.total, losses.parts["classification"] + 5 * losses.parts["sub_categories"])
    with torch.no_grad():
        children = training.child(training.features(batch.views[0]))
        expected = classification_loss(children, training.sub_tags[batch.positions])
    torch.testing.assert_close(losses.parts["sub_categories"], expected)
    names = [name.partition(".")[0] for name, _ in training.named_parameters()]
    for part, head in (("classification", "parent"), ("sub_categories", "child")):
        slopes = torch.autograd.grad(
            losses.parts[part], list(training.parameters()), retain_graph=True, allow_unused=True
        )
        reached = {name for name, slope in zip(names, slopes, strict=True) if slope is not None and slope.any()}
        assert reached == {"features", head}, "each head learns by its own categories alone"


def test_a_run_killed_between_rounds_ends_in_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    fabricate_inputs()
    config, out = small(SCCAMConfig), Path("artifacts/pseudolabel")
    main(config)
    undisturbed = {path.name: path.read_bytes() for path in out.iterdir()}
    rows = list(csv.DictReader(undisturbed["history.csv"].decode().splitlines()))
    assert {row["round"] for row in rows} == {"1", "2"}
    seek = rounds.mean_features
    calls: list[int] = []

    def killed(training: TagTraining, *rest: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return seek(training, *rest)

    monkeypatch.setattr(rounds, "mean_features", killed)
    with pytest.raises(KeyboardInterrupt):
        main(config)
    main(config)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == undisturbed
    assert len(calls) == 3, "the first round is not trained again"
