"""The rules of the house as functions over a project folder, so that tests can also apply them to a broken copy."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]

FRAME_OF_TESTS = {"benchmarks", "core", "flows", "golden", "project"}
"""Folders in tests/ that mirror no stage."""
TEMPLATES = {".html", ".css", ".jinja", ".js", ".json", ".svg", ".yaml"}
"""What a stage reads beside its code."""


def stage_folders(root: Path = ROOT) -> set[str]:
    return {path.parent.name for path in (root / "stages").glob("*/__main__.py")}


def names_in_each_tree(root: Path = ROOT) -> dict[str, set[str]]:
    """The stages' names as every tree spells them."""
    pipeline = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    return {
        "stages/": stage_folders(root),
        "dvc.yaml": set(pipeline),
        "dvc.yaml params": {
            section for stage in pipeline.values() for section in stage["params"] if isinstance(section, str)
        },
        "dvc.yaml cmd": {stage["cmd"].removeprefix("exec python -m stages.") for stage in pipeline.values()},
        "artifacts/": {name for stage in pipeline.values() for name in out_folders(stage)},
        "params.yaml": set(yaml.safe_load((root / "params.yaml").read_text())),
        "tests/": {path.name for path in (root / "tests").iterdir() if is_package(path)} - FRAME_OF_TESTS,
    }


def is_package(path: Path) -> bool:
    return path.is_dir() and path.name != "__pycache__"


def out_folders(stage: dict) -> Iterator[str]:
    for out in [*stage["outs"], *stage.get("metrics", [])]:
        path = Path(out if isinstance(out, str) else next(iter(out)))
        assert path.parts[0] == "artifacts", f"{path}: outs lie in artifacts/"
        yield path.parts[1]


def code_of_stage(stage: str, root: Path = ROOT) -> set[str]:
    """Files of a stage that its command line or one of its methods imports, and the templates beside them.

    Without methods and `__init__`s: an `__init__` holds the union; one more method in it must not rerun the others.
    """
    folder = root / "stages" / stage
    found: set[Path] = set()
    waiting = [folder / "__main__.py", *(folder / "methods").rglob("*.py")]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imported_files(path, stage, root)
    templates = {path for code in found for path in code.parent.glob("*.*") if path.suffix in TEMPLATES}
    own = {path for path in found if path.name != "__init__.py" and folder / "methods" not in path.parents}
    return {path.relative_to(root).as_posix() for path in own | templates}


def method_dependency(stage: str, root: Path = ROOT) -> set[str]:
    """How dvc.yaml names the selected method's code: a file, or a folder where methods are folders; none without."""
    methods = root / "stages" / stage / "methods"
    if not methods.is_dir():
        return set()
    ending = "" if any(methods.glob("*/__init__.py")) else ".py"
    return {f"stages/{stage}/methods/${{{stage}.method}}{ending}"}


def imported_files(path: Path, stage: str, root: Path) -> Iterator[Path]:
    for module in imported_modules(path, root):
        if module.startswith(f"stages.{stage}."):
            file = root / Path(*module.split(".")).with_suffix(".py")
            package = root / Path(*module.split(".")) / "__init__.py"
            yield from (candidate for candidate in (file, package) if candidate.is_file())


def imported_modules(path: Path, root: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, and every name that it imports from one."""
    package = path.relative_to(root).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
