"""The flows against a real server, with the real dvc.yaml in a clone: states, artifacts, cancel and resume, a sweep."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psutil
import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling
from prefect.testing.utilities import prefect_test_harness

from tests.project.processes import wait_until
from tests.project.rooms import stage_folders
from tests.project.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("prefect")]

EVERYTHING = {"data", *stage_folders()}
AFTER_CLUSTER = {"cluster", "pseudolabel", "finetune", "predict", "evaluate"}


class Watched:
    """A clone whose runs a server watches."""

    def __init__(self, workspace: Workspace, url: str) -> None:
        self.workspace = workspace
        self.log = workspace.path.parent / "log"
        self.environment = {**workspace.environment, "PREFECT_API_URL": url, "LUSS_CHECKPOINT_SECONDS": "0.3"}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "flows", *arguments]
        with self.log.open("w") as log:
            return subprocess.Popen(command, cwd=self.workspace.path, env=self.environment, stdout=log, stderr=log)

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run `luss ARGUMENTS`; returns what it printed."""
        assert self.start(*arguments).wait(600) == status, self.log.read_text()
        return self.log.read_text()

    @property
    def run_id(self) -> UUID:
        """Of the newest run."""
        found = re.search(r"flow-run/([0-9a-f-]{36})", self.log.read_text())
        assert found
        return UUID(found[1])

    def states(self) -> dict[str, set[str]]:
        """The tasks of the newest run by what the server says became of them."""
        with get_client(sync_client=True) as client:
            tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [self.run_id]}))
        return {
            state: {task.name for task in tasks if task.state_name == state}
            for task in tasks
            for state in [task.state_name]
        }

    def artifact(self, key: str) -> Any:
        with get_client(sync_client=True) as client:
            only = ArtifactFilter(flow_run_id={"any_": [self.run_id]}, key={"any_": [key]})
            (found,) = client.read_artifacts(artifact_filter=only)
        return found.data


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Run once and commit what came out."""
    with prefect_test_harness(server_startup_timeout=300):
        workspace = Workspace(tmp_path_factory.mktemp("watched") / "clone")
        workspace.use()
        workspace.commit("tiny")
        watched = Watched(workspace, str(PREFECT_API_URL.value()))
        watched.run("run")
        workspace.commit("finished")
        yield watched


@pytest.fixture
def watched(first_run: Watched) -> Iterator[Watched]:
    """The clone as it was after its run; what a test changes there no other test sees."""
    log = first_run.log.read_text()
    yield first_run
    first_run.workspace.restore()
    first_run.log.write_text(log)


def test_every_stage_ran_and_its_results_are_shown(watched: Watched) -> None:
    assert watched.states() == {"Completed": EVERYTHING}
    metrics = json.loads((watched.workspace.path / "artifacts/evaluate/metrics.json").read_text())
    scores = {(row["split"], row["score"]): row for row in json.loads(watched.artifact("scores"))}
    before = json.loads(watched.workspace.git("show", "HEAD~1:artifacts/evaluate/metrics.json"))
    row = scores["test", "mIoU"]
    assert (row["now"], row["before"]) == (f"{metrics['test']['mIoU']:.2f}", f"{before['test']['mIoU']:.2f}")
    assert {row["stage"] for row in json.loads(watched.artifact("stages"))} == EVERYTHING
    pictures = re.findall(r"!\[.*?\]\(data:image/(?:png|jpeg);base64,([A-Za-z0-9+/=]+)\)", watched.artifact("overlays"))
    assert len(pictures) == 4
    assert "report.html" in watched.artifact("overlays")


def test_a_changed_parameter_reruns_what_it_reaches_and_back_it_is_restored(watched: Watched) -> None:
    watched.run("run", "-S", "cluster.normalize=false")
    ran = watched.states()["Completed"]
    # A stage whose inputs come out equal after all is not among them.
    assert {"cluster", "evaluate"} <= ran <= AFTER_CLUSTER
    assert watched.states()["Cached"] == EVERYTHING - ran
    watched.run("run", "-S", "cluster.normalize=true")
    assert watched.states() == {"Restored": ran, "Cached": EVERYTHING - ran}
    watched.run("run")
    assert watched.states() == {"Cached": EVERYTHING}


def test_a_stage_that_fails_says_why(watched: Watched) -> None:
    told = watched.run("run", "-S", "cluster.k=1000", status=1)
    states = {"Failed": {"cluster"}, "NotReady": AFTER_CLUSTER - {"cluster"}, "Cached": EVERYTHING - AFTER_CLUSTER}
    assert watched.states() == states
    assert "cannot form 1000 clusters" in told.partition("\nFailed: ")[2]
    watched.run("run", "-S", "cluster.k=3")


def test_cancelled_in_the_ui_while_pretraining_it_leaves_nothing_and_goes_on(watched: Watched) -> None:
    # Long by slow steps: after 200 of them the tiny training would be told that it learns nothing.
    views = "pretrain.views.crops=[{count:2,size:96,scale:[0.3,1.0]}]"
    run = ("run", "pretrain", "-S", "pretrain.training.epochs=60", "-S", views)
    process = watched.start(*run)
    checkpoints = watched.workspace.path / ".checkpoints/pretrain"
    wait_until(lambda: len(list(checkpoints.glob("*/*.pt*"))) > 0, process, 300)
    groups = {os.getpgid(child.pid) for child in psutil.Process(process.pid).children(recursive=True)}
    groups.discard(os.getpgid(0))
    assert groups
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(watched.run_id, Cancelling(), force=True)
        assert process.wait(120) == 130
        assert client.read_flow_run(watched.run_id).state.is_cancelled()
    assert not [one for one in psutil.process_iter() if one.is_running() and in_groups(one, groups)]
    assert watched.states()["Cancelled"] == {"pretrain"}
    told = watched.run(*run)
    first = re.search(r"\[progress\] (\d+)/180 pretrain", told)
    assert first
    assert int(first[1]) > 1


def in_groups(process: psutil.Process, groups: set[int]) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and os.getpgid(process.pid) in groups
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False


def test_a_sweep_runs_what_is_shared_once_and_dvc_has_every_combination(watched: Watched) -> None:
    told = watched.run("sweep", "cluster.k=2,3", "evaluate.overlays=2,3")
    counted = re.search(r"How often each stage ran for 4 combinations: (.*)", told)
    assert counted
    counts = {stage: int(count) for stage, count in (part.split() for part in counted[1].split(", "))}
    assert set(counts) == set(stage_folders())
    assert {stage for stage, count in counts.items() if count} <= AFTER_CLUSTER
    assert (counts["cluster"], counts["pseudolabel"], counts["evaluate"]) == (1, 1, 4)
    assert max(counts["finetune"], counts["predict"]) == 1
    rows = json.loads(watched.artifact("sweep"))
    assert {(row["cluster.k"], row["evaluate.overlays"]) for row in rows} == {
        ("2", "2"),
        ("2", "3"),
        ("3", "2"),
        ("3", "3"),
    }
    listed = watched.workspace.run("-m", "dvc", "exp", "list", "--name-only").stdout.split()
    assert {row["experiment"] for row in rows} == set(listed)
    (chosen,) = (row for row in rows if (row["cluster.k"], row["evaluate.overlays"]) == ("2", "2"))
    assert watched.workspace.run("-m", "dvc", "exp", "apply", chosen["experiment"]).returncode == 0
    assert "ran" not in watched.workspace.repro().values()
    metrics = json.loads((watched.workspace.path / "artifacts/evaluate/metrics.json").read_text())
    assert chosen["test.mIoU"] == f"{metrics['test']['mIoU']:.2f}"
    assert len(list((watched.workspace.path / "artifacts/evaluate/overlays").glob("*"))) == 2
