"""Four photographs whose scores are counted by hand in every protocol, perfect ones and constant ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from stages.core.artifacts.image_index import write_images
from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from stages.core.artifacts.labels import Label, write_labels
from stages.core.artifacts.shards import ARTIFACTS
from stages.core.data import IGNORE_ID
from stages.core.errors import UserError
from stages.evaluate import Config
from stages.evaluate.inputs import read_inputs
from stages.evaluate.protocols.evaluation import evaluate
from stages.evaluate.rules import ProtocolName
from tests.evaluate.project import save_photo, write_project

CLASSES = {1: "cat", 2: "dog", 3: "cow"}
STORED = {0: 0, 1: 1, 2: 2, 3: 3, 255: IGNORE_ID}
WITH_BACKGROUND = ["imagenet_s", "pixel_hungarian", "iou_hungarian", "greedy", "optimal", "given"]

TRUTH = ([0] * 10 + [1] * 10, [0] * 10 + [1] * 10, [0] * 8 + [2] * 12, [0] * 12 + [255] * 8)
"""20 pixels each: background 40, cat 20, dog 12, void 8."""
PREDICTED = (
    [0] * 8 + [2] * 12,  # the cat, and two pixels beside it
    [0] * 15 + [2] * 5,  # half of the cat
    [0] * 4 + [3] * 4 + [1] * 12,  # the dog, and something that is not there
    [0] * 12 + [1] * 8,  # void pixels alone, which do not count
)
CAT, DOG = 15 / 22, 1.0
BACKGROUND = 34 / 45
"""34 of 40 pixels, 39 predicted."""
WITH_LEFTOVER = 38 / 45
"""Where the four pixels of id 3 count as background too: 38 of 40, 43 predicted."""

SCENES = ([1] * 10 + [2] * 10, [1] * 10 + [2] * 10, [1] * 8 + [3] * 12, [1] * 12 + [255] * 8)
"""20 pixels each: sky 40, road 20, car 12, void 8."""
SEGMENTED = (
    [1] * 8 + [2] * 2 + [1] * 10,  # most of the sky, and all of the road
    [1] * 8 + [2] * 2 + [1] * 10,
    [1] * 4 + [2] * 4 + [3] * 12,  # half of the sky, and the car
    [1] * 8 + [2] * 4 + [3] * 8,  # two thirds of the sky, and void, which does not count
)
"""Id 1 covers 28 pixels of sky and 20 of road, id 2 12 of sky, id 3 the 12 of the car."""


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("background"))
        patch.setenv("LUSS_WORKERS", "1")
        write_project()
        card = ARTIFACTS / "finetune" / "model.json"
        segmenter = {"clusters": 3, "short_side": 32, "score": "softmax", "background": "class_0"}
        card.write_text(json.dumps({**json.loads(card.read_text()), "segmenter": segmenter}))
        yield


def scores(protocol: ProtocolName, truth, predicted) -> dict[str, float | None]:
    photos, labels, maps = [], [], []
    pairs = [("train", truth[0], predicted[0]), *(("validation", *pair) for pair in zip(truth, predicted, strict=True))]
    for number, (split, true, pred) in enumerate(pairs):
        photos.append(save_photo(f"JPEGImages/{number}", split, np.zeros((1, 20, 3), np.uint8)))
        mask = Image.fromarray(np.array([true], np.uint8), "P")
        mask.putpalette(list(range(255, -1, -1)) * 3)
        path = Path("data/SegmentationClass", f"{number}.png")
        path.parent.mkdir(exist_ok=True)
        mask.save(path)
        is_scored = split == "validation"
        path_of_mask = f"SegmentationClass/{number}.png" if is_scored else None
        labels.append(Label(photos[-1].image_id, path_of_mask, "0" * 64 if is_scored else None, None))
        maps += [LabelMap(photos[-1].image_id, 1, 20, np.array([pred], np.uint8))] if is_scored else []
    write_images(photos, [], "pairs")
    write_labels(labels, CLASSES, [], "pairs", STORED)
    write_label_maps("predict", "segmenter", maps)
    found = evaluate(Config(protocol=protocol), read_inputs())
    return found.splits["validation"].summary


@pytest.mark.parametrize(
    ("protocol", "ious", "right"),
    [
        ("pixel_hungarian", [BACKGROUND, CAT, DOG, 0], 34 + 15 + 12),
        ("optimal", [BACKGROUND, CAT, DOG, 0], 34 + 15 + 12),
        ("iou_hungarian", [BACKGROUND, CAT, DOG, 0], 34 + 15 + 12),
        ("greedy", [WITH_LEFTOVER, CAT, DOG], 38 + 15 + 12),
        ("imagenet_s", [BACKGROUND, CAT, DOG, 0], None),
        # Predicted ids as they stand: id 1 is where the dog is, 2 where the cat is.
        ("given", [BACKGROUND, 0, 0, 0], None),
    ],
)
def test_four_photographs_score_as_counted_by_hand(
    protocol: ProtocolName, ious: list[float], right: int | None
) -> None:
    found = scores(protocol, TRUTH, PREDICTED)
    assert found["mIoU"] == pytest.approx(100 * np.mean(ious))
    if right is not None:
        assert found["pixel_accuracy"] == pytest.approx(100 * right / 72)


@pytest.mark.parametrize("protocol", WITH_BACKGROUND)
def test_an_absent_class_counts_zero_or_is_left_out(protocol: ProtocolName) -> None:
    """No cow in truth or prediction: left out by TransFGU and ViCE, 0 for MaskContrast and ImageNet-S."""
    true = [np.where(np.array(row) == 255, 255, row).tolist() for row in TRUTH]
    swapped = {0: 0, 1: 1, 2: 2, 255: 0} if protocol == "given" else {0: 0, 1: 2, 2: 1, 255: 0}
    perfect = [[swapped[each] for each in row] for row in true]
    expected = 75 if protocol in ("imagenet_s", "iou_hungarian", "given") else 100
    assert scores(protocol, TRUTH, perfect)["mIoU"] == pytest.approx(expected)


@pytest.mark.parametrize("protocol", WITH_BACKGROUND)
def test_a_perfect_prediction_scores_100_whatever_it_says_in_void(protocol: ProtocolName) -> None:
    true = (*TRUTH[:3], [3] * 9 + [0] * 3 + [255] * 8)
    turned = {0: 0, 1: 1, 2: 2, 3: 3, 255: 2} if protocol == "given" else {0: 0, 1: 2, 2: 3, 3: 1, 255: 2}
    perfect = [[turned[each] for each in row] for row in true]
    assert scores(protocol, true, perfect)["mIoU"] == pytest.approx(100)


@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.parametrize("protocol", WITH_BACKGROUND)
def test_a_constant_prediction_scores_one_id(protocol: ProtocolName, constant: int) -> None:
    """Of 72 pixels 40 are background, 20 cat; where background is matched it takes the constant, else the cat does."""
    area = 40 if constant == 0 or protocol not in ("imagenet_s", "given") else 20
    ids = 4 if protocol in ("imagenet_s", "iou_hungarian", "given") else 3
    assert scores(protocol, TRUTH, [[constant] * 20] * 4)["mIoU"] == pytest.approx(100 * area / 72 / ids)


def test_the_benchmark_counts_photographs_and_sizes_by_hand() -> None:
    """ImageNet-S, as matched: id 2 is the cat, 1 the dog, 3 the cow."""
    found = scores("imagenet_s", TRUTH, PREDICTED)
    f = [
        1.3 * precision * recall / (0.3 * precision + recall)
        for precision, recall in ((10 / 12, 1), (1, 0.5), (0.75, 1))
    ]
    assert found["F"] == pytest.approx(100 * sum(f) / 4)
    assert found["accuracy"] == pytest.approx(75)
    # Cats fill half of their photographs and the dog more: middle to large, and large; none is small.
    assert found["mIoU_ML"] == pytest.approx(100 * np.mean([18 / 25, 15 / 22]))
    assert found["mIoU_L"] == pytest.approx(100 * np.mean([4 / 8, 1]))
    assert found["mIoU_S"] is found["mIoU_MS"] is None


@pytest.mark.parametrize(
    ("protocol", "ious", "right"),
    [
        ("scenes", [40 / 60, 0, 1], 52),  # ids 1 and 2 are both sky
        ("optimal", [12 / 40, 20 / 48, 1], 44),  # id 1 is road, 2 sky: 44 pixels agree, the other way round 40
        ("scenes_given", [28 / 60, 0, 1], 40),
    ],
)
def test_four_scenes_score_as_counted_by_hand(protocol: str, ious: list[float], right: int) -> None:
    ending = "_optimal" if protocol == "optimal" else ""
    found = scores("scenes" if ending else protocol, SCENES, SEGMENTED)
    assert found[f"mIoU{ending}"] == pytest.approx(100 * np.mean(ious))
    assert found[f"pixel_accuracy{ending}"] == pytest.approx(100 * right / 72)


@pytest.mark.parametrize("protocol", ["scenes", "scenes_given"])
def test_perfect_scenes_score_100_and_constant_ones_a_class(protocol: ProtocolName) -> None:
    """Of 72 pixels 40 are sky, which the constant takes in every match; without cars the mean is over two classes."""
    turned = {1: 1, 2: 2, 3: 3, 255: 1} if protocol == "scenes_given" else {1: 2, 2: 3, 3: 1, 255: 1}
    without_cars = [[2 if each == 3 else each for each in row] for row in SCENES]
    for truth, classes in ((SCENES, 3), (without_cars, 2)):
        perfect = scores(protocol, truth, [[turned[each] for each in row] for row in truth])
        constant = scores(protocol, truth, [[1] * 20] * 4)
        assert list(perfect.values()) == pytest.approx([100] * len(perfect))
        for name, score in constant.items():
            assert score == pytest.approx(100 * 40 / 72 / (classes if "mIoU" in name else 1)), name


def test_protocols_of_scenes_have_no_place_for_background() -> None:
    assert set(get_args(ProtocolName)) == {*WITH_BACKGROUND, "scenes", "scenes_given"}
    for protocol in ("scenes", "scenes_given"):
        with pytest.raises(UserError, match=r"the masks hold background \(id 0\).*take protocol"):
            scores(protocol, TRUTH, PREDICTED)
