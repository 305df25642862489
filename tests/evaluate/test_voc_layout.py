"""The same photographs in ImageNet-S's layout and in Pascal VOC's score the same, where the protocol is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.core.png_files import encode_png, read_mask
from tests.benchmarks.voc_layout import PROTOCOLS, VOC, compare
from tests.project.workspace import draw_data


def test_both_layouts_score_the_same_in_every_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUSS_WORKERS", "1")
    source = tmp_path / "drawn"
    draw_data(source)
    for path in sorted((source / "validation-segmentation").rglob("*.png")):
        mask = read_mask(path).astype(np.int64)
        mask[:3] = 1000
        path.write_bytes(encode_png(np.stack([mask % 256, mask // 256, mask * 0], 2).astype(np.uint8)))
    found = compare(source)
    assert found["voc"] == found["imagenet_s"]
    assert tuple(found["voc"]) == PROTOCOLS
    assert len({scores["mIoU"] for scores in found["voc"].values()}) > 1
    stored = {int(value) for path in Path("voc/data", VOC, "SegmentationClass").iterdir() for value in _ids(path)}
    assert stored == {0, 1, 2, 3, 255}


def _ids(path: Path) -> set[int]:
    return set(np.unique(np.asarray(Image.open(path))).tolist())
