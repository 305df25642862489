import json
import zipfile

import numpy as np
import pytest

from stages.core.errors import UserError
from stages.core.png_files import read_mask
from stages.evaluate import Config
from stages.evaluate.__main__ import main
from stages.evaluate.tools.score_folder import Request, score_folder
from stages.evaluate.tools.submission import Description, write_submission
from tests.evaluate.project import write_project

DESCRIPTION = Description("drawn", "drawn shapes", "SSL", "null", "a test")


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUSS_WORKERS", "1")
    truth = write_project()
    main(Config())
    return tmp_path, truth


def test_the_zip_holds_unmatched_masks_the_match_and_the_method(evaluated):
    root, truth = evaluated
    assert write_submission(root / "out.zip", DESCRIPTION) == 12
    with zipfile.ZipFile(root / "out.zip") as file:
        file.extractall(root / "sent")
    for image_id, (_, pred, score) in truth.items():
        if image_id.startswith("test/"):
            sent = read_mask(root / "sent" / f"{image_id.removeprefix('test/')}.png")
            np.testing.assert_array_equal(sent, np.where(score < 40, 0, pred))
    assert "Method name: drawn\nTraining data: drawn shapes" in (root / "sent/method.txt").read_text()
    assert set(json.loads((root / "sent/match.json").read_text())) == {"0", "1", "2", "3"}


def test_what_is_sent_scores_as_the_evaluation_says(evaluated):
    root, _ = evaluated
    write_submission(root / "out.zip", DESCRIPTION)
    with zipfile.ZipFile(root / "out.zip") as file:
        file.extractall(root / "sent")
    result = score_folder(Request(root / "data/test-segmentation", root / "sent", match=root / "sent/match.json"))
    metrics = json.loads((root / "artifacts/evaluate/metrics.json").read_text())
    assert result["scores"] == metrics["test"]


def test_the_same_predictions_give_the_same_file(evaluated):
    root, _ = evaluated
    for name in ("a.zip", "b.zip"):
        write_submission(root / name, DESCRIPTION)
    assert (root / "a.zip").read_bytes() == (root / "b.zip").read_bytes()


def test_a_match_of_another_protocol_is_refused(evaluated):
    root, _ = evaluated
    main(Config(protocol="iou_hungarian"))
    with pytest.raises(UserError, match="protocol iou_hungarian"):
        write_submission(root / "out.zip", DESCRIPTION)


def test_an_unsegmented_test_split_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project(splits=("train", "validation"))
    main(Config())
    with pytest.raises(UserError, match="no split test"):
        write_submission(tmp_path / "out.zip", DESCRIPTION)
