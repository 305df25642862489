"""The flow against a real server, over a small pipeline of scripts: states, order, limits, and how a run is ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling
from prefect.testing.utilities import prefect_test_harness

from tests.project.processes import assert_gone, family, wait_until
from tests.project.rooms import ROOT
from tests.project.server import prefect_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("prefect"),
    # Of a library below DVC.
    pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning"),
]

SCRIPT = """
import sys, time
name, seconds, *fails = sys.argv[1:]
inputs = open("params.yaml").read() if name == "left" else ""
for step in range(5):
    print(f"[progress] {step + 1}/5 {name}", file=sys.stderr, flush=True)
    time.sleep(float(seconds) / 5)
if fails:
    sys.exit(f"{name}: out of luck")
open(f"{name}.txt", "w").write(name + inputs)
open("calls", "a").write(name + " ")
"""
PIPELINE = """
stages:
  root: {cmd: python work.py root 0, outs: [root.txt]}
  left: {cmd: python work.py left 0, params: [left], deps: [root.txt], outs: [left.txt]}
  right: {cmd: python work.py right 0, deps: [root.txt], outs: [right.txt], meta: {tags: [gpu]}}
  end: {cmd: python work.py end 0, deps: [left.txt, right.txt], outs: [end.txt]}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with prefect_test_harness(server_startup_timeout=300):
        yield str(PREFECT_API_URL.value())


@pytest.fixture
def project(project: Path) -> Path:
    (project / "work.py").write_text(SCRIPT)
    (project / "params.yaml").write_text("left: {k: 1}\n")
    (project / "dvc.yaml").write_text(PIPELINE)
    return project


def change(project: Path, old: str, new: str, file: str = "dvc.yaml") -> None:
    path = project / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def run(*stages: str, force: bool = False) -> State:
    from flows.pipeline.flow import pipeline

    return pipeline(tuple(stages), (), force, return_state=True)


def states_of(state: State) -> dict[str, str]:
    """What the server says became of each task of a run."""
    with get_client(sync_client=True) as client:
        tasks = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id={"any_": [state.state_details.flow_run_id]}),
            task_run_filter=TaskRunFilter(),
        )
    return {task.name: task.state_name for task in tasks}


def test_every_state(server: str, project: Path) -> None:
    first = run()
    assert first.message == "4 Completed"
    assert run().message == "4 Cached"
    change(project, "k: 1", "k: 2", "params.yaml")
    assert run().message == "2 Cached, 2 Completed"
    change(project, "k: 2", "k: 1", "params.yaml")
    back = run()
    assert back.message == "2 Cached, 2 Restored"
    assert Counter((project / "calls").read_text().split()) == {"root": 1, "left": 2, "right": 1, "end": 2}
    with get_client(sync_client=True) as client:
        kept = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id={"any_": [first.state_details.flow_run_id]})
        )
        limit = client.read_global_concurrency_limit_by_name("gpu")
    assert {artifact.key for artifact in kept} >= {"stages", "progress-left", "progress-right"}
    assert limit.limit >= 1


def test_asked_for_stages_and_what_they_need(server: str, project: Path) -> None:
    assert run("left").message == "2 Completed"
    assert not (project / "right.txt").exists()
    assert run("left", force=True).message == "2 Completed"


def test_a_failure_tells_its_last_lines_and_stops_what_needs_it(server: str, project: Path) -> None:
    change(project, "work.py right 0", "work.py right 0 fails")
    state = run()
    assert state.is_failed()
    assert "right: out of luck" in state.message
    assert (project / "left.txt").exists()
    assert states_of(state) == {"root": "Completed", "left": "Completed", "right": "Failed", "end": "NotReady"}


def test_a_failure_is_tried_again_as_often_as_dvc_yaml_says(server: str, project: Path) -> None:
    flaky = "'echo x >> tries; test $(wc -l < tries) = 2 && python work.py right 0'"
    change(project, "python work.py right 0", flaky)
    change(project, "tags: [gpu]", "tags: [gpu], retries: 1")
    assert run().message == "4 Completed"


