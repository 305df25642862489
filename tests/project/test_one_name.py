"""One name, one room: every tree spells the stages alike, and dvc.yaml names each stage's code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.project.rooms import ROOT, code_of_stage, method_dependency, names_in_each_tree, stage_folders


def test_every_tree_has_the_same_names() -> None:
    trees = names_in_each_tree()
    assert len(trees["stages/"]) == 11
    for tree, names in trees.items():
        assert names == trees["stages/"], tree


@pytest.mark.parametrize(
    ("tree", "old", "new"),
    [
        ("dvc.yaml", "\n  attend:\n", "\n  attention:\n"),
        ("dvc.yaml params", "      - attend\n      - code.json", "      - pretrain\n      - code.json"),
        ("dvc.yaml cmd", "python -m stages.attend", "python -m stages.attention"),
        ("artifacts/", "      - artifacts/cluster\n    meta", "      - artifacts/clusters\n    meta"),
    ],
)
def test_another_name_in_dvc_yaml_is_caught(tmp_path: Path, tree: str, old: str, new: str) -> None:
    copy = copy_skeleton(tmp_path)
    text = (copy / "dvc.yaml").read_text()
    assert text.count(old) == 1
    (copy / "dvc.yaml").write_text(text.replace(old, new))
    trees = names_in_each_tree(copy)
    assert [name for name, names in trees.items() if names != trees["stages/"]] == [tree]


@pytest.mark.parametrize("tree", ["tests/", "stages/"])
def test_a_renamed_folder_is_caught(tmp_path: Path, tree: str) -> None:
    copy = copy_skeleton(tmp_path)
    (copy / tree / "attend").rename(copy / tree / "attention")
    trees = names_in_each_tree(copy)
    assert trees[tree] != trees["dvc.yaml"]


def copy_skeleton(target: Path) -> Path:
    """The files that carry names, empty where only their name counts."""
    for file in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / file, target)
    for stage in stage_folders():
        (target / "stages" / stage).mkdir(parents=True)
        (target / "stages" / stage / "__main__.py").touch()
        (target / "tests" / stage).mkdir(parents=True)
    return target


@pytest.mark.parametrize("stage", sorted(stage_folders()))
def test_a_stage_depends_on_exactly_its_own_code(stage: str) -> None:
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]["deps"]
    code = {dep for dep in declared if dep.startswith("stages/")}
    assert code == code_of_stage(stage) | method_dependency(stage)


def test_code_of_stage_follows_imports_of_every_kind(tmp_path: Path) -> None:
    stage = tmp_path / "stages" / "draw"
    (stage / "methods").mkdir(parents=True)
    (stage / "__main__.py").write_text(
        "from stages.draw import Config\nfrom stages.draw.lines import draw\nimport stages.core.cli\n"
    )
    (stage / "__init__.py").write_text("from stages.draw.methods.ink import Ink\n")
    (stage / "lines.py").write_text("def draw():\n    from . import pens\n")
    (stage / "pens.py").write_text("")
    (stage / "methods" / "ink.py").write_text("from ..wells import Well\n")
    (stage / "wells.py").write_text("")
    (stage / "unused.py").write_text("")
    assert code_of_stage("draw", tmp_path) == {
        f"stages/draw/{name}.py" for name in ("__main__", "lines", "pens", "wells")
    }
