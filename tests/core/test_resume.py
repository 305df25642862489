"""Unfinished work: kept after a failure, removed after success, locked, and tied to parameters and inputs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stages.core.config.params import Params
from stages.core.errors import UserError
from stages.core.resume import resumable_work, work_key


class Few(Params):
    value: int = 1


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