def test_a_stage_over_its_time_limit_is_ended(server: str, project: Path) -> None:
    change(project, "work.py right 0", "work.py right 600")
    change(project, "tags: [gpu]", "time_limit: 6")
    state = run()
    assert state.is_failed()
    assert "Ended after its time limit of 6 s" in state.message


def test_an_unknown_stage_is_named(server: str, project: Path) -> None:
    assert "no such stage 'lefd' (did you mean 'left'?)" in run("lefd").message


@contextmanager
def started(
    project: Path, server: str, *said: str, seconds: int = 600, **settings: str
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`luss run` in a process of its own, once it has said all this; by default, when both long stages run."""
    change(project, "work.py left 0", f"work.py left {seconds}")
    change(project, "work.py right 0", f"work.py right {seconds}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_API_URL": server, **settings}
    log = project / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows", "run"], cwd=project, env=environment, stdout=out, stderr=out
        )
    try:
        expected = said or ("] 1/5 left", "] 1/5 right")
        wait_until(lambda: all(words in log.read_text() for words in expected), process, 300, log)
        yield process, log
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_every_process(server: str, project: Path, number: signal.Signals) -> None:
    with started(project, server) as (process, log):
        below = family(process)
        process.send_signal(number)
        assert process.wait(120) == 130
        assert_gone(below)
        assert "Cancelled: Stopped" in log.read_text()
    change(project, "left 600", "left 0")
    change(project, "right 600", "right 0")
    assert run().is_completed()


@pytest.mark.parametrize("moment", ["Beginning flow run", "DVC looks for what has changed"])
def test_a_signal_before_the_first_stage_cancels_too(server: str, project: Path, moment: str) -> None:
    with started(project, server, moment) as (process, log):
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
        found = re.search(r"Beginning flow run '([\w-]+)'", log.read_text())  # its address comes a moment later
        assert found
        with get_client(sync_client=True) as client:
            (told,) = client.read_flow_runs(flow_run_filter=FlowRunFilter(name={"any_": [found[1]]}))
        assert told.state.is_cancelled()


def test_the_stages_finish_without_a_server_that_is_gone(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        prefect_server(tmp_path_factory.mktemp("server")) as (url, process_of_server),
        # Sooner convinced that the server is gone; a busy one that answers 503 is still asked again.
        started(project, url, seconds=15, PREFECT_CLIENT_MAX_RETRIES="2") as (process, log),
    ):
        os.killpg(process_of_server.pid, signal.SIGKILL)
        assert process.wait(300) == 0, log.read_text()
        assert "The Prefect server does not answer: the stages go on without it." in log.read_text()
    assert Counter((project / "calls").read_text().split()) == {"root": 1, "left": 1, "right": 1, "end": 1}


def test_a_run_whose_temporary_server_is_killed_ends_by_itself(project: Path, tmp_path: Path) -> None:
    # Prefect alone tries for more than a minute to tell it the end, and then prints a traceback.
    with started(project, "", seconds=5, PREFECT_HOME=str(tmp_path / "home")) as (process, log):
        (server,) = (each for each in family(process) if "flows.server.temporary" in each.cmdline())
        server.kill()
        assert process.wait(60) == 0, log.read_text()
        said = log.read_text()
    assert said.endswith("Completed: 4 Completed\n")
    assert "Traceback" not in said
    assert Counter((project / "calls").read_text().split()) == {"root": 1, "left": 1, "right": 1, "end": 1}


def test_cancelling_on_the_server_ends_the_run_with_every_process(server: str, project: Path) -> None:
    with started(project, server) as (process, log):
        below = family(process)
        found = re.search(r"flow-run/([0-9a-f-]{36})", log.read_text())
        assert found
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(found[1]), Cancelling(), force=True)
            assert process.wait(120) == 130
            assert_gone(below)
            assert client.read_flow_run(UUID(found[1])).state.is_cancelled()


def test_a_second_run_in_the_same_folder_is_told_who_is_there(server: str, project: Path) -> None:
    with started(project, server) as (process, _):
        state = run()
        process.send_signal(signal.SIGINT)
        process.wait(120)
    assert state.is_failed()
    assert f"another run works in this folder (process {process.pid}, since " in state.message
