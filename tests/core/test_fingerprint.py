"""Fingerprints of code: what changes them, what does not, and that the committed ones are true."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stages.core.errors import UserError
from stages.core.fingerprint import (
    check_fingerprint,
    core_fingerprint,
    core_fingerprints,
    find_methods,
    main,
    reached_modules,
    read_fingerprints,
    write_fingerprints,
)
from stages.core.syntax import Syntax, read_syntax
from stages.core.syntax_cache import SyntaxCache
from tests.project.rooms import ROOT

PAIRS = [(stage, method) for stage, methods in find_methods(ROOT).items() for method in methods]
REACHED = {pair: set(reached_modules(*pair, ROOT)) for pair in PAIRS}
CORE = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for path in (ROOT / "stages/core").rglob("*.py")
    if path.name != "__init__.py" and path.stem not in ("fingerprint", "syntax", "syntax_cache")
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's stages, to be changed and changed back."""
    target = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "stages", target / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    return target


def test_the_committed_file_is_true() -> None:
    assert read_fingerprints(ROOT) == core_fingerprints(ROOT), "run `python -m stages.core.fingerprint`"


@pytest.mark.parametrize("module", CORE)
def test_of_every_module_a_constant_counts_and_a_comment_does_not(module: str) -> None:
    source = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text()
    digest = read_syntax(source, "stages.core").digest
    assert read_syntax(f'{source}\n# A comment.\n"""Text that nobody reads."""\n', "stages.core").digest == digest
    assert read_syntax(f"{source}\n_ADDED = 1\n", "stages.core").digest != digest


class Edited(SyntaxCache):
    """Reads a module as if a constant had been added to it."""

    def __init__(self, module: str) -> None:
        super().__init__()
        self._edited = ROOT.joinpath(*module.split(".")).with_suffix(".py")

    def read(self, file: Path, package: str) -> Syntax:
        return (
            read_syntax(f"{file.read_text()}\n_ADDED = 1\n", package)
            if file == self._edited
            else super().read(file, package)
        )


def test_a_constant_in_any_module_changes_whoever_reaches_it_and_nobody_else() -> None:
    now = core_fingerprints(ROOT)
    for module in CORE:
        # Of every stage a method that reaches the module and one that does not, where there are.
        pairs = {(stage, module in REACHED[stage, method]): method for stage, method in PAIRS}
        edited = Edited(module)
        for (stage, is_reached), method in pairs.items():
            assert (core_fingerprint(stage, method, ROOT, edited) != now[stage][method]) == is_reached, (module, stage)


@pytest.mark.parametrize("module", ["stages.core.engine.loop", "stages.core.faiss_ops"])
def test_a_file_changed_on_disk_counts_at_once(copy: Path, module: str) -> None:
    file = copy.joinpath(*module.split(".")).with_suffix(".py")
    before, source = core_fingerprints(copy), file.read_text()
    file.write_text(f"{source}\n# A comment.\n")
    assert core_fingerprints(copy) == before
    file.write_text(f"{source}\n_ADDED = 1\n")
    after = core_fingerprints(copy)
    file.write_text(source)
    changed = {(stage, method) for stage, method in PAIRS if after[stage][method] != before[stage][method]}
    assert changed == {pair for pair, modules in REACHED.items() if module in modules}


def test_what_methods_reach_is_what_they_import() -> None:
    assert "stages.core.engine.loop" in REACHED["pretrain", "swav"]
    assert "stages.core.engine.loop" not in REACHED["saliency", "rc"]
    assert "stages.core.images.slic" in REACHED["superpixels", "slic"]
    assert "stages.core.images.slic" not in REACHED["superpixels", "grid"]
    assert "stages.core.engine.momentum" in REACHED["pretrain", "maskcontrast"]
    assert "stages.core.engine.momentum" not in REACHED["pretrain", "swav"]
    assert not any("methods.luss" in name for name in REACHED["pretrain", "swav"])


def test_every_module_of_core_is_reached_or_stands_beside_the_stages() -> None:
    everything = set().union(*REACHED.values())
    tools = {"images.overlay", "images.palette", "nets.weight_recognition", "outputs"}
    assert set(CORE) - everything <= {f"stages.core.{name}" for name in tools}


