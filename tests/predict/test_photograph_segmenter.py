"""Three lines of Python give the masks that the stage writes, of photographs in any form."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from stages.core.artifacts.label_maps import open_label_maps
from stages.core.artifacts.models import read_model_card
from stages.core.config.crf import CRFConfig
from stages.core.errors import UserError
from stages.core.image_files import read_image
from stages.predict import Config, load_segmenter
from stages.predict.__main__ import main
from tests.fabricate import fabricate_images, fabricate_segmenter
from tests.predict.varied import draw_blocks, fabricate_varied_segmenter
from tests.project.rooms import ROOT

DOCS = ROOT / "docs/exports.md"


@pytest.mark.parametrize("crf", [None, CRFConfig(iterations=2)], ids=["plain", "crf"])
def test_masks_are_those_of_the_stage(crf: CRFConfig | None) -> None:
    index = fabricate_images(20, (30, 47))
    fabricate_varied_segmenter(3, 0.5, 96)
    config = Config(splits=("train",), crf=crf)
    main(config)
    Path("params.yaml").write_text(yaml.safe_dump({"predict": config.model_dump(mode="json")}))
    threshold = read_model_card("finetune").segmenter.threshold
    written = [np.where(found.score < round(100 * threshold), 0, found.map) for found in open_label_maps("predict")]
    segmenter = load_segmenter("artifacts/finetune")
    files = [Path("data", index[position].path) for position in range(len(index))]
    masks, scores = segmenter(files), [found.score for found in segmenter.segment(files)]
    np.testing.assert_array_equal(masks, written)
    np.testing.assert_allclose(scores, [found.score for found in open_label_maps("predict")], atol=1)
    assert len(np.unique(masks)) > 2, "of one category alone it would prove nothing"


def test_one_or_many_files_pillow_images_and_arrays_of_any_sizes() -> None:
    fabricate_varied_segmenter(3, 0.5, 96)
    sizes = [(40, 60), (33, 33), (40, 60), (80, 120), (50, 31)]
    arrays = [draw_blocks(*size, seed) for seed, size in enumerate(sizes)]
    for number, array in enumerate(arrays):
        Image.fromarray(array).save(f"{number}.png")
    segmenter = load_segmenter()
    alone = [segmenter(array) for array in arrays]
    assert [mask.shape for mask in alone] == sizes
    for given in (arrays, map(Image.fromarray, arrays), (f"{number}.png" for number in range(5)), tuple(arrays)):
        for mask, expected in zip(segmenter(given), alone, strict=True):
            np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(segmenter(np.stack([arrays[0], arrays[2]])), [alone[0], alone[2]])
    np.testing.assert_array_equal(segmenter(Path("1.png")), alone[1])
    told = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert told
    names = {"images": arrays}
    exec(told[1], names)
    np.testing.assert_array_equal(names["masks"][4], alone[4])
    np.testing.assert_array_equal(segmenter(arrays[1][..., 0]), segmenter(Image.fromarray(arrays[1][..., 0])))
    assert segmenter([]) == []
    assert segmenter.clusters == 3


def test_pillow_images_are_taken_as_their_files_are() -> None:
    fabricate_varied_segmenter(3, 0.5, 96)
    segmenter, colors = load_segmenter(), Image.fromarray(draw_blocks(40, 64))
    turned = Image.Exif()
    turned[0x0112] = 6
    colors.save("turned.jpg", exif=turned)
    colors.save("plain.jpg")
    clear = colors.copy()
    clear.putalpha(Image.fromarray(draw_blocks(40, 64, 1)[..., 0]))
    clear.save("clear.png")
    colors.quantize(9).save("palette.png")
    colors.convert("CMYK").save("print.tif")
    for name in ("turned.jpg", "plain.jpg", "clear.png", "palette.png", "print.tif"):
        with Image.open(name) as image:
            mask = segmenter(image)
        assert mask.shape == read_image(name).shape[:2], name
        np.testing.assert_array_equal(mask, segmenter(name), err_msg=name)


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match=r"artifacts/finetune.*dvc repro finetune"):
        load_segmenter()
    fabricate_segmenter()
    segmenter = load_segmenter()
    with pytest.raises(UserError, match=r"absent\.jpg: no such file"):
        segmenter("absent.jpg")
    for given, said in (
        (
            [np.zeros((4, 4, 3))],
            r"photograph 0: arrays are \(H, W, 3\) or \(H, W\) of uint8, found \(4, 4, 3\) of float64",
        ),
        ([draw_blocks(9, 9), draw_blocks(9, 9)[..., :2]], r"photograph 1: .*found \(9, 9, 2\)"),
        ([3], "photograph 0: give a path, a Pillow image or an array, found int"),
        (np.zeros(4, np.uint8), r"photograph 0: .*found \(4,\)"),
    ):
        with pytest.raises(UserError, match=said):
            segmenter(given)
