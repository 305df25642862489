"""Which predictions are exported: of any folder, or those of the stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli.app import app
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.errors import UserError
from stages.predict import Config, load_segmenter
from stages.predict.__main__ import main
from stages.predict.exports.exporting import export_masks
from tests.fabricate import fabricate_images, fabricate_segmenter
from tests.predict.exports.test_formats import load
from tests.predict.varied import draw_blocks, fabricate_varied_segmenter

OUT = Path("out")


def test_photographs_of_a_folder_and_what_of_it_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos/deep").mkdir(parents=True)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(draw_blocks(60, 80)).save("photos/deep/a.jpg", exif=turned)
    Image.fromarray(draw_blocks(50, 70, 1)).save("photos/b.png")
    Path("photos/broken.jpg").write_bytes(b"")
    fabricate_varied_segmenter(4, 0.4)
    assert export_masks("voc", Path("photos"), OUT) == 1
    assert "export: broken.jpg: empty file" in capsys.readouterr().err
    segmenter = load_segmenter()
    for name in ("deep/a", "b"):
        mask = load(OUT / f"SegmentationClass/{name}.png")
        path = next(Path("photos").glob(f"{name}.*"))
        np.testing.assert_array_equal(mask, segmenter(path))
        copy = load(next((OUT / "JPEGImages").glob(f"{name}.*")))
        assert copy.shape[:2] == mask.shape, "whoever leaves EXIF unread sees it upright too"
    with pytest.raises(UserError, match="--out out: holds files already; name an empty or a new folder"):
        export_masks("voc", Path("photos"), OUT)


def test_predictions_of_the_stage() -> None:
    index = fabricate_images(3, (40, 60), held_out=2)
    fabricate_varied_segmenter(4, 0.4)
    main(Config())
    found = CliRunner().invoke(app, ["export", "masks", "--format", "png", "--out", "out"])
    assert (found.exit_code, "4 photographs written to out: masks/" in found.output) == (0, True), found.output
    wanted = index.in_splits("validation", "test")
    for position, stored in enumerate(open_label_maps("predict")):
        name = Path(wanted[position].path).with_suffix(".png")
        mask = load(OUT / "masks" / name)
        np.testing.assert_array_equal(mask, np.where(stored.score < 40, 0, stored.map))


def test_mistakes_are_named_before_any_work() -> None:
    with pytest.raises(UserError, match=r"--format cocoo: no such format .did you mean 'coco'"):
        export_masks("cocoo", None, OUT)
    with pytest.raises(UserError, match=r"artifacts/finetune.*no such file.*dvc repro finetune"):
        export_masks("png", None, OUT)
    fabricate_segmenter()
    with pytest.raises(UserError, match=r"artifacts/predict.*no such file.*dvc repro predict"):
        export_masks("png", None, OUT)
    with pytest.raises(UserError, match="nowhere: no such folder of photographs"):
        export_masks("png", Path("nowhere"), OUT)
    assert not OUT.exists()
