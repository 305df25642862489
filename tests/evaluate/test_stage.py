"""The stage on a small finished pipeline."""

import json
import re
from itertools import permutations

import numpy as np
import pytest
from PIL import Image

from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from stages.core.data import Rejected
from stages.core.errors import UserError
from stages.core.png_files import encode_png, read_mask
from stages.evaluate import Config
from stages.evaluate.__main__ import main
from stages.evaluate.inputs import read_inputs
from stages.evaluate.protocols.evaluation import evaluate
from stages.evaluate.scoring import OUT
from tests.evaluate import oracle
from tests.evaluate.project import CLASSES, as_rgb, write_project


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUSS_WORKERS", "1")
    return tmp_path


def run(**fields):
    main(Config(**fields))
    return json.loads((OUT / "metrics.json").read_text())


def images_of(truth, split):
    return [maps for image_id, maps in truth.items() if image_id.startswith(split)]


def expected_miou(truth, split, match, threshold):
    counts, *_ = oracle.count_set(images_of(truth, split), match, 3, threshold)
    return oracle.mean_iou(counts)


def test_scores_equal_the_plain_evaluation_with_the_match_of_validation(project):
    truth = write_project()
    metrics = run()
    match = {int(pred): true for pred, true in json.loads((OUT / "matching.json").read_text())["match"].items()}
    assert match == {0: 0, 1: 3, 2: 1, 3: 2}
    for split in ("validation", "test"):
        counts, edges, f, accuracy = oracle.count_set(images_of(truth, split), match, 3, 40)
        assert metrics[split]["mIoU"] == pytest.approx(oracle.mean_iou(counts), abs=1e-6)
        assert metrics[split]["b_mIoU"] == pytest.approx(oracle.mean_iou(edges), abs=1e-6)
        assert metrics[split]["F"] == pytest.approx(100 * f, abs=1e-6)
        assert metrics[split]["accuracy"] == pytest.approx(100 * accuracy, abs=1e-6)
    assert metrics["protocol"]["threshold"] == 0.4
    assert metrics["protocol"]["strict"] is True
    assert metrics["protocol"]["title"] == "imagenet_s, matched on validation"
    assert metrics["protocol"]["caveats"] == {"matched_on_scored_split": "validation"}
    heading = (OUT / "report.html").read_text().partition("</header>")[0]
    assert "protocol imagenet_s, matched on validation<" in heading
    assert "matched on the masks that score it: validation<" in heading


def test_threshold_from_validation_masks_is_the_first_best_of_the_curve_and_not_strict(project):
    truth = write_project()
    metrics = run(threshold="validation")
    curve = []
    for threshold in range(61):
        images = images_of(truth, "validation")
        matrix = oracle.cooccurrence(images, 3, 3, threshold)
        match = best_pairs(matrix)
        curve.append(expected_miou(truth, "validation", match, threshold))
    assert metrics["protocol"]["threshold"] == np.argmax(curve) / 100
    assert metrics["validation"]["mIoU"] == pytest.approx(max(curve), abs=1e-6)
    assert metrics["protocol"]["strict"] is False
    assert metrics["protocol"]["threshold_source"] == "chosen on validation masks"
    assert metrics["protocol"]["caveats"]["threshold_by_masks"] == "validation"


def test_otsu_needs_no_masks_on_validation(project):
    write_project()
    metrics = run(threshold="otsu")
    assert metrics["protocol"]["strict"] is True
    assert "without labels" in metrics["protocol"]["threshold_source"]
    assert 0.3 < metrics["protocol"]["threshold"] < 0.7


def test_without_scores_predictions_stand_as_they_are(project):
    truth = write_project(with_scores=False)
    metrics = run(threshold="validation")
    match = {0: 0, 1: 3, 2: 1, 3: 2}
    assert metrics["protocol"]["threshold"] is None
    assert metrics["test"]["mIoU"] == pytest.approx(expected_miou(truth, "test", match, 0), abs=1e-6)


