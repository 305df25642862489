"""The report's parts."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages.core.artifacts.categories import centroid_hash
from stages.core.artifacts.clusters import Assignments, read_assignments, read_centroids, write_clusters
from stages.core.artifacts.label_maps import open_label_maps, write_label_maps
from stages.core.artifacts.shards import ARTIFACTS
from stages.core.images.boxes import crop_box
from stages.core.images.palette import color, css_color
from stages.evaluate import Config, DistanceMatchingConfig
from stages.evaluate.__main__ import main
from stages.evaluate.inputs import read_inputs
from stages.evaluate.provenance import read_provenance
from stages.evaluate.report.charts import Line, grouped_bars, line_chart
from stages.evaluate.report.galleries import draw_galleries
from stages.evaluate.report.histories import draw_training_curves
from stages.evaluate.report.overlays import Overlay
from stages.evaluate.report.pictures import data_uri, make_panels, thumbnail
from stages.evaluate.report.published import published_numbers
from stages.evaluate.scoring import OUT
from tests.evaluate import project as drawn


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUSS_WORKERS", "1")
    return tmp_path


def test_published_numbers_belong_to_imagenet_s_alone():
    wordnet = {number: f"n{number:08d}" for number in range(1, 51)}
    assert next(row for row in published_numbers(wordnet) if row.method == "SwAV").values[:3] == (21.7, 20.8, 63.3)
    assert not published_numbers({number: f"class {number}" for number in range(1, 51)})
    assert not published_numbers({1: "n00000001"})
    assert not published_numbers({})


def test_imagenet_s50_stands_beside_its_published_numbers(project, monkeypatch):
    monkeypatch.setattr(drawn, "CLASSES", {number: f"n{number:08d}" for number in range(1, 51)})
    monkeypatch.setattr(drawn, "predict", lambda rng, mask: (np.where(mask == 1000, 0, mask).astype(np.uint8), None))
    drawn.write_project(images_per_class=1)
    main(Config())
    report = (OUT / "report.html").read_text()
    assert "Published on this data set" in report
    assert re.search(r'class="own"><th>this result</th><td class="number">\d', report)


@pytest.mark.parametrize("y", [[0.0, 0.0], [1e-9, 2e-9], [-3.0, 7e8], [5.0], [float("nan"), 1.0]])
def test_charts_of_odd_numbers_are_finite(y):
    chart = line_chart([Line("loss", list(range(len(y))), y)], "step", (0, "here"))
    assert "nan" not in chart
    assert "inf" not in chart


def test_charts_of_nothing_are_empty():
    assert line_chart([Line("loss", [], [])], "step") == ""
    assert grouped_bars(["S"], [Line("test", [], [float("nan")])], "mIoU") == ""


@pytest.mark.parametrize("y", [[0.9975, 0.9995], [-0.9995, -0.9975], [0, 900_000], [1e-9, 4e-9]])
def test_numbers_beside_a_chart_are_whole(y):
    chart = str(line_chart([Line("loss", [0, 1], y)], "step"))
    labels = re.findall(r'<text x="([^"]+)"[^>]* text-anchor="end">([^<]+)<', chart)
    assert len(labels) >= 3
    assert all(float(x) - 6.3 * len(label) >= 0 for x, label in labels)  # a digit of 10.5 px is 6.3 px wide


def test_names_in_charts_are_escaped():
    assert "<b>" not in line_chart([Line("<b>", [0, 1], [0, 1])], "<b>", (0, "<b>"))


def test_colors_of_ids_differ():
    colors = np.array([color(number) for number in range(1, 60)], float)
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=2) + 1e3 * np.eye(len(colors))
    assert distances.min() > 8


def test_panels_mark_each_kind_of_error():
    photo = np.full((40, 40, 3), 128, np.uint8)
    true, pred = np.zeros((40, 40), np.uint16), np.zeros((40, 40), np.uint16)
    true[:20], pred[:, :20], true[20:, :20] = 1, 1, 0
    panels = make_panels(photo, pred, true, 1000)
    places = {"right": (10, 10), "missed": (10, 30), "false": (30, 10), "none": (30, 30)}
    seen = {name: tuple(panels.errors[place].tolist()) for name, place in places.items()}
    assert len(set(seen.values())) == 4
    assert len(set(seen["none"])) == 1


def test_a_gallery_shows_the_part_of_a_photograph_that_is_nearest(project):
    drawn.write_project()
    known = read_assignments()
    ids = np.repeat(np.arange(3, dtype=np.int32), 2)
    boxes = np.array([(0, 0, 0.5, 1), (0.5, 0, 0.5, 1)] * 3, np.float32)  # the left and the right half
    far = np.array([0.9, 0.1, 0.2, 0.3, 0.4, 0.4], np.float32)
    halves = [image_id for image_id in known.image_ids[:3] for _ in range(2)]
    write_clusters(read_centroids(), Assignments(halves, np.arange(6, dtype=np.int32), ids, far, boxes), "kmeans")
    inputs = read_inputs()
    for gallery, right in zip(draw_galleries(Config(), inputs), (True, False, False), strict=True):
        ((picture, image_id),) = gallery.thumbnails
        photo = inputs.images.read(inputs.images.image_ids.index(image_id))
        assert picture == data_uri(thumbnail(photo[:, 24:] if right else photo[:, :24]))
    assert crop_box(np.zeros((3, 5, 3), np.uint8), (0.999, 0.999, 0.001, 0.001)).size == 3


def test_a_model_that_is_passed_on_is_drawn_once(project):
    drawn.write_project(images_per_class=1)
    assert [curves.stage for curves in draw_training_curves()] == ["pretrain"]
    (ARTIFACTS / "finetune/history.csv").write_text("iteration,loss\n0,1.5\n1,1.25\n2,\n")
    curves = draw_training_curves()
    assert [(curve.stage, [name for name, _ in curve.charts]) for curve in curves] == [
        ("pretrain", ["loss", "learning_rate"]),
        ("finetune", ["loss"]),
    ]


def test_every_use_of_labels_is_found(project):
    drawn.write_project(images_per_class=1)
    assert read_provenance(Config()).label_uses == []
    (project / "params.yaml").write_text(
        "# Written by: luss use swav sample\n"
        "finetune: {supervision: labels, seed: 3}\nsaliency: {supervision: images}\n"
    )
    found = read_provenance(Config())
    assert found.label_uses == ["finetune: supervision by labels"]
    assert (found.recipe, found.seeds) == ("luss use swav sample", {"finetune": 3})
    card = ARTIFACTS / "pretrain/model.json"
    card.write_text(
        card.read_text().replace('"labels_used": false', '"labels_used": true').replace("random", "supervised")
    )
    assert read_provenance(Config()).label_uses[1:] == ["pretrain: supervised weights or training with labels"]
    assert read_provenance(Config(neighbors=DistanceMatchingConfig())).label_uses[2:] == [
        "evaluate: neighbors vote by masks of the train split"
    ]


def test_pictures_have_names_of_their_own_that_fit():
    ids = ["test/dog/1", "test__dog/1", "test/dog__1", "test/" + "x" * 254, "test/" + "x" * 255, "test/" + "é" * 126]
    names = {Overlay(each, "", None, [], [], None).file_name for each in ids}
    assert len(names) == len(ids)
    assert all(name.endswith(".jpg") and len(name.encode()) <= 255 for name in names)
    assert Overlay("test/dog/1", "", None, [], [], None).file_name == "test__dog__1.jpg"


@pytest.mark.parametrize("origin", ["self_supervised_split", "self_supervised_elsewhere", "supervised"])
def test_weights_behind_saliency_maps_count_as_a_models_do(project, origin):
    drawn.write_project(images_per_class=1)
    weights = f"{{path: net.safetensors, sha256: abc, origin: {origin}, license: MIT, branch: null}}"
    (project / "params.yaml").write_text(f"saliency: {{supervision: images, weights: {weights}}}\n")
    found = read_provenance(Config())
    assert found.label_uses == (["saliency: supervised weights"] if origin == "supervised" else [])
    assert (found.weights["saliency"], found.weights["pretrain"], found.license) == (origin, "random", "MIT")
    (project / "params.yaml").write_text("saliency: {supervision: images, weights: null}\n")
    assert "saliency" not in read_provenance(Config()).weights


@pytest.mark.parametrize(
    ("license", "said"), [("CC-BY-NC-4.0", "CC-BY-NC-4.0"), ("", "not known: ask where they come from")]
)
def test_the_license_of_weights_from_outside_is_shown_and_missed(project, license, said):
    drawn.write_project(images_per_class=1)
    main(Config())
    assert "license" not in (OUT / "report.html").read_text()
    card = ARTIFACTS / "pretrain/model.json"
    start = f'"start": {{"license": "{license}", "origin": "self_supervised_elsewhere"}}'
    card.write_text(re.sub(r'"start": {[^}]*}', start, card.read_text()))
    main(Config())
    report = (OUT / "report.html").read_text()
    assert said in report
    assert ("weights without a license" in report) == (license == "")


def test_a_category_has_one_number_color_and_name_everywhere(project):
    drawn.write_project(images_per_class=2, with_masks=False, splits=("train",))
    main(Config())
    plain = (OUT / "report.html").read_text()
    for number in (1, 2, 3):
        assert f'<h3><i style="background:{css_color(number)}"></i>category {number} <small>' in plain
        assert f'<span class="chip"><i style="background:{css_color(number)}"></i>category {number}</span>' in plain
    assert f"<code>centroids: {centroid_hash()[:12]}</code>" in plain
    entries = [{"name": "<dog>", "ids": [3, 1]}, {"name": "sky", "ids": [2], "hidden": True}]
    Path("names.yaml").write_text(yaml.safe_dump({"centroids": centroid_hash(), "categories": entries}))
    main(Config())
    named = (OUT / "report.html").read_text()
    chips = set(re.findall(r'class="chip"><i style="background:(#\w+)"></i>([^<]*)<', named))
    assert chips == {(css_color(3), "&lt;dog&gt;")}
    for number, shown, name in (
        (1, css_color(3), "&lt;dog&gt;"),
        (2, "#8a8a8a", "hidden"),
        (3, css_color(3), "&lt;dog&gt;"),
    ):
        assert f'<h3><i style="background:{shown}"></i>{name} <small>category {number} · ' in named


def test_without_masks_the_report_warns_of_background_and_of_categories_that_cover_nothing(project):
    drawn.write_project(images_per_class=2, with_masks=False, splits=("train",), with_scores=False)
    main(Config())
    assert "of all pixels are background" not in (OUT / "report.html").read_text()
    assert "cover no pixel anywhere" not in (OUT / "report.html").read_text()
    pixels = np.zeros((drawn.SIDE, drawn.SIDE), np.uint8)
    pixels[: drawn.SIDE // 4], pixels[0] = 1, 3
    maps = [found._replace(map=pixels) for found in open_label_maps("predict")]
    write_label_maps("predict", "segmenter", maps)
    main(Config())
    report = (OUT / "report.html").read_text()
    assert "75 % of all pixels are background" in report
    assert "1 of 3 categories cover no pixel anywhere: 2." in report
    checks = json.loads((OUT / "metrics.json").read_text())["checks"]
    assert (checks["background"], checks["empty"]) == (75.0, pytest.approx(100 / 3, abs=1e-6))
    for named in ({"ids": [1, 2]}, {"ids": [2], "hidden": True}):
        Path("names.yaml").write_text(yaml.safe_dump({"centroids": centroid_hash(), "categories": [named]}))
        main(Config())
        assert "cover no pixel anywhere" not in (OUT / "report.html").read_text(), "it is no category any more"
        assert json.loads((OUT / "metrics.json").read_text())["checks"]["empty"] == 0


def test_names_change_no_score_and_names_of_other_clusters_are_told(project, capsys):
    drawn.write_project(images_per_class=2)
    main(Config())
    metrics = (OUT / "metrics.json").read_bytes()
    for centroids in (centroid_hash(), "0" * 12):
        entries = [{"name": "dog", "ids": [1, 2]}, {"name": "sky", "ids": [3], "hidden": True}]
        Path("names.yaml").write_text(yaml.safe_dump({"centroids": centroids, "categories": entries}))
        main(Config())
        assert (OUT / "metrics.json").read_bytes() == metrics
    warning = "names.yaml speaks of other clusters (000000000000)"
    assert warning in (OUT / "report.html").read_text()
    assert warning in capsys.readouterr().err
