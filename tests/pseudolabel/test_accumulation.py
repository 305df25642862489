"""Accumulated attention beside loops over cells, on the disk, and through runs that are killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.core.artifacts.class_maps import open_class_maps
from stages.core.artifacts.models import read_model
from stages.core.engine import state
from stages.core.engine.method import TrainingProgress
from stages.core.network_mapping import Shard
from stages.pseudolabel.__main__ import main
from stages.pseudolabel.activation import running
from stages.pseudolabel.activation.accumulation import AccumulatedMaps, place_in_frame
from stages.pseudolabel.activation.inference import enlarge_accumulated
from stages.pseudolabel.activation.rounds import restore_backbone
from stages.pseudolabel.activation.tags import Tags
from stages.pseudolabel.methods.rca.config import RCAConfig
from stages.pseudolabel.methods.rca.method import RegionalContrastTraining
from tests.fabricate import fabricate_images
from tests.methods import load_two_batches, small
from tests.pseudolabel.test_trained import fabricate_inputs, tags_for

SIDE = 6
ACCUMULATED = {"side": SIDE, "confidence": 0.0}


def sample_by_hand(found: np.ndarray, u: float, v: float) -> float:
    """A map (h, w) between its cells' centers at shares of its width and height."""
    height, width = found.shape
    x, y = np.clip(u * width - 0.5, 0, width - 1), np.clip(v * height - 0.5, 0, height - 1)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    upper = (1 - (x - left)) * found[top, left] + (x - left) * found[top, right]
    lower = (1 - (x - left)) * found[bottom, left] + (x - left) * found[bottom, right]
    return float((1 - (y - top)) * upper + (y - top) * lower)


def place_by_hand(found: np.ndarray, window: list[float], size: tuple[int, int]) -> np.ndarray:
    placed, (x, y, width, height, mirrored) = np.zeros((SIDE, SIDE), np.float32), window
    for row, column in np.ndindex(SIDE, SIDE):
        u = ((column + 0.5) / SIDE * size[1] - x) / width
        v = ((row + 0.5) / SIDE * size[0] - y) / height
        if 0 <= u <= 1 and 0 <= v <= 1:
            placed[row, column] = sample_by_hand(found, 1 - u if mirrored else u, v)
    return placed


def test_maps_of_views_come_to_where_these_lie_in_the_photograph() -> None:
    maps, size = torch.rand(3, 3, 4), (30, 48)
    windows = [[0.0, 0.0, 48.0, 30.0, 0.0], [10.0, 4.0, 20.0, 20.0, 0.0], [10.0, 4.0, 20.0, 20.0, 1.0]]
    found = place_in_frame(maps, torch.tensor(windows), torch.tensor([size] * 3), SIDE)
    for each, own, window in zip(found, maps, windows, strict=True):
        np.testing.assert_allclose(each, place_by_hand(own.numpy(), window, size), atol=1e-5)
    assert (found[0] > 0).all(), "a view of everything covers everything"


def test_the_file_keeps_the_strongest_value_of_each_place() -> None:
    tags = Tags(fabricate_images(3), np.array([[0, 2], [1, -1], [2, -1]]), 3)
    maps = AccumulatedMaps(tags, SIDE, Path("work/accumulated.bin"))
    expected, rng = np.zeros((4, SIDE, SIDE), np.float32), torch.Generator().manual_seed(0)
    for numbers in ([0, 3], [1], [3, 0]):
        seen = torch.rand(len(numbers), SIDE, SIDE, generator=rng)
        maps.add(torch.tensor(numbers), seen)
        for number, each in zip(numbers, seen.numpy(), strict=True):
            expected[number] = np.maximum(expected[number], each)
    again = AccumulatedMaps(tags, SIDE, Path("work/accumulated.bin"))
    np.testing.assert_allclose(np.concatenate([again.of(row) for row in range(3)]), expected, atol=0.5 / 255 + 1e-6)
    assert [each.class_ids.tolist() for each in again] == [[0, 2], [], [2]], "what was never seen is no map"


def build(saliency_loss: dict[str, Any] | None = None, **values: Any) -> tuple[RegionalContrastTraining, Tags]:
    config = small(RCAConfig, accumulation={**ACCUMULATED, **values}, saliency_loss=saliency_loss)
    torch.manual_seed(0)
    training = config.build(restore_backbone(config, read_model("attend")), tags_for(config)).train()
    training.open_files(Path("work"))
    return training, tags_for(config)


