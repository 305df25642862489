"""What is said without labels, each against a result that is bad in that one way."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.core.artifacts.clusters import OUT as CLUSTERS
from stages.core.artifacts.clusters import Assignments, Centroids, read_assignments, read_centroids, write_clusters
from stages.core.artifacts.granularity import FOLDER, Draw, Stability, write_stability
from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.artifacts.shards import ARTIFACTS
from stages.evaluate import Config
from stages.evaluate.__main__ import main
from stages.evaluate.evaluators.checks import MEANINGS, loss_by_chance
from stages.evaluate.evaluators.color_clusters import color_histogram, compare_with_colors
from stages.evaluate.evaluators.segments import survey_segments
from stages.evaluate.inputs import read_inputs
from stages.evaluate.report.granularity import judge
from stages.evaluate.report.segments import cut_out
from stages.evaluate.report.tree import Level, draw_tree, overlap
from stages.evaluate.rules import UNSCORED, Threshold
from stages.evaluate.scoring import OUT
from tests.evaluate.project import SIDE, write_project
from tests.fabricate import fabricate_images, index_again


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUSS_WORKERS", "1")
    return


def draws(halves: dict[int, list[float]], jaccard: float = 0.8) -> list[Draw]:
    return [Draw(k, number, one, jaccard, 1.0) for k, found in halves.items() for number, one in enumerate(found)]


def write_granularity(stability: Stability, further: tuple[int, ...] = ()) -> None:
    """Beside the clusters; those of another number are these, each cut by its members' order."""
    folder = Path("work") / FOLDER
    folder.mkdir(parents=True)
    centroids, own = read_centroids(), read_assignments()
    for k in further:
        ids = (np.arange(len(own.image_ids)) % k).astype(np.int32)
        other = Centroids(np.zeros((k, 4), np.float32), np.bincount(ids, minlength=k), True)
        write_clusters(other, own._replace(cluster_ids=ids), "kmeans", folder / str(k))
    write_stability(folder, stability, "kmeans")
    write_clusters(centroids, own, "kmeans", beside=folder)


def test_numbers_stand_in_the_metrics_flat_and_finite_and_warnings_in_the_report() -> None:
    write_project(images_per_class=10, with_masks=False, splits=("train",))
    write_granularity(Stability(50, draws({3: [0.2, 0.4], 5: [0.9, 0.9]}, 0.5)), (2, 5))
    card, history = ARTIFACTS / "pretrain/model.json", ARTIFACTS / "pretrain/history.csv"
    card.write_text(card.read_text().replace('"labels_used"', '"chance": {"loss": 1.6}, "labels_used"'))
    history.write_text("iteration,loss\n" + "".join(f"{step},{2 - step / 100}\n" for step in range(40)))
    main(Config())
    metrics = json.loads((OUT / "metrics.json").read_text())
    checks = metrics["checks"]
    assert list(checks) == list(MEANINGS)
    assert all(isinstance(value, float) and math.isfinite(value) for value in checks.values())
    assert (checks["stability"], checks["seeds"]) == (pytest.approx(30), 100)
    assert checks["loss"] == pytest.approx(100 * (1.615 / 1.6), abs=1e-3)
    assert "mIoU" not in str(metrics)
    report = (OUT / "report.html").read_text()
    for said in (
        "The loss of pretraining ended at 101 % of what chance gives",
        "give other clusters (mean Jaccard index 0.50",
        "halves of the data agree most on 5: in doubt",
        "`luss set cluster.k=5`",
        'class="tree"',
        "cluster 2, mostly category",
    ):
        assert said in report
    assert "color histograms makes much the same" not in report


