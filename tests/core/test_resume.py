"""Unfinished work: kept after a failure, removed after success, locked, and tied to parameters and inputs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from stages.core import resume
from stages.core.config.params import Params
from stages.core.errors import UserError
from stages.core.resume import resumable_work, work_key
from tests.project.rooms import ROOT


class Few(Params):
    value: int = 1


class Kmeans(Few):
    method: str = "kmeans"


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUSS_CHECKPOINTS", raising=False)


def work_and_stop() -> None:
    with resumable_work("pretrain", Few(), {}) as work:
        (work / "half").write_text("done")
        raise KeyboardInterrupt


def test_work_is_kept_after_a_failure_and_removed_after_success() -> None:
    with pytest.raises(KeyboardInterrupt):
        work_and_stop()
    with resumable_work("pretrain", Few(), {}) as work:
        assert (work / "half").read_text() == "done"
    assert not work.exists()


def test_it_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with resumable_work("pretrain", Few(), {}) as work:
        assert work.parent == Path(".checkpoints/pretrain")
    monkeypatch.setenv("LUSS_CHECKPOINTS", str(tmp_path / "elsewhere"))
    with resumable_work("attend", Few(), {}) as work:
        assert work.parent == tmp_path / "elsewhere" / "attend"


def test_the_key_changes_with_parameters_and_inputs_only() -> None:
    key = work_key("cluster", Few(), {"images": "a", "saliency": "b"})
    assert key == work_key("cluster", Few(value=1), {"saliency": "b", "images": "a"})
    others = {
        work_key("cluster", Few(value=2), {"images": "a", "saliency": "b"}),
        work_key("cluster", Few(), {"images": "c", "saliency": "b"}),
        work_key("cluster", Few(), {"images": "a"}),
    }
    assert len(others | {key}) == 4


@pytest.mark.parametrize("file", ["stages/core/faiss_ops.py", "stages/cluster/__main__.py"])
def test_other_code_does_not_go_on_with_this_one_s_work(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "stages", tmp_path / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(resume, "_PROJECT", tmp_path)
    before = work_key("cluster", Kmeans(), {})
    code = tmp_path / file
    code.write_text(f"{code.read_text()}\n# A comment.\n")
    assert work_key("cluster", Kmeans(), {}) == before
    code.write_text(f"{code.read_text()}\n_ADDED = 1\n")
    assert work_key("cluster", Kmeans(), {}) != before


def test_whoever_comes_second_is_told_who_works() -> None:
    with resumable_work("pretrain", Few(), {}) as work:
        with (
            pytest.raises(UserError, match=f"process {os.getpid()} works on 'pretrain' with the same parameters"),
            resumable_work("pretrain", Few(), {}),
        ):
            raise AssertionError("two at once")
        assert work.exists()
        with resumable_work("pretrain", Few(value=2), {}) as other:
            assert other != work


def test_work_is_kept_where_dvc_has_no_room_for_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """DVC would fail, and the next run start from the beginning."""
    (tmp_path / "artifacts/pretrain").mkdir(parents=True)
    (tmp_path / "artifacts/pretrain/model").write_bytes(bytes(1000))
    for free, is_kept in ((999, True), (1001, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        with resumable_work("pretrain", Few(), {}) as work:
            pass
        assert work.exists() == is_kept
        assert ("no room for DVC's copy of artifacts/pretrain" in capsys.readouterr().err) == is_kept
