"""Floors: cheap clusters painted on the predicted foreground."""

import numpy as np
import pytest

from stages.core.metrics.counting import MapPair
from stages.evaluate import Config
from stages.evaluate.__main__ import main
from stages.evaluate.tools import baselines as floors
from tests.evaluate.project import write_project


def test_objects_are_repainted_and_background_stays():
    pred, ranks = np.array([[0, 1, 2, 2]], np.uint16), np.array([[1, 1, 0, 1]], np.uint8)
    maps = MapPair(pred, pred, ranks, "mask", "prediction")
    painted = floors.PaintedMapLoader(lambda item: maps, {"photo": 7})(("photo", "mask"))
    assert painted.pred.tolist() == [[0, 7, 0, 7]]
    assert painted.ranks is None


def test_color_histogram_counts_by_hand():
    photo = np.zeros((2, 2, 3), np.uint8)
    photo[0, 0] = [255, 0, 64]
    histogram = floors._color_histogram(photo) ** 2
    assert histogram[0] == pytest.approx(0.75)
    assert histogram[3 * 16 + 0 * 4 + 1] == pytest.approx(0.25)


def test_floors_stand_beside_the_result(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUSS_WORKERS", "1")
    write_project()
    main(Config())
    capsys.readouterr()
    floors.main(Config())
    printed = capsys.readouterr().out
    for name in ("the result itself", "mean color", "color histogram", "untrained network"):
        assert name in printed
