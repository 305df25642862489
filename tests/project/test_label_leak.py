"""Labels reach `evaluate`, and a stage whose `supervision` says so, and nothing else: in every recipe."""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from dvc.repo import Repo

from flows.recipes.composing import Recipe, compose
from tests.flows.test_recipe import ALL
from tests.project.rooms import ROOT, imported_modules, stage_folders

LABELS = "artifacts/index/labels"
EXAMPLE = Recipe("swav", "sample")


@cache
def stages_with_labels_by(interpolated: str) -> set[str]:
    """The same of dvc.yaml's own values, which many recipes share: DVC takes half a second to read it."""
    with TemporaryDirectory() as root:
        return stages_with_labels(write_pipeline(Path(root), json.loads(interpolated)))


def interpolated_values(sections: dict[str, Any]) -> str:
    """The sections that dvc.yaml refers to, with the values that it takes from them, as JSON."""
    found: dict[str, Any] = {}
    for section, field in sorted(set(re.findall(r"\$\{(\w+)\.(\w+)\}", (ROOT / "dvc.yaml").read_text()))):
        found.setdefault(section, {})[field] = sections[section][field]
    return json.dumps(found)


def stages_with_labels(root: Path) -> set[str]:
    """Stages that depend, as DVC resolves dvc.yaml, on the labels, a folder around them, or the data themselves."""
    labels, data = root / LABELS, root / "data"
    repo = Repo(str(root), uninitialized=True)
    return {
        stage.name
        for stage in repo.index.stages
        for dep in stage.deps
        if stage.name and exposes(Path(dep.fs_path), labels, data)
    }


def exposes(dep: Path, labels: Path, data: Path) -> bool:
    return any(secret.is_relative_to(dep) or dep.is_relative_to(secret) for secret in (labels, data))


def allowed(sections: dict[str, Any]) -> set[str]:
    supervised = {stage for stage, section in sections.items() if section.get("supervision") == "labels"}
    return {"index", "evaluate"} | supervised


def write_pipeline(root: Path, sections: dict[str, Any]) -> Path:
    shutil.copy(ROOT / "dvc.yaml", root)
    (root / "params.yaml").write_text(yaml.safe_dump(sections))
    return root


@pytest.mark.parametrize(("method", "dataset"), ALL)
def test_labels_occur_only_where_a_recipe_says_so(method: str, dataset: str) -> None:
    sections = compose(Recipe(method, dataset, ("shared.classes=3",)))
    assert stages_with_labels_by(interpolated_values(sections)) == allowed(sections)


@pytest.mark.parametrize("stage", ["saliency", "pretrain", "pseudolabel", "finetune"])
def test_supervision_adds_the_labels_to_that_stage_alone(tmp_path: Path, stage: str) -> None:
    sections = compose(EXAMPLE)
    sections[stage]["supervision"] = "labels"
    assert stages_with_labels(write_pipeline(tmp_path, sections)) == {"index", "evaluate", stage}


@pytest.mark.parametrize("leak", [LABELS, f"{LABELS}/labels.parquet", "artifacts/index", "data", "data/train"])
def test_a_leak_is_caught(tmp_path: Path, leak: str) -> None:
    sections = compose(EXAMPLE)
    pipeline = yaml.safe_load((write_pipeline(tmp_path, sections) / "dvc.yaml").read_text())
    pipeline["stages"]["pretrain"]["deps"].append(leak)
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    assert stages_with_labels(tmp_path) - allowed(sections) == {"pretrain"}


def stages_that_read_labels(root: Path) -> set[str]:
    """Stages whose code imports the reader of the labels."""
    return {
        stage
        for stage in stage_folders(root)
        for path in (root / "stages" / stage).rglob("*.py")
        if any(module.endswith(".read_labels") for module in imported_modules(path, root))
    }


def test_only_stages_with_a_supervision_field_have_code_that_reads_labels() -> None:
    supervised = {stage for stage, section in compose(EXAMPLE).items() if "supervision" in section}
    assert supervised == {"saliency", "pretrain", "pseudolabel", "finetune"}
    assert "evaluate" in stages_that_read_labels(ROOT)
    assert stages_that_read_labels(ROOT) <= {"evaluate"} | supervised


def test_code_that_reads_labels_is_caught(tmp_path: Path) -> None:
    stage = tmp_path / "stages" / "pretrain"
    stage.mkdir(parents=True)
    (stage / "__main__.py").write_text("def main():\n    from stages.core.artifacts.labels import read_labels\n")
    assert stages_that_read_labels(tmp_path) == {"pretrain"}
