"""The protocol of scenes against scikit-learn's confusion matrix and all assignments tried."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, jaccard_score

from stages.core.artifacts.image_index import write_images
from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from stages.core.artifacts.labels import Label, write_labels
from stages.core.artifacts.shards import ARTIFACTS
from stages.core.data import IGNORE_ID
from stages.core.errors import UserError
from stages.core.png_files import encode_png
from stages.evaluate import Config
from stages.evaluate.__main__ import main
from stages.evaluate.scoring import OUT
from tests.evaluate.project import save_photo, write_project

CLASSES = {1: "sky", 2: "road", 3: "car"}
STORED = {40: 1, 41: 2, 42: 3, 7: 2, 255: IGNORE_ID}
"""Ids of the masks; 7 is merged into road."""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUSS_WORKERS", "1")


def write_scenes(clusters: int, stored: tuple[int, ...] = (40, 41, 42, 7, 255)) -> dict[str, tuple[np.ndarray, ...]]:
    """Three scenes a split whose predictions agree with the truth in most pixels; truth and prediction by split."""
    write_project()
    rng = np.random.default_rng(3)
    photos, labels, maps = [], [], []
    pixels: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for split in ("train", "validation", "test"):
        for number in range(3):
            image_id = f"images/{split}/{number}"
            mask = rng.choice(np.array(stored, np.uint8), (12, 9))
            true = np.vectorize(STORED.get)(mask)
            near = (true * 5 + rng.integers(0, 2, true.shape)) % clusters + 1
            pred = np.where(rng.random(true.shape) < 0.7, near, rng.integers(1, clusters + 1, true.shape))
            photos.append(save_photo(image_id, split, rng.integers(0, 255, (12, 9, 3), np.uint8)))
            path = Path("data/annotations", split, f"{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_png(mask))
            labels.append(Label(image_id, str(path.relative_to("data")), "0" * 64, None))
            maps.append(LabelMap(image_id, 12, 9, pred.astype(np.uint8)))
            pixels.setdefault(split, []).append((true.ravel(), pred.ravel()))
    write_images(photos, [], "scenes")
    write_labels(labels, CLASSES, [], "scenes", STORED)
    write_label_maps("predict", "segmenter", sorted(maps, key=lambda row: row.image_id))
    card = ARTIFACTS / "finetune" / "model.json"
    segmenter = {"clusters": clusters, "short_side": 32, "score": "softmax", "background": "class_0"}
    card.write_text(json.dumps({**json.loads(card.read_text()), "segmenter": segmenter}))
    return {split: tuple(map(np.concatenate, zip(*pairs, strict=True))) for split, pairs in pixels.items()}


def run(protocol: str = "scenes", **fields: str) -> dict:
    main(Config(protocol=protocol, **fields))
    return json.loads((OUT / "metrics.json").read_text())


def table(true: np.ndarray, pred: np.ndarray, clusters: int) -> np.ndarray:
    """(clusters, classes) pixels."""
    kept = true != IGNORE_ID
    return confusion_matrix(true[kept], pred[kept], labels=range(1, max(clusters, 3) + 1))[:3, :clusters].T


def expected(true: np.ndarray, pred: np.ndarray, match: dict[int, int]) -> tuple[float, float]:
    kept = true != IGNORE_ID
    named = np.array([match.get(int(each), 99) for each in pred[kept]])
    iou = jaccard_score(true[kept], named, labels=[1, 2, 3], average=None)
    return 100 * iou.mean(), 100 * np.mean(true[kept] == named)


@pytest.mark.parametrize("clusters", [3, 8])
@pytest.mark.parametrize("fitted_on", ["protocol", "validation"])
def test_both_matches_equal_plain_ones(clusters: int, fitted_on: str) -> None:
    pixels = write_scenes(clusters)
    metrics = run(fitted_on=fitted_on)
    counts = table(*pixels["train" if fitted_on == "protocol" else "validation"], clusters)
    greedy = {cluster + 1: int(counts[cluster].argmax()) + 1 for cluster in range(clusters)}
    chosen = max(permutations(range(clusters), 3), key=lambda order: sum(counts[c, k] for k, c in enumerate(order)))
    optimal = {cluster + 1: k + 1 for k, cluster in enumerate(chosen)}
    for split in ("train", "validation", "test"):
        for match, ending in ((greedy, ""), (optimal, "_optimal")):
            miou, accuracy = expected(*pixels[split], match)
            assert metrics[split][f"mIoU{ending}"] == pytest.approx(miou, abs=1e-6)
            assert metrics[split][f"pixel_accuracy{ending}"] == pytest.approx(accuracy, abs=1e-6)
    assert metrics["protocol"]["match"] == ("train" if fitted_on == "protocol" else "validation")
    assert metrics["protocol"]["threshold"] is None


def test_a_class_that_occurs_nowhere_does_not_count() -> None:
    pixels = write_scenes(3, (40, 41, 255))
    metrics = run()
    counts = table(*pixels["train"], 3)
    match = {cluster + 1: int(counts[cluster].argmax()) + 1 for cluster in range(3)}
    true, pred = pixels["test"]
    kept = true != IGNORE_ID
    named = np.array([match[int(each)] for each in pred[kept]])
    assert metrics["test"]["mIoU"] == pytest.approx(
        100 * jaccard_score(true[kept], named, labels=[1, 2], average="macro")
    )


def test_predicted_ids_can_be_class_ids() -> None:
    pixels = write_scenes(3)
    metrics = run("scenes_given")
    for split in ("train", "validation", "test"):
        miou, accuracy = expected(*pixels[split], {1: 1, 2: 2, 3: 3})
        assert metrics[split]["mIoU"] == pytest.approx(miou)
        assert metrics[split]["pixel_accuracy"] == pytest.approx(accuracy)
    assert metrics["protocol"]["match"] == "predicted ids are class ids"
    assert metrics["protocol"]["threshold"] is None


def test_class_ids_beyond_the_classes_are_refused() -> None:
    write_scenes(8)
    with pytest.raises(UserError, match="protocol scenes_given: 8 clusters against 3 classes"):
        run("scenes_given")


@pytest.mark.parametrize("protocol", ["scenes", "scenes_given"])
def test_masks_with_background_are_refused(protocol: str) -> None:
    write_project()
    with pytest.raises(UserError, match=f"protocol {protocol}: the masks hold background"):
        run(protocol)