def test_clusters_of_color_are_called_so_and_others_not() -> None:
    write_project(images_per_class=12, with_masks=False, splits=("train",))
    index = read_images()
    for number, image_id in enumerate(index.image_ids):  # three colors, each with much noise
        noise = np.random.default_rng(number).integers(0, 90, (SIDE, SIDE, 3))
        noise[..., number % 3] += 160
        cv2.imwrite(str(Path("data") / f"{image_id}.png"), noise.astype(np.uint8))
    index_again(index)
    found = read_assignments()
    by_color = (np.arange(36) % 3).astype(np.int32)
    write_clusters(read_centroids(), found._replace(cluster_ids=by_color), "kmeans")
    colors = compare_with_colors(read_inputs())
    assert colors is not None
    assert colors.clusters == colors.itself == 1
    main(Config())
    assert "color histograms makes much the same" in (OUT / "report.html").read_text()
    write_clusters(read_centroids(), found._replace(cluster_ids=(np.arange(36) // 24).astype(np.int32)), "kmeans")
    other = compare_with_colors(read_inputs())
    assert other is not None
    assert abs(other.clusters) < 0.2


def test_histograms_of_color_by_hand() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0] = 255, 64, 0
    expected = np.zeros(64)
    expected[0], expected[3 * 16 + 1 * 4] = np.sqrt(0.75), 0.5
    np.testing.assert_allclose(color_histogram(image), expected, atol=1e-6)


@pytest.mark.parametrize("threshold", [UNSCORED, Threshold(50, "", False)])
def test_segments_are_counted_as_they_are_predicted(threshold: Threshold) -> None:
    write_project(images_per_class=4)
    found = survey_segments(read_inputs(), threshold, 2)
    areas, photographs = np.zeros((2, 4), np.int64)
    for predicted in open_label_maps("predict"):
        ids = np.asarray(predicted.map) * (threshold is UNSCORED or predicted.score >= 50)
        for number in range(4):
            areas[number] += (ids == number).sum()
            photographs[number] += (ids == number).any()
    np.testing.assert_array_equal(found.areas, areas)
    np.testing.assert_array_equal(found.photographs, photographs)
    assert sum(found.shares) == pytest.approx(100)
    assert [len(each) for each in found.drawn] == [0, 2, 2, 2]


def test_a_cut_out_holds_the_segment_whole_and_fades_the_rest() -> None:
    photo, ids = np.full((40, 60, 3), 100, np.uint8), np.zeros((40, 60), np.uint16)
    ids[5:15, 50:60] = 2
    ids[0, 0] = 1
    shown = cut_out(photo, ids, 2)
    assert shown.shape == (12, 12, 3)
    assert (shown[..., 0] == 100).sum() == 100
    assert set(np.unique(shown)) == {100, 216}
    assert cut_out(photo, ids, 1).shape == (1, 1, 3)
    ids[:] = 3
    assert cut_out(photo, ids, 3).shape == (40, 40, 3)


def test_loss_by_chance_is_left_out_where_chance_is_not_known() -> None:
    fabricate_images(3)
    assert loss_by_chance() is None
    write_project(images_per_class=1)
    assert loss_by_chance() is None


@pytest.mark.parametrize(
    ("stability", "said"),
    [
        (None, "Stability was not measured"),
        (Stability(9, []), "Stability was not measured"),
        (Stability(9, draws({3: [0.9, 0.9]})), "3 clusters are stable .* cluster.also: "),
        (Stability(9, draws({3: [0.5, 0.7], 4: [0.65, 0.65], 9: [0.1, 0.1]})), "agree most on 4: stable .*k=4`"),
        (
            Stability(9, draws({3: [0.5, 0.8], 4: [0.6, 0.6]})),
            "on 3; 4 within its standard error: .*0.80.\\.$",
        ),
        (Stability(9, draws({3: [0.9, 0.9]}, 0.7)), "3 clusters are hardly stable"),
    ],
)
def test_the_verdict(stability: Stability | None, said: str) -> None:
    assert re.search(said, judge(stability, 3))


def test_the_tree_joins_what_shares_members() -> None:
    parents, children = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 2, 2, 1, 1])
    few, many = Level(2, parents, ["#1", "#2"], ["<a>", "b"]), Level(3, children, ["#3"] * 3, ["c"] * 3)
    np.testing.assert_array_equal(overlap(few, many), [[2, 0, 2], [0, 2, 0]])
    drawn = str(draw_tree([few, many]))
    assert drawn.count("<path") == 3
    assert drawn.count("<rect") == 5
    assert "&lt;a&gt;: 4 members" in drawn
    assert "nan" not in drawn
    assert draw_tree([few]) == draw_tree([few, many._replace(k=500)]) == ""


def test_parts_that_are_no_photographs_are_not_compared_by_color() -> None:
    write_project(images_per_class=4)
    found = read_assignments()
    write_clusters(read_centroids(), Assignments(*found[:1], found.region_ids + 1, *found[2:]), "kmeans")
    assert compare_with_colors(read_inputs()) is None
    assert (CLUSTERS / FOLDER).exists() is False
