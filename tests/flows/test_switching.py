"""From one method to another and back: what was computed before is taken back, and nothing runs."""

from __future__ import annotations

import pytest

from tests.project.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("switching")]

SAMPLE = """
shared:
  {seed: 0, classes: 3, backbone: test_resnet, view_size: 32, local_size: 24, resize: 48, crop: 48,
   mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], predicted_splits: [validation, test]}
index: {method: imagenet_s}
"""
"""A data set of this file's name gets what the recipes have for the sample."""
SHORT = ("pretrain.training.epochs=1", "pretrain.training.batch_size=4", "pretrain.prototypes=6")
METHODS = {
    "luss": SHORT,
    "pass": (*SHORT, "attend.training.epochs=1", "attend.training.batch_size=4", "attend.prototypes=6"),
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("switching") / "clone")
    (workspace.path / "sample.yaml").write_text(SAMPLE)
    return workspace


def switch(workspace: Workspace, method: str, last: str, *values: str) -> dict[str, str]:
    """Use a recipe and run it up to a stage; returns what became of each stage."""
    done = workspace.run("-m", "flows", "use", method, "./sample.yaml", *METHODS[method], *values)
    assert done.returncode == 0, done.stdout
    return workspace.repro(last)


def test_there_and_back_nothing_runs_again_and_more_clusters_only_what_follows(workspace: Workspace) -> None:
    first = switch(workspace, "luss", "cluster")
    assert first["pretrain"] == first["cluster"] == "ran"
    outs = workspace.outs()
    model = (workspace.path / "artifacts/pretrain/model.safetensors").read_bytes()
    there = switch(workspace, "pass", "attend")
    assert there["pretrain"] == there["attend"] == "ran"
    assert there["index"] == "unchanged"
    back = switch(workspace, "luss", "cluster")
    assert "ran" not in back.values()
    assert back["pretrain"] == back["attend"] == "restored"
    assert workspace.outs() == outs
    assert (workspace.path / "artifacts/pretrain/model.safetensors").read_bytes() == model
    finer = switch(workspace, "luss", "cluster", "cluster.k=4")
    assert {stage for stage, what in finer.items() if what == "ran"} == {"cluster"}
