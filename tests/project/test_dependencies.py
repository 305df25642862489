"""What is imported is declared, and what is declared is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"stages", "flows", "tests"}

UNIMPORTED = {
    "faiss-cpu": "in place of faiss-gpu where there is no Linux",
}
"""Main dependencies that no module imports, and why they are there."""
TOOLS = {"pre-commit", "pytest-timeout", "pytest-xdist", "ruff", "types-pyyaml", "import-linter", "mypy"}
"""Development's command-line tools, plugins and stubs."""
THROUGH_OTHERS = {
    "onnx": "torch.onnx",
    "onnxscript": "torch.onnx",
    "onnxruntime": "torch.onnx",
    "tensorboard": "torch.utils.tensorboard",
    **dict.fromkeys(("attrs", "cachetools", "defusedxml", "imagesize", "json-stream", "lxml"), "datumaro"),
    **dict.fromkeys(("orjson", "pandas", "ruamel.yaml", "shapely"), "datumaro"),
}
"""Members of extras that another package imports."""
OF_TESTS = {"formats"}
"""Extras that tests alone import, where they are installed."""
BY_HAND = {"datumaro"}
"""What tests import where it was installed without its needs, of which one would write over this project's OpenCV."""
DISTRIBUTIONS = packages_distributions()
"""Of every module that is installed here."""
NAMED_OTHERWISE = {"pydensecrf": "pydensecrf2"}
"""Modules of extras that need not be installed here, and their distributions."""


def names(requirements: list[str]) -> set[str]:
    """Distributions' names in small letters, without versions and markers."""
    return {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower().replace("_", "-") for line in requirements}


def imported(folders: set[str]) -> set[str]:
    """Distributions that the modules of some folders import, wherever in the file."""
    modules = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    modules |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    modules.add(node.module.partition(".")[0])
                elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "importorskip":
                    modules.add(ast.literal_eval(node.args[0]).partition(".")[0])
    return {distribution(name) for name in modules - OWN - set(sys.stdlib_module_names)}


def distribution(module: str) -> str:
    """The distribution that a module comes from; of several, the one that is declared."""
    sources = DISTRIBUTIONS.get(module, [NAMED_OTHERWISE.get(module, module)])
    candidates = {name.lower().replace("_", "-") for name in sources}
    known = names(PROJECT["dependencies"]) | {name for each in EXTRAS.values() for name in each}
    return min(candidates & known or candidates)


EXTRAS = {extra: names(lines) for extra, lines in PROJECT["optional-dependencies"].items()}
MAIN = names(PROJECT["dependencies"])


def test_everything_imported_is_declared() -> None:
    optional = {name for extra, members in EXTRAS.items() if extra != "dev" for name in members}
    assert imported({"stages", "flows"}) - MAIN - optional == set()
    assert imported({"tests"}) - MAIN - optional - EXTRAS["dev"] == BY_HAND


def test_everything_declared_is_imported() -> None:
    assert MAIN - imported({"stages", "flows"}) == set(UNIMPORTED)
    assert EXTRAS["dev"] - imported({"tests"}) == TOOLS


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"dev"}))
def test_every_extra_is_used(extra: str) -> None:
    importing = {"tests"} if extra in OF_TESTS else {"stages", "flows"}
    unused = EXTRAS[extra] - imported(importing) - set(THROUGH_OTHERS)
    assert unused == set()
