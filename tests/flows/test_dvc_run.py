"""Ending dvc ends its stage, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows.workspace.dvc_process import INTERRUPTED, check_workspace, run_dvc
from stages.core.errors import UserError
from stages.core.parent import signal_handled_by
from tests.project.processes import assert_gone, family, wait_until
from tests.project.rooms import ROOT

STAGE = """
import multiprocessing, os, signal, sys, time
{stubbornness}
if __name__ == "__main__":
    worker = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,), daemon={daemon})
    worker.start()
    open("started", "w").write(f"{{os.getpid()}} {{worker.pid}}")
    time.sleep(600)
"""
STUBBORN = "for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)"


def write_pipeline(project: Path, command: str) -> None:
    (project / "dvc.yaml").write_text(f"stages:\n  work:\n    cmd: {command}\n    outs: [done]\n")


def start(project: Path, before: Callable[[], object] | None = None) -> subprocess.Popen[bytes]:
    code = "import sys; from flows.workspace.dvc_process import run_dvc; sys.exit(run_dvc(['repro']))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (project / "log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-c", code], cwd=project, env=environment, stdout=log, stderr=log, preexec_fn=before
        )


def wait_for_stage(project: Path, process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Wait until the stage and its worker run; returns dvc and everything below it."""
    started = project / "started"
    wait_until(lambda: started.exists() and bool(started.read_text()), process)
    return family(process)


def test_it_runs_with_the_interpreter_that_runs_now(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    write_pipeline(project, 'python -c \'import sys; open("done", "w").write(sys.prefix)\'')
    assert run_dvc(["repro", "-q"]) == 0
    assert (project / "done").read_text() == sys.prefix


def test_a_failing_stage_is_a_failure(project: Path) -> None:
    write_pipeline(project, "exit 3")
    assert run_dvc(["repro", "-q"]) not in (0, INTERRUPTED)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_stage_and_its_workers(project: Path, number: signal.Signals) -> None:
    write_pipeline(project, "python stage.py")
    (project / "stage.py").write_text(STAGE.format(stubbornness="", daemon=True))
    process = start(project)
    started = wait_for_stage(project, process)
    process.send_signal(number)
    assert process.wait(20) == INTERRUPTED
    assert len(started) >= 3
    assert_gone(started)


def test_ctrl_c_also_ends_a_run_that_began_with_it_ignored(project: Path) -> None:
    write_pipeline(project, "python stage.py")
    (project / "stage.py").write_text(STAGE.format(stubbornness="", daemon=True))
    process = start(project, before=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    started = wait_for_stage(project, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == INTERRUPTED
    assert_gone(started)


def test_a_stubborn_stage_ends_when_asked_again(project: Path) -> None:
    write_pipeline(project, "python stage.py")
    (project / "stage.py").write_text(STAGE.format(stubbornness=STUBBORN, daemon=False))
    process = start(project)
    started = wait_for_stage(project, process)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert process.wait(20) == INTERRUPTED
    assert_gone(started)


def test_the_next_run_goes_on(project: Path) -> None:
    write_pipeline(project, "python stage.py")
    (project / "stage.py").write_text(STAGE.format(stubbornness="", daemon=True))
    process = start(project)
    wait_for_stage(project, process)
    process.send_signal(signal.SIGINT)
    process.wait(20)
    (project / "stage.py").write_text("open('done', 'w')")
    assert run_dvc(["repro", "-q"]) == 0
    assert (project / "done").exists()


def test_a_folder_that_is_no_project_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not the root folder of the project"):
        check_workspace(tmp_path)


def test_a_project_without_git_is_named(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / ".dvc").mkdir()
    with pytest.raises(UserError, match="not a git repository"):
        check_workspace(tmp_path)
    (tmp_path / ".git").mkdir()
    check_workspace(tmp_path)


ORPHAN = """
import os, time
from pathlib import Path
from stages.core.cli import run_stage
from stages.core.config.params import Params

class Config(Params):
    pass

def work(config):
    Path("started").write_text(str(os.getpid()))
    time.sleep(3)
    Path("done").touch()

run_stage("work", Config, work)
"""


def write_stage(project: Path) -> dict[str, str]:
    """Write a stage that works for three seconds; returns the environment that it needs."""
    write_pipeline(project, f"exec {sys.executable} stage.py")
    (project / "stage.py").write_text(ORPHAN)
    (project / "params.yaml").write_text("work: {}\n")
    return {**os.environ, "PYTHONPATH": str(ROOT), "SHELL": "/bin/sh"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_stage_keeps_its_work_and_ends_when_dvc_alone_is_ended(project: Path, number: signal.Signals) -> None:
    environment, log = write_stage(project), project / "log"
    # These tests may themselves run under nohup, whose children ignore SIGHUP.
    with log.open("w") as output, signal_handled_by(signal.SIGHUP, signal.SIG_DFL):
        command = [sys.executable, "-m", "dvc", "repro"]
        process = subprocess.Popen(command, cwd=project, env=environment, stdout=output, stderr=output)
    started = wait_for_stage(project, process)
    process.send_signal(number)
    process.wait(20)
    assert_gone(started)
    assert "work: interrupted; finished work is kept" in log.read_text()
    assert not (project / "done").exists()


def test_a_stage_without_dvc_goes_on_when_its_shell_has_ended(project: Path) -> None:
    command = f"nohup {sys.executable} stage.py >log 2>&1 & while ! [ -s started ]; do sleep 0.1; done"
    subprocess.run(["/bin/sh", "-c", command], cwd=project, env=write_stage(project), check=True)
    stage = psutil.Process(int((project / "started").read_text()))
    psutil.wait_procs([stage], timeout=20)
    assert (project / "done").exists()
