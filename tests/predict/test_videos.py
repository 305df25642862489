"""A video is segmented frame by frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli.app import app
from stages.core.errors import UserError
from stages.predict import load_segmenter
from stages.predict.exports.exporting import export_masks
from stages.predict.folder import predict_folder
from tests.predict.varied import draw_blocks, fabricate_varied_segmenter

CLIP, OUT = Path("clip.avi"), Path("out")


def write_clip(frames: list[np.ndarray]) -> None:
    height, width, _ = frames[0].shape
    writer = cv2.VideoWriter(str(CLIP), cv2.VideoWriter.fourcc(*"MJPG"), 10, (width, height))
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()


def test_every_frame_gets_a_mask() -> None:
    frames = [draw_blocks(48, 64, seed) for seed in range(3)]
    write_clip(frames)
    fabricate_varied_segmenter(4, 0.3)
    found = CliRunner().invoke(app, ["predict", "--images", "clip.avi", "--out", "out"])
    assert (found.exit_code, "3 frames segmented into out" in found.output) == (0, True), found.output
    page = (OUT / "index.html").read_text()
    assert "<h1>3 frames</h1>" in page
    assert "photographs" not in found.output + page
    candidates = load_segmenter()([*frames, *(frame[..., ::-1].copy() for frame in frames)])
    for number in range(3):
        mask = np.asarray(Image.open(OUT / f"masks/clip.avi/{number:06}.png"))
        equal = [np.mean(mask == candidate) for candidate in candidates]
        assert np.argmax(equal) == number, "not that of another frame, nor of red and blue exchanged"
        assert equal[number] > 0.8, "the frame's own, but for the losses of JPEG"


def test_what_is_no_video_is_said() -> None:
    fabricate_varied_segmenter(2)
    CLIP.write_bytes(b"no video")
    with pytest.raises(UserError, match=r"clip\.avi: OpenCV reads no frame of this video"):
        predict_folder(CLIP, OUT)
    with pytest.raises(UserError, match=r"clip\.avi: is a video; luss predict segments its frames"):
        export_masks("png", CLIP, OUT)
    assert not OUT.exists()


def test_a_higher_score_leaves_fewer_pixels() -> None:
    image = draw_blocks(48, 64)
    Image.fromarray(image).save("a.png")
    fabricate_varied_segmenter(4, 0.3)
    segmenter = load_segmenter()
    one = segmenter.segment(image)
    middle = float(np.median(one.score)) / 100 + 0.01
    found = CliRunner().invoke(app, ["predict", "--images", "a.png", "--out", "out", "--min-score", f"{middle:.2f}"])
    assert found.exit_code == 0, found.output
    mask = np.asarray(Image.open(OUT / "masks/a.png.png"))
    np.testing.assert_array_equal(mask, np.where(one.score < round(100 * middle), 0, one.label))
    assert 0 < np.count_nonzero(mask) < np.count_nonzero(segmenter(image))
