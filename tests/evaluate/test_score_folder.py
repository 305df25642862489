"""`luss score` on folders of files."""

import json
import os
import re

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from flows.cli.score import score
from stages.core.errors import UserError
from stages.core.images.palette import color
from stages.core.png_files import encode_png
from stages.evaluate.tools.score_folder import Request, score_folder
from stages.predict.exports.palette import encode_indexed
from tests.evaluate import oracle
from tests.evaluate.project import as_rgb, draw_mask, predict

CLASSES = 3


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Masks, predictions with float scores, and the images as arrays."""
    monkeypatch.setenv("LUSS_WORKERS", "1")
    rng, images = np.random.default_rng(2), []
    for number in range(9):
        mask = draw_mask(rng, number % CLASSES + 1)
        pred, _ = predict(rng, mask)
        values = (rng.integers(0, 101, mask.shape) / 100).astype(np.float32)
        values[rng.random(mask.shape) < 0.5] -= np.float32(1e-9)
        images.append((mask, pred.astype(np.int64), values))
        save(tmp_path, f"dog/{number}", as_rgb(mask), as_rgb(pred.astype(np.int64)), values)
    return tmp_path, images


def save(root, name, mask, pred, values=None):
    for folder, pixels in (("masks", mask), ("predictions", pred)):
        path = root / folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(pixels))
    if values is not None:
        np.save(root / "predictions" / f"{name}.npy", values)


def request(root, **fields):
    return Request(root / "masks", root / "predictions", **fields)


def as_pairs(match):
    return {int(pred): true for pred, true in match.items()}


def check_against_oracle(result, images, threshold=0.0):
    counts, edges, f, accuracy = oracle.count_set(images, as_pairs(result["match"]), CLASSES, threshold)
    assert result["scores"]["mIoU"] == pytest.approx(oracle.mean_iou(counts), abs=1e-6)
    assert result["scores"]["b_mIoU"] == pytest.approx(oracle.mean_iou(edges), abs=1e-6)
    assert result["scores"]["F"] == pytest.approx(100 * f, abs=1e-6)
    assert result["scores"]["accuracy"] == pytest.approx(100 * accuracy, abs=1e-6)


def test_without_thresholds_predictions_stand(folders):
    root, images = folders
    result = score_folder(request(root))
    check_against_oracle(result, [(true, pred, None) for true, pred, _ in images])
    assert (result["curve"], result["protocol"]["classes"], result["protocol"]["threshold"]) == ([], CLASSES, None)


def test_the_curve_compares_scores_exactly_and_takes_the_first_best(folders):
    root, images = folders
    thresholds = tuple(value / 100 for value in range(0, 61, 5))
    result = score_folder(request(root, thresholds=thresholds))
    best = result["protocol"]["threshold"]
    check_against_oracle(result, images, np.float32(best))
    values = [entry["mIoU"] for entry in result["curve"]]
    assert thresholds[int(np.argmax(values))] == best
    single = [score_folder(request(root, thresholds=(value,)))["scores"]["mIoU"] for value in thresholds]
    assert values == single


def test_float64_scores_are_compared_as_float32(folders):
    root, images = folders
    for number, (_, _, values) in enumerate(images):
        np.save(root / "predictions" / f"dog/{number}.npy", values.astype(np.float64) - 1e-12)
    check_against_oracle(score_folder(request(root, thresholds=(0.29,))), images, np.float32(0.29))


def test_a_given_match_is_taken_as_it_is(folders):
    root, images = folders
    (root / "match.json").write_text(json.dumps({"0": 0, "1": 1, "2": 2, "3": 3}))
    result = score_folder(request(root, match=root / "match.json"))
    assert as_pairs(result["match"]) == {0: 0, 1: 1, 2: 2, 3: 3}
    check_against_oracle(result, [(true, pred, None) for true, pred, _ in images])
    (root / "match.json").write_text(json.dumps({"1": 1, "2": 1, "3": 3}))
    with pytest.raises(UserError, match="needs pairs"):
        score_folder(request(root, match=root / "match.json"))
    (root / "match.json").write_text(json.dumps({"1": 1}))
    with pytest.raises(UserError, match="predicted id 2, 3 has no class"):
        score_folder(request(root, match=root / "match.json"))


def test_single_channel_predictions_equal_rgb_ones(folders):
    root, images = folders
    expected = score_folder(request(root))
    for number, (_, pred, _) in enumerate(images):
        (root / "predictions" / f"dog/{number}.png").write_bytes(encode_png(pred.astype(np.uint8)))
    assert score_folder(request(root)) == expected


def test_more_predicted_ids_than_classes_where_the_protocol_allows_it(folders):
    root, images = folders
    for number, (_, pred, _) in enumerate(images):
        (root / "predictions" / f"dog/{number}.png").write_bytes(encode_png((pred * 2).astype(np.uint8)))
    result = score_folder(request(root, protocol="greedy"))
    assert result["protocol"]["clusters"] == 6
    assert set(as_pairs(result["match"])) == {2, 4, 6}  # 0 is never predicted here


def test_all_problems_are_counted_and_listed(folders):
    root, _ = folders
    (root / "predictions/dog/0.png").unlink()
    (root / "masks/dog/1.png").unlink()
    (root / "predictions/dog/2.png").write_bytes(b"")
    (root / "predictions/dog/3.png").write_bytes((root / "predictions/dog/3.png").read_bytes()[:60])
    (root / "predictions/dog/4.png").write_bytes(encode_png(np.zeros((5, 6), np.uint8)))
    (root / "predictions/dog/5.png").write_bytes(encode_png(np.full((48, 48), 77, np.uint8)))
    save_palette(root / "predictions/dog/6.png")
    with pytest.raises(UserError) as caught:
        score_folder(request(root, classes=CLASSES))
    lines = str(caught.value).splitlines()
    assert lines[0] == "7 of 9 images cannot be scored:"
    expected = {
        0: "no prediction",
        1: "no mask",
        2: "empty",
        3: "broken PNG",
        4: "6x5 pixels",
        5: "id 77",
        6: "palette",
    }
    for number, text in expected.items():
        assert any(f"dog/{number}.png" in line and text in line for line in lines), (number, lines)


def save_palette(path):
    from PIL import Image

    image = Image.new("P", (48, 48))
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(path)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.full((48, 48), np.nan, np.float32), "NaN"),
        (np.zeros((4, 4), np.float32), "shape"),
        (np.zeros((48, 48), np.int64), "floating-point"),
    ],
)
def test_wrong_scores_are_named(folders, values, text):
    root, _ = folders
    np.save(root / "predictions/dog/0.npy", values)
    with pytest.raises(UserError, match=rf"1 of 9 images cannot be scored:\n.*0\.npy: .*{text}"):
        score_folder(request(root, thresholds=(0.5,)))


def test_thresholds_without_scores_are_refused(folders):
    root, _ = folders
    (root / "predictions/dog/3.npy").unlink()
    with pytest.raises(UserError, match=r"no scores dog/3\.npy beside it"):
        score_folder(request(root, thresholds=(0.5,)))
    for path in root.rglob("*.npy"):
        path.unlink()
    with pytest.raises(UserError, match=r"there is no \.npy"):
        score_folder(request(root, thresholds=(0.5,)))


def test_empty_and_mismatched_folders_are_named(folders):
    root, _ = folders
    with pytest.raises(UserError, match="no such folder"):
        score_folder(request(root)._replace(predictions=root / "nowhere"))
    (root / "empty").mkdir()
    with pytest.raises(UserError, match="empty: holds no PNG"):
        score_folder(request(root)._replace(predictions=root / "empty"))
    (root / "predictions/dog").rename(root / "predictions/cat")
    with pytest.raises(UserError, match="no prediction has the name of a mask"):
        score_folder(request(root))


def test_masks_without_a_class_are_refused(folders):
    root, _ = folders
    for path in (root / "masks").rglob("*.png"):
        path.write_bytes(encode_png(np.zeros((48, 48), np.uint8)))
    for classes in (None, 3):
        with pytest.raises(UserError, match="class"):
            score_folder(request(root, classes=classes))


def put(root, folder, name, pixels):
    path = root / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(pixels) if isinstance(pixels, np.ndarray) else pixels)


@pytest.fixture
def plain(tmp_path, monkeypatch):
    """Two masks of classes 1 and 2 with void 255, and predictions that are all but right."""
    monkeypatch.setenv("LUSS_WORKERS", "1")
    for name in "ab":
        ids = np.zeros((40, 60), np.uint8)
        ids[5:30, 5:25], ids[8:35, 30:55] = 1, 2
        pred = ids.copy()
        pred[6:12, 6:12] = 0
        ids[3:5] = 255
        put(tmp_path, "masks", f"{name}.png", ids)
        put(tmp_path, "predictions", f"{name}.png", pred)
    return tmp_path


def test_an_id_far_above_the_others_is_asked_about(plain):
    with pytest.raises(UserError, match=r"masks: the highest id is 255, the next 2: .* --ignore 255; .* --classes 255"):
        score_folder(request(plain))
    result = score_folder(request(plain, ignore=255))
    assert result["protocol"]["classes"] == 2
    assert 90 < result["scores"]["mIoU"] < 100
    assert score_folder(request(plain, classes=255))["protocol"]["classes"] == 255
    with pytest.raises(UserError, match="holds id 255"):
        score_folder(request(plain, classes=2))


def test_a_predicted_id_far_above_the_others_is_asked_about(plain):
    for name in "ab":
        put(plain, "predictions", f"{name}.png", np.full((40, 60), 255, np.uint8) * (np.arange(60) > 50))
    with pytest.raises(UserError, match=r"predictions: the highest predicted id is 255, .* add --clusters 255"):
        score_folder(request(plain, ignore=255, protocol="greedy"))
    assert score_folder(request(plain, ignore=255, protocol="greedy", clusters=255))["protocol"]["clusters"] == 255


def test_a_file_counts_by_the_rule_of_index(plain, capsys):
    (plain / "further").mkdir()
    for folder in ("masks", "predictions"):
        (plain / folder / "b.png").rename(plain / folder / "B.PNG")
        (plain / folder / "B.PNG").rename(plain / folder / "b.PNG")
        (plain / "further" / folder).mkdir()
        put(plain, f"further/{folder}", "c.png", np.eye(40, 60, dtype=np.uint8))
        (plain / folder / "linked").symlink_to(plain / "further" / folder)
    put(plain, "masks", "._a.png", b"\0\5\x16\7")
    put(plain, "masks", ".DS_Store", b"")
    put(plain, "masks", "@eaDir/a.png", b"")
    put(plain, "predictions", "notes.txt", b"")
    put(plain, "masks", "d.jpg", b"")
    result = score_folder(request(plain, ignore=255))
    assert (result["protocol"]["images"], result["protocol"]["left_out"]) == (3, 2)
    told = capsys.readouterr().err
    assert f"2 files left out, no PNG: {plain}/masks/d.jpg, {plain}/predictions/notes.txt" in told


def test_two_files_of_one_id_and_names_that_are_no_text_cannot_be_scored(plain):
    put(plain, "predictions", "a.PNG", np.zeros((40, 60), np.uint8))
    put(plain, "masks", os.fsdecode(b"caf\xe9.png"), b"")
    with pytest.raises(UserError) as caught:
        score_folder(request(plain, ignore=255))
    assert "a.png: same name but for the suffix as" in str(caught.value)
    assert r"caf\xe9.png: the name is not UTF-8; rename the file" in str(caught.value)


def test_predictions_as_luss_predict_names_them_are_scored(plain):
    expected = score_folder(request(plain, ignore=255))
    (plain / "predictions/a.png").rename(plain / "predictions/a.jpg.png")
    (plain / "predictions/b.png").rename(plain / "predictions/b.JFIF.png")
    assert score_folder(request(plain, ignore=255)) == expected
    for name in ("a.jpg", "b.JFIF"):
        np.save(plain / "predictions" / f"{name}.npy", np.ones((40, 60), np.float32))
    assert score_folder(request(plain, ignore=255, thresholds=(0.5,)))["scores"] == expected["scores"]
    put(plain, "predictions", "a.png.png", np.zeros((40, 60), np.uint8))
    with pytest.raises(UserError, match=r"a\.png: .*a\.jpg\.png and .*a\.png\.png are predictions of it"):
        score_folder(request(plain, ignore=255))


def test_predictions_with_the_palette_of_categories_hold_their_ids_as_indices(plain):
    expected = score_folder(request(plain, ignore=255, protocol="greedy"))
    for name in "ab":
        path = plain / f"predictions/{name}.png"
        path.write_bytes(encode_indexed(np.asarray(Image.open(path)), {0: (0, 0, 0), 1: color(1), 2: color(2)}))
    assert score_folder(request(plain, ignore=255, protocol="greedy")) == expected


def test_the_folder_of_luss_predict_is_recognized(plain):
    (plain / "predictions").rename(plain / "inner")
    (plain / "predictions").mkdir()
    (plain / "inner").rename(plain / "predictions/masks")
    with pytest.raises(UserError, match=r"did you mean --predictions \S+predictions/masks\?"):
        score_folder(request(plain))


def test_masks_that_cannot_be_read_are_the_reason(plain):
    for name in "ab":
        save_palette(plain / f"masks/{name}.png")
    with pytest.raises(UserError, match=r"^2 of 2 masks cannot be read:\n.*a\.png: PNG with a palette"):
        score_folder(request(plain))


@pytest.mark.parametrize(("folder", "option"), [("masks", "--classes"), ("predictions", "--clusters")])
def test_photographs_in_the_place_of_masks_are_refused_at_once(plain, folder, option):
    shape = np.asarray(Image.open(plain / "masks/a.png")).shape[:2]
    colors = np.random.default_rng(0).integers(0, 200, (*shape, 3), np.uint8)
    Image.fromarray(colors).save(plain / folder / "a.png")
    with pytest.raises(
        UserError, match=rf"{folder}: the highest id is \d+: these look like photographs.* add {option} "
    ):
        score_folder(request(plain, ignore=255, protocol="greedy"))


def test_where_the_match_goes_is_looked_at_before_the_work(plain):
    options = ("--ignore", "255", "--save-match")
    assert run(plain, *options, str(plain / "new/deep/match.json")).exit_code == 0
    assert json.loads((plain / "new/deep/match.json").read_text()) == {"match": {"0": 0, "1": 1, "2": 2}}
    for place, reason in ((plain, "is a folder; name a file"), (plain / "masks/a.png/m.json", "a file lies where")):
        failed = run(plain, *options, str(place))
        assert re.match(rf"--save-match .*: {reason}", str(failed.exception))
        assert failed.stdout == ""


def run(root, *options):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(score)
    arguments = ["--ground-truth", str(root / "masks"), "--predictions", str(root / "predictions"), *options]
    return CliRunner().invoke(app, arguments)


def test_the_command_prints_one_json_object(folders):
    root, _ = folders
    result = run(root, "--thresholds", "0:0.6:0.01", "--json", "--save-match", str(root / "match.json"))
    found = json.loads(result.stdout)
    assert set(found) == {"scores", "protocol", "match", "curve"}
    assert [entry["threshold"] for entry in found["curve"]] == [value / 100 for value in range(61)]
    again = run(
        root, "--thresholds", str(found["protocol"]["threshold"]), "--json", "--match", str(root / "match.json")
    )
    assert json.loads(again.stdout)["scores"] == found["scores"]


def test_the_command_prints_a_table(folders):
    root, _ = folders
    assert "b_mIoU" in run(root, "--protocol", "imagenet-s").stdout
    assert "b_mIoU" not in run(root, "--protocol", "imagenet-s", "--no-boundary").stdout


@pytest.mark.parametrize(
    "options",
    [
        ("--thresholds", "0:1"),
        ("--thresholds", "x"),
        ("--thresholds", "0:1:0"),
        ("--thresholds", "0.5,0.1"),
        ("--protocol", "voc"),
    ],
)
def test_wrong_options_are_refused(folders, options):
    root, _ = folders
    assert isinstance(run(root, *options).exception, UserError)