def test_without_validation_the_match_comes_from_test_and_says_so(project):
    write_project(splits=("train", "test"))
    metrics = run(threshold="validation")
    assert metrics["protocol"]["match"] == "test (validation has no masks or was not segmented)"
    assert "without labels" in metrics["protocol"]["threshold_source"]


@pytest.mark.parametrize("protocol", ["pixel_hungarian", "iou_hungarian", "greedy", "optimal"])
def test_pixel_protocols_report_pixel_scores_only(project, protocol):
    write_project()
    metrics = run(protocol=protocol)
    assert set(metrics["test"]) == {"mIoU", "pixel_accuracy"}
    assert metrics["protocol"]["name"] == protocol
    # Masks of train are not there: ViCE's matches, too, are found on validation. Only ViCE's may share a class.
    assert metrics["protocol"]["caveats"]["matched_on_scored_split"] == "validation"
    assert ("many_to_one" in metrics["protocol"]["caveats"]) == (protocol == "greedy")


@pytest.mark.parametrize("with_masks", [True, False])
def test_masks_that_cannot_be_used_are_told_wherever_scores_are(project, capsys, with_masks):
    write_project(with_masks=with_masks, rejected=[Rejected("a.png", "16 bit"), Rejected("b.png", "line\nbreak")])
    metrics = run()
    told = "2 files, see artifacts/index/labels/rejected.csv"
    assert metrics["protocol"]["caveats"]["masks_left_out"] == told
    assert f"evaluate: masks that cannot be used are left out: {told}\n" in capsys.readouterr().err
    assert f"left out: {told}" in (OUT / "report.html").read_text()


def test_a_folder_of_photographs_without_masks_reports_its_clusters(project):
    write_project(with_masks=False, splits=("train",))
    metrics = run()
    assert set(metrics) == {"train", "checks", "protocol"}
    report = (OUT / "report.html").read_text()
    assert "clusters of 12 photographs" in report
    assert report.count("<article>") == 12 + 3
    assert len(list((OUT / "overlays").iterdir())) == 12


def test_the_report_is_one_file_with_every_picture_inside(project):
    write_project()
    run()
    report = (OUT / "report.html").read_text()
    assert not re.search(r"https?://(?!www\.w3\.org)", report)
    assert "<script" not in report
    assert all(address.startswith(("data:", "#")) for address in re.findall(r'(?:src|href)="([^"]*)"', report))
    for heading in ("Scores", "Photographs", "Classes", "Confusion", "Clusters", "Training", "Provenance"):
        assert f"<h2>{heading}</h2>" in report
    assert len(list((OUT / "overlays").iterdir())) == 12


def test_the_same_inputs_give_the_same_bytes_in_any_number_of_processes(project, monkeypatch):
    write_project(images_per_class=25)
    monkeypatch.setattr("stages.core.metrics.counting._FEW", 1)
    files = []
    for workers in ("1", "2"):
        monkeypatch.setenv("LUSS_WORKERS", workers)
        run(overlays=3, gallery_photos=2)
        files.append({path: path.read_bytes() for path in OUT.rglob("*") if path.is_file()})
    assert files[0] == files[1]


def test_classes_are_listed_one_by_one(project):
    write_project()
    run()
    rows = [line.split(",") for line in (OUT / "per_class.csv").read_text().splitlines()]
    assert [row[1] for row in rows[1:]] == ["background", "circle", "square", "stripe"]
    assert [row[2] for row in rows[1:]] == ["0", "2", "3", "1"]
    assert rows[0][3] == "validation_iou"


def test_a_missing_prediction_is_named(project):
    truth = write_project()
    rest = sorted(truth)[1:]
    write_label_maps("predict", "segmenter", [LabelMap(name, 48, 48, truth[name][1], truth[name][2]) for name in rest])
    with pytest.raises(UserError, match=sorted(truth)[0]):
        run()


