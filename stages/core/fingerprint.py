"""Fingerprints of the code in `stages/core` that each method reaches, in `code.json`, through which DVC sees it.

A stage's own files are its dependencies by name. Of `stages/core`, it depends on the modules that its command line and
the selected method import, directly or through others: every stage in dvc.yaml names its entry of code.json as a
parameter. A changed comment, docstring or annotation, and code that a method does not reach, leave its entry as it is;
annotations count where they are read at run time, as in the body of a class (`stages.core.syntax`).

`python -m stages.core.fingerprint` brings code.json up to date; `--check` only says whether it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path

from stages.core.errors import UserError
from stages.core.syntax import Syntax
from stages.core.syntax_cache import SyntaxCache

CODE_FILE = Path("code.json")
COMMAND = "python -m stages.core.fingerprint"
NO_METHOD = "stage"
"""Stands in code.json for the method of a stage that has none."""

_CORE = "stages.core"
_UNCOUNTED = ("stages.core.fingerprint", "stages.core.syntax", "stages.core.syntax_cache")
"""What computes fingerprints changes no result."""

Fingerprints = dict[str, dict[str, str]]


def find_methods(root: Path = Path()) -> dict[str, list[str]]:
    """The methods of every stage: the files and folders in `stages/<stage>/methods`."""
    stages = sorted(path.parent for path in (root / "stages").glob("*/__main__.py"))
    return {stage.name: _list_methods(stage / "methods") or [NO_METHOD] for stage in stages}


def core_fingerprints(root: Path = Path()) -> Fingerprints:
    """What code.json should say: by stage and method, the hash of the modules of `stages/core` that are reached."""
    syntax = _look_again()
    found = {
        stage: {method: core_fingerprint(stage, method, root, syntax) for method in methods}
        for stage, methods in find_methods(root).items()
    }
    syntax.save()
    return found


def core_fingerprint(stage: str, method: str, root: Path = Path(), syntax: SyntaxCache | None = None) -> str:
    """Hash of the modules of `stages/core` that one method of a stage reaches.

    Args:
        stage: The stage.
        method: Its method, or `NO_METHOD`.
        root: The project's folder.
        syntax: Where parsed modules are taken from and put.
    """
    reached = reached_modules(stage, method, root, syntax)
    return _digest({name: syntax for name, syntax in reached.items() if name.startswith(f"{_CORE}.")})


def code_fingerprint(stage: str, method: str, root: Path) -> str:
    """Hash of all code that one method of a stage reaches, the stage's own and that of `stages/core`."""
    return _digest(reached_modules(stage, method, root))


def reached_modules(stage: str, method: str, root: Path, syntax: SyntaxCache | None = None) -> dict[str, Syntax]:
    """The modules of a stage and of `stages/core` that run with one of its methods, by dotted name.

    Neither the other methods nor the `__init__` of a stage with methods, which names them all.
    """
    syntax = syntax or _look_again()
    waiting = [f"stages.{stage}.__main__", *_modules_of_method(stage, method, root)]
    seen = {f"stages.{stage}"} if (root / "stages" / stage / "methods").is_dir() else set()
    found: dict[str, Syntax] = {}
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if not _is_counted(name, stage, method) or not (file := _locate(name, root)):
            continue
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        found[name] = syntax.read(file, package)
        waiting += [part for imported in found[name].imports for part in _with_packages(imported)]
    return {name: module for name, module in found.items() if module.digest}


def write_fingerprints(root: Path = Path()) -> list[str]:
    """Bring code.json up to date; returns the stages whose entries changed."""
    before, now = read_fingerprints(root), core_fingerprints(root)
    if before != now:
        partial = root / f"{CODE_FILE}.partial"
        # DVC names this file, and no command, where an entry is missing: who looks into it finds the command.
        partial.write_text(json.dumps({"written by": COMMAND, "core": now}, indent=2) + "\n")
        partial.replace(root / CODE_FILE)
    return [stage for stage in sorted({*before, *now}) if before.get(stage) != now.get(stage)]


def refresh_fingerprints() -> None:
    """Bring code.json of the current folder up to date, and say so, where the project's code lies in it."""
    if is_project() and (changed := write_fingerprints()):
        print(f"{CODE_FILE}: the code of {', '.join(changed)} has changed")


def is_project(root: Path = Path()) -> bool:
    """Whether a folder holds the pipeline and its code, and so should hold code.json."""
    return (root / "dvc.yaml").is_file() and (root / "stages").is_dir()


def read_fingerprints(root: Path = Path()) -> Fingerprints:
    """What code.json says; empty if it is missing or broken, which the next writing mends."""
    try:
        content = json.loads((root / CODE_FILE).read_text())["core"]
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return content if isinstance(content, dict) else {}


def check_fingerprint(stage: str, method: str, root: Path = Path()) -> None:
    """Refuse to run a stage whose entry in code.json is not that of its code: DVC would record the wrong code.

    Raises:
        UserError: The entry is missing or stale.
    """
    said = read_fingerprints(root).get(stage, {}).get(method)
    if said != core_fingerprint(stage, method, root):
        state = "has no entry" if said is None else "is out of date"
        raise UserError(f"{CODE_FILE}: {state} for {stage}.{method}; run `{COMMAND}`, then the same command again")


def main(arguments: list[str] | None = None) -> int:
    """Write code.json, or check it; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description="Write code.json, the fingerprints by which DVC sees changes in stages/core."
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and exit with status 1 if code.json is out of date"
    )
    if not parser.parse_args(arguments).check:
        print(f"{CODE_FILE}: changed for {', '.join(write_fingerprints()) or 'no stage'}")
        return 0
    if read_fingerprints() == core_fingerprints():
        return 0
    print(f"{CODE_FILE}: out of date; run `{COMMAND}`", file=sys.stderr)
    return 1


def _list_methods(folder: Path) -> list[str]:
    files = (path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    return sorted({*files, *(path.parent.name for path in folder.glob("*/__init__.py"))})


def _modules_of_method(stage: str, method: str, root: Path) -> list[str]:
    prefix = f"stages.{stage}.methods.{method}"
    folder = root / "stages" / stage / "methods" / method
    inside = [".".join(path.relative_to(folder).with_suffix("").parts) for path in sorted(folder.rglob("*.py"))]
    return [prefix, *(f"{prefix}.{name}" for name in inside if not name.endswith("__init__"))]


def _is_counted(name: str, stage: str, method: str) -> bool:
    if name.startswith(f"{_CORE}.") or name == _CORE:
        return name not in _UNCOUNTED
    methods = f"stages.{stage}.methods"
    if f"{name}.".startswith(f"{methods}."):
        return name == methods or f"{name}.".startswith(f"{methods}.{method}.")
    return f"{name}.".startswith(f"stages.{stage}.")


def _look_again() -> SyntaxCache:
    """Forget where modules lie: a process that serves runs for days meets new ones, and other folders."""
    _locate.cache_clear()
    return SyntaxCache()


@cache
def _locate(name: str, root: Path) -> Path | None:
    place = root.joinpath(*name.split("."))
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


@cache
def _with_packages(name: str) -> list[str]:
    """The name and those of the packages it lies in, whose `__init__` runs first."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _digest(modules: dict[str, Syntax]) -> str:
    text = "".join(f"{name} {syntax.digest}\n" for name, syntax in sorted(modules.items()))
    return sha256(text.encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