EQUAL = [
    ("x = 1", '"""Text."""\nx = 1  # A comment.'),
    ("class A:\n    x = 1", 'class A:\n    x = 1\n    """Of something."""'),
    ("if TYPE_CHECKING:\n    import a", ""),
    ("def f(a: int) -> str:\n    return a", 'def f(a):\n    """Say."""\n    return a  # so'),
    ("def f(*a: int, b: int = 1, **c: int): pass", "def f(*a, b=1, **c): pass"),
    ("async def f(a: int) -> str: pass", "async def f(a): pass"),
    ("@property\ndef f(a) -> int: pass", "@property\ndef f(a) -> float: pass"),
    ("@torch.no_grad()\ndef f(a: int): pass", "@torch.no_grad()\ndef f(a): pass"),
    ("class A:\n    def f(self, a: int) -> str: pass", "class A:\n    def f(self, a): pass"),
    ("def f():\n    x: int = 1", "def f():\n    x = 1"),
    ("def f():\n    x: int\n    g()", "def f():\n    g()"),
    ("class A:\n    def f(self):\n        self.x: int = 1", "class A:\n    def f(self):\n        self.x = 1"),
    ("x: int = 1", "x = 1"),
    ("x: int = 1", "x: float = 1"),
    ("from collections.abc import Sequence\ndef f(a: Sequence): pass", "def f(a): pass"),
]
OTHER = [
    ("x = 1", "x = 2"),
    ("x = 1", "x = 1.0"),
    ("x = 1", "x = True"),
    ("def f(a: int = 1): pass", "def f(a: int = 2): pass"),
    ("class A(BaseModel):\n    x: int = 1", "class A(BaseModel):\n    x: float = 1"),
    ("class A(BaseModel):\n    x: int = 1", "class A(BaseModel):\n    x = 1"),
    ("@dataclass\nclass A:\n    x: int", "@dataclass\nclass A:\n    x: str"),
    ("class A(NamedTuple):\n    x: int\n    y: int", "class A(NamedTuple):\n    y: int\n    x: int"),
    ("def f():\n    class A(NamedTuple):\n        x: int", "def f():\n    class A(NamedTuple):\n        x: str"),
    ("@validate_call\ndef f(a: int): pass", "@validate_call\ndef f(a: float): pass"),
    ("@g.register\ndef f(a: int): pass", "@g.register\ndef f(a: float): pass"),
    ("@field_serializer\ndef f(a) -> int: pass", "@field_serializer\ndef f(a) -> str: pass"),
    ("def f(a: int): pass\ng(get_type_hints(f))", "def f(a: str): pass\ng(get_type_hints(f))"),
    ("from typing import A as T", "from typing import B as T"),
    ("from a import x", "from b import x"),
]


@pytest.mark.parametrize(
    ("one", "other", "is_equal"), [*((*pair, True) for pair in EQUAL), *((*pair, False) for pair in OTHER)]
)
def test_what_counts_of_a_source(one: str, other: str, is_equal: bool) -> None:
    assert (read_syntax(one, "p").digest == read_syntax(other, "p").digest) == is_equal


def test_a_missing_or_stale_entry_is_one_message(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy, tmp_path / "project")
    project = tmp_path / "project"
    with pytest.raises(UserError, match=r"code.json: has no entry for cluster.kmeans; run `python -m stages.core"):
        check_fingerprint("cluster", "kmeans", project)
    assert "cluster" in write_fingerprints(project)
    check_fingerprint("cluster", "kmeans", project)
    assert write_fingerprints(project) == []
    module = project / "stages/core/faiss_ops.py"
    module.write_text(f"{module.read_text()}\n_ADDED = 1\n")
    # Sources are read by content: another content is another fingerprint at once.
    assert core_fingerprint("cluster", "kmeans", project) != read_fingerprints(project)["cluster"]["kmeans"]
    with pytest.raises(UserError, match="is out of date"):
        check_fingerprint("cluster", "kmeans", project)
    assert "cluster" in write_fingerprints(project)


def test_unchanged_modules_are_not_parsed_again(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUSS_CHECKPOINTS", str(tmp_path))
    first = core_fingerprints(copy)
    monkeypatch.setattr("stages.core.syntax_cache.read_syntax", None)
    assert core_fingerprints(copy) == first
    (tmp_path / "syntax.json").write_text("broken")
    monkeypatch.undo()
    assert core_fingerprints(copy) == first


def test_code_that_is_no_python_is_one_message(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy / "stages", tmp_path / "stages")
    (tmp_path / "stages/core/jit.py").write_text("x = 1\ndef (\n")
    with pytest.raises(UserError, match=r"jit.py:2: not valid Python"):
        core_fingerprints(tmp_path)


def test_the_command_says_what_has_changed(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copy)
    (copy / "code.json").unlink(missing_ok=True)
    assert main(["--check"]) == 1
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert main([]) == 0
    assert "changed for no stage" in capsys.readouterr().out