def test_predictions_of_another_size_and_ids_out_of_range_are_all_listed(project):
    truth = write_project()
    maps = [LabelMap(name, 48, 48, truth[name][1], truth[name][2]) for name in sorted(truth)]
    maps[0] = maps[0]._replace(map=maps[0].map[:40], score=maps[0].score[:40])
    maps[1] = maps[1]._replace(map=np.full((48, 48), 9, np.uint8))
    write_label_maps("predict", "segmenter", maps)
    with pytest.raises(UserError, match="2 of 12 images cannot be scored") as caught:
        run()
    assert "48x40 pixels, but the mask" in str(caught.value)
    assert "holds id 9, but the predicted ids are 0..3" in str(caught.value)


def test_masks_without_any_class_are_refused(project):
    truth = write_project()
    for name in truth:
        path = project / "data" / (re.sub("^(validation|test)", r"\1-segmentation", name) + ".png")
        path.write_bytes(encode_png(as_rgb(np.zeros((48, 48), np.int64))))
    with pytest.raises(UserError, match="hold no class at all"):
        run()


def test_more_clusters_than_classes_need_a_protocol_for_it(project):
    write_project()
    inputs = read_inputs()._replace(clusters=5)
    with pytest.raises(UserError, match="5 clusters against 3 classes"):
        evaluate(Config(), inputs)
    evaluate(Config(protocol="greedy"), inputs)


def test_the_curve_finds_the_match_anew_at_every_threshold(project):
    """Low scores carry other ids than high ones, so that the best pairs change along the curve."""
    write_project()
    maps = []
    for name, class_id in [(name, class_id) for name in ("validation", "test") for class_id in CLASSES]:
        for number in range(4):
            pred, score = np.full((48, 48), class_id % 3 + 1, np.uint8), np.full((48, 48), 10, np.uint8)
            pred[8:30, 8:30] = class_id if number else 1
            score[8:30, 8:30] = 80
            maps.append(LabelMap(f"{name}/{CLASSES[class_id]}/{number:02d}", 48, 48, pred, score))
    write_label_maps("predict", "segmenter", sorted(maps, key=lambda row: row.image_id))
    curve = evaluate(Config(), read_inputs()).curve
    matrices = {
        value: oracle.cooccurrence([scored(read_inputs(), row) for row in maps[:12]], 3, 3, value) for value in (5, 40)
    }
    best = {value: best_pairs(matrix) for value, matrix in matrices.items()}
    assert best[5] != best[40]
    for value, pairs in best.items():
        counts, *_ = oracle.count_set([scored(read_inputs(), row) for row in maps[:12]], pairs, 3, value)
        assert curve.miou[value] == pytest.approx(oracle.mean_iou(counts), abs=1e-9)


def scored(inputs, row):
    return read_mask("data/" + inputs.labels.mask_path(row.image_id)), row.map.astype(np.int64), row.score


def best_pairs(matrix):
    order = max(permutations(range(3)), key=lambda order: sum(matrix[row, column] for row, column in enumerate(order)))
    return {0: 0} | {pred + 1: true + 1 for pred, true in enumerate(order)}


@pytest.mark.parametrize("size", [(32, 80)])  # no center of theirs lies between two pixels
def test_pixels_are_counted_at_the_working_size(project, size):
    truth = write_project()
    metrics = run(protocol="pixel_hungarian", working_size=size)
    match = {int(pred): true for pred, true in json.loads((OUT / "matching.json").read_text())["match"].items()}
    resized = {}
    for image_id, maps in truth.items():
        # Pillow's nearest neighbor takes the pixel under the center too.
        resized[image_id] = tuple(np.asarray(Image.fromarray(each).resize(size[::-1], 0)) for each in maps)
    for split in ("validation", "test"):
        counts, *_ = oracle.count_set(images_of(resized, split), match, 3, 40)
        assert metrics[split]["mIoU"] == pytest.approx(oracle.mean_iou(counts), abs=1e-6)
    assert metrics["protocol"]["working_size"] == list(size)
    assert metrics["protocol"]["pixels"]["test"] <= 12 * size[0] * size[1]
    assert f"{size[0]} x {size[1]} pixels" in (OUT / "report.html").read_text()
