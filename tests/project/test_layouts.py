"""Layouts of official downloads, from recipe to metrics.json; `python -m tests.benchmarks layouts` runs them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.layouts import MATRIX, cells


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUSS_WORKERS", "1")


@pytest.mark.parametrize(
    ("dataset", "method", "protocol"),
    [
        ("cityscapes27", "vice", "scenes, matched on train"),
        ("lip5", "transfgu", "pixel_hungarian, matched on validation"),
        ("coco_voc21", "frozen", "iou_hungarian, matched on validation"),
        ("tiny_imagenet", "swav", "no masks"),
    ],
)
def test_a_layout_goes_from_its_recipe_to_scores(dataset: str, method: str, protocol: str) -> None:
    ((_, cell),) = cells(dataset, [method])
    assert (cell["outcome"], cell["protocol"]) == ("ok", protocol)


@pytest.mark.long
@pytest.mark.parametrize("dataset", MATRIX)
def test_every_method_of_the_papers_runs_on_its_layouts(dataset: str) -> None:
    outcomes = {method: cell["outcome"] for method, cell in cells(dataset)}
    assert outcomes == dict.fromkeys(MATRIX[dataset], "ok")
