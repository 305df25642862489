"""Changed code in stages/core, through DVC: what runs again, what does not, and what a refusal leaves behind."""

from __future__ import annotations

import json

import pytest

from stages.core.fingerprint import reached_modules
from tests.project.rooms import ROOT
from tests.project.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("end_to_end")]

MODULE = "stages.core.faiss_ops"
"""A module of core that few stages reach."""
REFRESH = ("-m", "stages.core.fingerprint")


def append(workspace: Workspace, file: str, text: str) -> None:
    path = workspace.path / file
    path.write_text(f"{path.read_text()}\n{text}\n")


def stages_that_reach(workspace: Workspace, module: str) -> set[str]:
    entries = json.loads((workspace.path / "code.json").read_text())["core"]
    selected = {stage: workspace.section(stage).get("method", "stage") for stage in entries}
    return {stage for stage, method in selected.items() if module in reached_modules(stage, method, ROOT)}


def test_a_constant_in_core_reruns_the_stages_that_reach_it_and_a_comment_none(finished: Workspace) -> None:
    file = f"{MODULE.replace('.', '/')}.py"
    append(finished, file, "# A comment.")
    assert finished.run(*REFRESH).returncode == 0
    assert "Data and pipelines are up to date." in finished.run("-m", "dvc", "repro").stdout
    append(finished, file, "_ADDED = 1")
    assert finished.run(*REFRESH).returncode == 0
    did = finished.repro()
    assert {stage for stage, what in did.items() if what == "ran"} == stages_that_reach(finished, MODULE) != set()


def test_a_refused_stage_loses_nothing(finished: Workspace) -> None:
    model = finished.path / "artifacts/cluster/manifest.json"
    before = model.read_bytes()
    append(finished, "stages/core/faiss_ops.py", "_ADDED = 2")
    append(finished, "stages/cluster/__main__.py", "_ADDED = 2")
    refused = finished.run("-m", "dvc", "repro")
    assert refused.returncode != 0
    assert "cluster: code.json: is out of date for cluster.kmeans; run `python -m stages.core.fi" in refused.stdout
    assert "Traceback" not in refused.stdout
    assert finished.run("-m", "dvc", "checkout", "--force").returncode == 0
    assert model.read_bytes() == before
