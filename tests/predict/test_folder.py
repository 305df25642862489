"""A folder of odd photographs: masks of their own sizes, what is broken listed, mistakes named."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import yaml
from PIL import Image

from stages.core.artifacts.categories import centroid_hash
from stages.core.artifacts.models import read_model
from stages.core.errors import UserError
from stages.core.images.palette import category_colors, css_color
from stages.core.nets.segmenter import restore_segmenter
from stages.predict import Config
from stages.predict.folder import predict_folder
from stages.predict.photograph_segmenter import PhotographSegmenter
from tests.fabricate import fabricate_clusters, fabricate_segmenter
from tests.predict.varied import draw_blocks, fabricate_varied_segmenter

PHOTOS, OUT = Path("photos"), Path("out")


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    coarse = np.random.default_rng(height).integers(0, 256, (height // 10 + 1, width // 10 + 1, channels), np.uint8)
    return np.kron(coarse, np.ones((10, 10, 1), np.uint8))[:height, :width]


def save_odd_photographs() -> dict[str, tuple[int, int]]:
    """Name and the height and width that a person sees."""
    (PHOTOS / "deep" / "er").mkdir(parents=True)
    Image.fromarray(noise(30, 40)).save(PHOTOS / "small.jpg")
    Image.fromarray(noise(2000, 3000)).save(PHOTOS / "large.jpg", quality=60)
    Image.fromarray(noise(50, 60)[..., 0]).save(PHOTOS / "gray.png")
    Image.fromarray(noise(50, 61, 4)).save(PHOTOS / "alpha.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # shown turned by 90 degrees
    Image.fromarray(noise(40, 70)).save(PHOTOS / "turned.jpg", exif=turned)
    Image.fromarray(noise(45, 55)).convert("CMYK").save(PHOTOS / "deep" / "print.jpg")
    Image.fromarray(noise(33, 44)[..., 0].astype(np.uint16) * 257).save(PHOTOS / "deep" / "sixteen.png")
    Image.fromarray(noise(35, 47)).convert("P").save(PHOTOS / "deep" / "er" / "palette.png")
    Image.fromarray(noise(36, 48)).save(PHOTOS / "UPPER.JPEG")
    Image.fromarray(noise(30, 41)).save(PHOTOS / "small.png")
    return {
        "small.jpg": (30, 40),
        "large.jpg": (2000, 3000),
        "gray.png": (50, 60),
        "alpha.png": (50, 61),
        "turned.jpg": (70, 40),
        "deep/print.jpg": (45, 55),
        "deep/sixteen.png": (33, 44),
        "deep/er/palette.png": (35, 47),
        "UPPER.JPEG": (36, 48),
        "small.png": (30, 41),
    }


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def names_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_ten_odd_photographs_get_masks_of_their_own_sizes() -> None:
    sizes = save_odd_photographs()
    (PHOTOS / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not really")
    (PHOTOS / "notes.txt").write_text("no photograph")
    fabricate_segmenter(threshold=0.4)
    predict_folder(PHOTOS, OUT)
    assert names_below(OUT / "masks") == {f"{name}.png" for name in sizes} == names_below(OUT / "overlays")
    pixels = np.zeros(4, int)
    for name, (height, width) in sizes.items():
        with Image.open(OUT / "masks" / f"{name}.png") as mask:
            assert (mask.mode, mask.size) == ("L", (width, height)), name
            ids = np.asarray(mask)
        assert ids.max() <= 3
        pixels += np.bincount(ids.ravel(), minlength=4)
    rejected = read_rows(OUT / "rejected.csv")
    assert [row["path"] for row in rejected] == ["broken.jpg", "notes.txt"]
    assert rejected[0]["reason"]
    assert rejected[1]["reason"].startswith("suffix '.txt' is not one of .bmp")
    legend = read_rows(OUT / "legend.csv")
    assert [row["id"] for row in legend] == ["0", "1", "2", "3"]
    np.testing.assert_allclose([float(row["share_of_pixels"]) for row in legend], pixels / pixels.sum(), atol=6e-5)
    assert [row["color"] for row in legend] == [f"#{bytes(color).hex()}" for color in category_colors(3)]
    with Image.open(OUT / "legend.png") as drawn:
        assert drawn.size[1] > 4 * 20


def test_what_is_no_photograph_is_listed_and_counted_as_by_index(capsys: pytest.CaptureFixture[str]) -> None:
    store = Path("store")
    for path in (
        PHOTOS / "a.jpg",
        PHOTOS / "b.jfif",
        PHOTOS / "._a.jpg",
        PHOTOS / "@eaDir/a.jpg",
        store / "linked.jpg",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(30, 40)).save(path, "JPEG")
    (PHOTOS / "further").symlink_to(store.resolve())
    (PHOTOS / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (PHOTOS / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"junk")
    (PHOTOS / "two\nlines.txt").touch()
    fabricate_segmenter()
    predict_folder(PHOTOS, OUT)
    assert names_below(OUT / "masks") == {"a.jpg.png", "b.jfif.png", "further/linked.jpg.png"}
    reasons = {row["path"]: row["reason"] for row in read_rows(OUT / "rejected.csv")}
    assert sorted(reasons) == ["IMG_1.HEIC", "caf\\xe9.jpg", "two\\nlines.txt"]
    assert reasons["caf\\xe9.jpg"] == "the name is not UTF-8; rename the file"
    assert "3 photographs segmented into out, 3 rejected" in capsys.readouterr().out


def test_names_as_long_as_the_file_system_allows_are_segmented() -> None:
    PHOTOS.mkdir()
    names = ["x" * 251 + ".jpg", "y" * 247 + ".jpg", "é" * 125 + ".jpeg", "z" * 251 + ".jpg", "z" * 251 + ".png"]
    for name in names:
        Image.fromarray(noise(10, 20)).save(PHOTOS / name)
    fabricate_segmenter()
    predict_folder(PHOTOS, OUT)
    stems = ("x" * 251, "y" * 247 + ".jpg", "é" * 125, "z" * 251)
    assert names_below(OUT / "masks") == names_below(OUT / "overlays") == {f"{stem}.png" for stem in stems}
    assert [(row["path"], row["reason"][:37]) for row in read_rows(OUT / "rejected.csv")] == [
        (names[-1], "its mask would take the name of anoth")
    ]


def test_names_reach_masks_overlays_and_legends() -> None:
    PHOTOS.mkdir()
    Image.fromarray(noise(60, 80)).save(PHOTOS / "a.png")
    fabricate_varied_segmenter(4)
    fabricate_clusters([0, 1, 2, 3], [f"train/{number}" for number in range(4)], 4)
    predict_folder(PHOTOS, OUT)
    before = np.asarray(Image.open(OUT / "masks/a.png.png"))
    seen = np.unique(before).tolist()
    assert len(seen) > 1, "with one category nothing could be merged"
    rest = next(number for number in (1, 2, 3, 4) if number not in seen[:2])
    entries = [{"name": "Größe, 1", "ids": [seen[1], seen[0]]}, {"name": "sky", "ids": [rest], "hidden": True}]
    Path("names.yaml").write_text(yaml.safe_dump({"centroids": centroid_hash(), "categories": entries}))
    predict_folder(PHOTOS, OUT)
    expected = np.where(np.isin(before, seen[:2]), seen[1], np.where(before == rest, 0, before))
    np.testing.assert_array_equal(np.asarray(Image.open(OUT / "masks/a.png.png")), expected)
    legend = {int(row["id"]): (row["name"], row["color"]) for row in read_rows(OUT / "legend.csv")}
    assert set(legend) == {0, 1, 2, 3, 4} - {seen[0], rest}
    assert legend[seen[1]] == ("Größe, 1", css_color(seen[1]))


def test_below_the_threshold_is_background() -> None:
    fabricate_segmenter(2)
    image = noise(40, 60)
    card, states = read_model("finetune", ["backbone", "head"])
    found = restore_segmenter(card, states).segment_photograph(image, 10**6)
    middle = float(np.median(found.score)) / 100
    for threshold, expected in [
        (0.0, found.label),
        (middle, np.where(found.score / 100 < middle - 1e-9, 0, found.label)),
        (1.0, np.where(found.score < 100, 0, found.label)),
    ]:
        card = card.model_copy(update={"segmenter": card.segmenter.model_copy(update={"threshold": threshold})})
        segmenter = PhotographSegmenter(restore_segmenter(card, states), Config())
        np.testing.assert_array_equal(segmenter(image), expected)


def test_results_inside_the_folder_are_not_photographs_of_the_next_run() -> None:
    PHOTOS.mkdir()
    Image.fromarray(noise(30, 40)).save(PHOTOS / "a.jpg")
    fabricate_segmenter()
    written = []
    for _ in range(2):
        predict_folder(PHOTOS, PHOTOS / "results")
        written.append({path: path.read_bytes() for path in (PHOTOS / "results").rglob("*.png")})
    assert names_below(PHOTOS / "results" / "masks") == {"a.jpg.png"}
    assert written[0] == written[1]


def test_photographs_inside_the_results_folder_are_read() -> None:
    (OUT / "photos").mkdir(parents=True)
    Image.fromarray(noise(30, 40)).save(OUT / "photos" / "a.jpg")
    fabricate_segmenter()
    predict_folder(OUT / "photos", OUT)
    assert names_below(OUT / "masks") == {"a.jpg.png"}


def test_more_than_255_categories_need_sixteen_bits() -> None:
    PHOTOS.mkdir()
    Image.fromarray(noise(30, 40)).save(PHOTOS / "a.jpg")
    fabricate_segmenter(clusters=300, threshold=0.0)
    predict_folder(PHOTOS, OUT)
    with Image.open(OUT / "masks" / "a.jpg.png") as mask:
        assert mask.mode.startswith("I")


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="photos: no such folder of photographs"):
        predict_folder(PHOTOS, OUT)
    PHOTOS.mkdir()
    with pytest.raises(UserError, match=r"photos: no photographs \(\.bmp, "):
        predict_folder(PHOTOS, OUT)
    Image.fromarray(noise(30, 40)).save(PHOTOS / "a.jpg")
    with pytest.raises(UserError, match=r"artifacts/finetune.*dvc repro finetune"):
        predict_folder(PHOTOS, OUT)
    fabricate_segmenter()
    for taken in (Path("file"), Path("file/below")):
        Path("file").touch()
        with pytest.raises(UserError, match=r"^--out file.*: a file lies where a folder is wanted"):
            predict_folder(PHOTOS, taken)
    with pytest.raises(UserError, match="photos: the results cannot lie in the folder of photographs itself"):
        predict_folder(PHOTOS, PHOTOS)
    with pytest.raises(UserError, match=r"^artifacts/predict: artifacts/ is what the stages write"):
        predict_folder(PHOTOS, Path("artifacts/predict"))
    (PHOTOS / "a.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"^photos: no usable photograph: a\.jpg: empty file"):
        predict_folder(PHOTOS, OUT)
    assert [row["path"] for row in read_rows(OUT / "rejected.csv")] == ["a.jpg"]


def test_a_file_and_a_pattern_are_taken_too() -> None:
    (PHOTOS / "deep").mkdir(parents=True)
    for name in ("a.jpg", "b.png", "deep/c.jpg"):
        Image.fromarray(noise(30, 40)).save(PHOTOS / name)
    fabricate_segmenter()
    for images, expected in (
        ("a.jpg", {"a.jpg.png"}),
        ("*.jpg", {"a.jpg.png"}),
        ("**/*.jpg", {"a.jpg.png", "deep/c.jpg.png"}),
        ("*/c*", {"deep/c.jpg.png"}),
    ):
        out = Path(f"out{len(list(Path().iterdir()))}")
        predict_folder(PHOTOS / images, out)
        assert names_below(out / "masks") == expected
    with pytest.raises(UserError, match=r"photos/\*.gif: no file fits this pattern"):
        predict_folder(PHOTOS / "*.gif", OUT)


def test_what_was_found_is_counted_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    PHOTOS.mkdir()
    for number in range(3):
        Image.fromarray(draw_blocks(60, 80, number)).save(PHOTOS / f"a<{number}>#.png")
    (PHOTOS / "broken.jpg").write_bytes(b"no")
    (PHOTOS / "notes.txt").touch()
    fabricate_varied_segmenter(4)
    assert predict_folder(PHOTOS, OUT) == 1, "notes are no photograph that could not be read"
    masks = np.stack([np.asarray(Image.open(path)) for path in sorted((OUT / "masks").iterdir())])
    assert len(np.unique(masks)) > 2
    told = capsys.readouterr()
    assert "predict: 1 photograph cannot be read:\n  broken.jpg: not an image" in told.err
    for row in read_rows(OUT / "summary.csv"):
        found = masks == int(row["id"])
        assert (int(row["pixels"]), int(row["photographs"])) == (found.sum(), found.any((1, 2)).sum())
        if found.any():
            assert f"  {row['name']}: {100 * found.mean():.1f} % of pixels, {row['photographs']} photo" in told.out
    page = (OUT / "index.html").read_text()
    assert page.count("<figure>") == 3
    sources = re.findall(r'src="([^"]*)"', page)
    assert {unquote(source) for source in sources} == {f"overlays/a<{number}>#.png.png" for number in range(3)}
    assert "a&lt;1&gt;#.png" in page
    assert "script" not in page
    number = str(masks.max())
    predict_folder(PHOTOS, Path("only"), [number])
    for path in (OUT / "masks").iterdir():
        whole, kept = (np.asarray(Image.open(folder / "masks" / path.name)) for folder in (OUT, Path("only")))
        np.testing.assert_array_equal(kept, np.where(whole == int(number), whole, 0))
    said = r"--only categry 1: no such category \(did you mean 'category 1'\?\); there are: category 1, "
    with pytest.raises(UserError, match=said):
        predict_folder(PHOTOS, OUT, ["categry 1"])


def test_what_it_did_not_write_stays_as_it_is() -> None:
    PHOTOS.mkdir()
    Image.fromarray(noise(30, 40)).save(PHOTOS / "a.jpg")
    fabricate_segmenter()
    for name in ("masks/a.jpg.png", "index.html"):
        (OUT / name).parent.mkdir(parents=True, exist_ok=True)
        (OUT / name).write_text("mine")
    with pytest.raises(UserError, match=r"--out out: holds index\.html and 1 more files that luss predict did not"):
        predict_folder(PHOTOS, OUT)
    assert names_below(OUT) == {"masks/a.jpg.png", "index.html"}
    assert (OUT / "index.html").read_text() == "mine"
    (OUT / "masks/a.jpg.png").unlink()
    (OUT / "index.html").rename(OUT / "other.html")
    (OUT / "written.json").write_text("{")
    for _ in range(2):
        assert predict_folder(PHOTOS, OUT) == 0
    assert (OUT / "other.html").read_text() == "mine"


def test_masks_of_an_earlier_run_are_not_left_among_those_of_this_one() -> None:
    PHOTOS.mkdir()
    for name in ("kept", "gone"):
        Image.fromarray(noise(30, 40)).save(PHOTOS / f"{name}.png")
    fabricate_segmenter()
    predict_folder(PHOTOS, OUT)
    predict_folder(PHOTOS, OUT)
    before = {path: path.read_bytes() for path in OUT.rglob("*") if path.is_file()}
    (PHOTOS / "gone.png").unlink()
    with pytest.raises(UserError, match=r"holds masks/gone\.png\.png and 1 more files of an earlier run"):
        predict_folder(PHOTOS, OUT)
    assert {path: path.read_bytes() for path in OUT.rglob("*") if path.is_file()} == before
