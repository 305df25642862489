"""Fine-tuning in rounds: the second learns what the first has predicted, wherever a run was killed."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import LabelMap, open_label_maps, write_label_maps
from stages.core.artifacts.models import read_model
from stages.core.engine import state
from stages.core.errors import UserError
from stages.core.nets.segmenter import Segmenter, restore_segmenter
from stages.finetune.__main__ import main
from stages.finetune.methods.pixel.config import PixelFineTuningConfig
from stages.finetune.pixel_labels import PixelLabelClassifier
from tests.fabricate import fabricate_backbone, fabricate_clusters, fabricate_images
from tests.methods import OPTIMIZER, small

ROOT = Path(__file__).parents[2]
STEPS = 6
"""Of a round: two epochs of twelve photographs in fours."""


def fabricate_inputs() -> ImageIndex:
    """Twelve photographs, half background and half one of three clusters."""
    index = fabricate_images(12)
    fabricate_backbone("pretrain", "random")
    fabricate_clusters([n // 4 for n in range(12)], index.image_ids, 3)
    halves = [np.repeat(np.array([[0, n // 4 + 1]], np.uint16), 2, 0) for n in range(12)]
    photos = [index[position] for position in range(len(index))]
    maps = [LabelMap(photo.image_id, 32, 32, half) for photo, half in zip(photos, halves, strict=True)]
    write_label_maps("pseudolabel", "region", maps)
    return index


def config(**values: Any) -> PixelFineTuningConfig:
    fields: dict[str, Any] = {"background": "threshold", "threshold": {"rule": "otsu", "photographs": 12}, "rounds": 2}
    fields["training"] = {"epochs": 2, "batch_size": 4, "optimizer": OPTIMIZER}
    found: PixelFineTuningConfig = small(PixelFineTuningConfig, **fields | values)
    return found


def written() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path("artifacts/finetune").iterdir()}


def predict(index: ImageIndex) -> list[LabelMap]:
    """The segmenter's labels, by the way that `luss predict` takes."""
    segmenter = restore_segmenter(*read_model("finetune", ["backbone", "head"]))
    maps = []
    for position in range(len(index)):
        found = segmenter.segment_photograph(index.read(position), 10**6)
        below = found.score < round(100 * segmenter.card.threshold)
        maps.append(LabelMap(index[position].image_id, 32, 32, np.where(below, 0, found.label).astype(np.uint16)))
    return maps


def test_the_second_round_is_a_training_on_the_predictions_of_the_first() -> None:
    index = fabricate_inputs()
    main(config())
    in_rounds, (card, states) = written(), read_model("finetune", ["backbone", "head"])
    main(config(rounds=1))
    labels = predict(index)
    assert len({each.map.tobytes() for each in labels}) > 1
    assert not np.array_equal(labels[0].map, open_label_maps("pseudolabel")[labels[0].image_id].map)
    write_label_maps("pseudolabel", "predicted", labels)
    main(config(rounds=1))
    by_hand, (expected, _) = written(), read_model("finetune", ["backbone"])
    assert in_rounds["model.safetensors"] == by_hand["model.safetensors"]
    assert card.segmenter == expected.segmenter
    assert not card.labels_used
    assert states["head"]
    with Path("artifacts/finetune/history.csv").open() as file:
        second = list(csv.DictReader(file))
    rows = list(csv.DictReader(in_rounds["history.csv"].decode().splitlines()))
    assert [int(row["iteration"]) for row in rows] == list(range(1, 2 * STEPS + 1))
    assert [int(row["round"]) for row in rows] == [1] * STEPS + [2] * STEPS
    assert [row["loss"] for row in rows[STEPS:]] == [row["loss"] for row in second]


def stop_training(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Raise in the middle of a step, as a signal would."""
    step, calls = PixelLabelClassifier.step, iter(range(2 * STEPS))

    def stopping(self: PixelLabelClassifier, *given: Any) -> Any:
        if next(calls) == number:
            raise KeyboardInterrupt
        return step(self, *given)

    monkeypatch.setattr(PixelLabelClassifier, "step", stopping)


def stop_labelling(monkeypatch: pytest.MonkeyPatch) -> None:
    segment, calls = Segmenter.segment_batch, iter(range(99))

    def stopping(self: Segmenter, *given: Any) -> Any:
        if next(calls) == 12 + 7:  # the threshold's photographs come first
            raise KeyboardInterrupt
        return segment(self, *given)

    monkeypatch.setattr(Segmenter, "segment_batch", stopping)


def test_killed_anywhere_and_taken_up_it_ends_in_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fabricate_inputs()
    main(config())
    undisturbed = written()
    monkeypatch.setattr(state, "_CHECKPOINT_SECONDS", -1.0)
    began = []
    for stop in (
        lambda patch: stop_training(patch, 4),
        stop_labelling,
        lambda patch: stop_training(patch, STEPS + 4),
    ):
        with monkeypatch.context() as patch:
            stop(patch)
            with pytest.raises(KeyboardInterrupt):
                main(config())
        capfd.readouterr()
        main(config())
        began.append([line for line in capfd.readouterr().out.splitlines() if "round" in line and "of 2" in line])
        assert written() == undisturbed
        assert not list(Path(".checkpoints").glob("*/*"))
    assert [lines[0] for lines in began] == [f"finetune: round {number} of 2" for number in (1, 1, 2)]


def test_a_round_that_finds_nothing_says_what_to_do() -> None:
    fabricate_inputs()
    with pytest.raises(UserError, match=r"finetune.rounds: .* background alone .* set rounds: 1"):
        main(config(threshold={"rule": "fixed", "value": 1.0}))
    assert not Path("artifacts/finetune").exists()


def test_a_frozen_backbone_stays_and_the_rest_learns() -> None:
    fabricate_inputs()
    before = read_model("pretrain")[1]["backbone"]
    for frozen in (True, False):
        main(config(rounds=1, frozen_backbone=frozen))
        after = read_model("finetune")[1]["backbone"]
        assert all(np.array_equal(after[name], before[name]) for name in before) is frozen


@pytest.mark.slow
def test_two_processes_take_the_rounds_of_one() -> None:
    """The second process of each round starts in that round."""
    fabricate_inputs()
    chosen = config(frozen_backbone=True).model_dump(mode="json")
    Path("params.yaml").write_text(yaml.safe_dump({"finetune": chosen}))
    histories = []
    for processes in ("1", "2"):
        environment = os.environ | {"LUSS_PROCESSES": processes, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-m", "stages.finetune"], env=environment, check=True)
        with Path("artifacts/finetune/history.csv").open() as file:
            histories.append([(int(row["round"]), float(row["loss"])) for row in csv.DictReader(file)])
    assert [number for number, _ in histories[1]] == [1] * STEPS + [2] * STEPS
    losses = [[loss for _, loss in rows] for rows in histories]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert not list(Path(".checkpoints").glob("*/*"))