def raised_by_hand(training: RegionalContrastTraining, tags: Tags, batch: Any, seen: Tensor) -> dict[int, np.ndarray]:
    found = {}
    for row, position in enumerate(batch.positions.tolist()):
        own = F.relu(seen[row, tags.ids[position, 0]])
        photo = tags.photographs[position]
        own = (own / max(float(own.max()), 1e-5)).numpy()
        found[position] = place_by_hand(own, batch.windows[row, 0].tolist(), (photo.height, photo.width))
    return found


@pytest.mark.parametrize("saliency_loss", [None, {}], ids=["scores", "shares"])
def test_a_step_accumulates_the_second_heads_maps_of_likely_categories(saliency_loss: dict[str, Any] | None) -> None:
    fabricate_inputs()
    training, tags = build(saliency_loss)
    batches = load_two_batches(training, tags.photographs)
    training.step(batches[0], TrainingProgress(0, 9, 0, 3))
    training.after_step(TrainingProgress(0, 9, 0, 3))
    assert training.accumulated is not None
    assert not any(training.accumulated.of(row).any() for row in range(12)), "not in the first epoch"
    progress = TrainingProgress(3, 9, 1, 3)
    training.step(batches[1], progress)
    with torch.no_grad():
        seen = training.activate(batches[1].views[0])
    training.after_step(progress)
    expected = raised_by_hand(training, tags, batches[1], seen)
    for row in range(12):
        found = training.accumulated.of(row)[0]
        np.testing.assert_allclose(found, expected.get(row, np.zeros((SIDE, SIDE))), atol=0.01)
    assert any(each.any() for each in expected.values())
    unsure, _ = build(confidence=0.999)
    unsure.step(batches[1], progress)
    assert unsure._attended is not None
    assert not len(unsure._attended.numbers)


def test_labels_are_made_of_the_accumulated_maps() -> None:
    fabricate_inputs()
    training, tags = build()
    assert training.accumulated is not None
    training.accumulated.add(torch.tensor([4]), torch.eye(SIDE)[None])
    shard = Shard(tags.photographs, 0, tags.own)
    found = enlarge_accumulated(training.accumulated.stored, training.config.maps.max_side, shard, [3, 4])
    assert not found[0].any()
    assert found[1].shape == (1, 32, 32)
    diagonal = np.eye(SIDE, dtype=np.float32)
    for row, column in np.ndindex(32, 32):
        by_hand = sample_by_hand(diagonal, (column + 0.5) / 32, (row + 0.5) / 32)
        assert found[1][0, row, column] == pytest.approx(by_hand, abs=0.01)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"training": {"epochs": 1}}, r"accumulation\.start_epoch must lie below training\.epochs, 1"),
        ({"maps": {"flip": True}}, "leave maps.scales, flip and ascent out"),
    ],
)
def test_what_would_accumulate_nothing_or_is_not_used_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RCAConfig.model_validate({"accumulation": {}, **values})


def written() -> dict[str, bytes]:
    out = Path("artifacts/pseudolabel")
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


class _Killed(BaseException):
    pass


def test_killed_while_it_trains_and_while_it_labels_it_ends_in_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    fabricate_inputs()
    monkeypatch.setattr(state, "_CHECKPOINT_SECONDS", -1.0)
    config = small(RCAConfig, accumulation=ACCUMULATED)
    main(config)
    undisturbed = written()
    assert {name.rpartition("/")[0] for name in undisturbed} == {"", "class_maps"}
    maps = open_class_maps("pseudolabel")
    assert maps.classes == 3
    assert [each.class_ids.tolist() for each in maps] == [[row // 4] for row in range(12)]

    after, label = RegionalContrastTraining.after_step, running.make_labels

    def killed(self: RegionalContrastTraining, progress: TrainingProgress) -> None:
        after(self, progress)  # The maps have been raised, and no checkpoint knows of it.
        if progress.iteration == 7:
            raise _Killed

    monkeypatch.setattr(RegionalContrastTraining, "after_step", killed)
    with pytest.raises(_Killed):
        main(config)
    monkeypatch.setattr(RegionalContrastTraining, "after_step", after)
    calls: list[int] = []

    def killed_labels(*rest: Any) -> Any:
        calls.append(1)
        if len(calls) == 6:
            raise _Killed
        return label(*rest)

    monkeypatch.setattr(running, "make_labels", killed_labels)
    with pytest.raises(_Killed):
        main(config)
    main(config)
    assert len(calls) == 6 + 12
    assert written() == undisturbed
