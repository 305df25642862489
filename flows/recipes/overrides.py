"""Values for params.yaml, in the syntax of `dvc exp run -S`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from flows.recipes.composing import stage_names
from flows.recipes.network_names import check_networks
from flows.recipes.transformers import check_transformers
from stages.core.config.params import PARAMS_FILE, Params, load_section
from stages.core.errors import UserError, did_you_mean


def apply_overrides(overrides: Sequence[str], path: Path = PARAMS_FILE) -> None:
    """Write values into params.yaml, comments kept, in the syntax of `dvc exp run -S`.

    Raises:
        UserError: A key is unknown or a stage refuses the value; the file is left as it was.
    """
    with _overridden(overrides, path) as candidate:
        if overrides:
            path.write_text(candidate.read_text())


def check_overrides(overrides: Sequence[str], path: Path = PARAMS_FILE) -> None:
    """Raise what `apply_overrides` would raise, and change nothing."""
    with _overridden(overrides, path):
        pass


def check_assignment(assignment: str, sections: Mapping[str, Any], path: Path = PARAMS_FILE) -> None:
    """Raise where an assignment is none, or where params.yaml has no such key; names the nearest.

    Keys behind `+` and `~`, which add and remove, are left to `dvc exp run -S`.
    """
    key, equals, _ = assignment.partition("=")
    if key.startswith("~"):
        return
    if not equals or not key.strip("+"):
        raise UserError(f"{assignment!r}: write section.field=value, e.g. cluster.k=20")
    if key.startswith("+"):
        return
    group: Any = sections
    for number, name in enumerate(key.split(".")):
        above = ".".join(key.split(".")[:number])
        if not isinstance(group, Mapping):
            raise UserError(f"{assignment!r}: {above} is {_show(group)} in {path}, with no fields; give {above} whole")
        if name not in group:
            near = did_you_mean(key, all_keys(sections)) or f"; {above or path} has: {', '.join(map(str, group))}"
            raise UserError(f"{assignment!r}: no such key in {path}{near}")
        group = group[name]


def all_keys(group: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every key of nested groups, with dots between."""
    for name, value in group.items():
        yield f"{above}{name}"
        if isinstance(value, Mapping):
            yield from all_keys(value, f"{above}{name}.")


def _show(value: Any) -> str:
    return "null" if value is None else str(value)


def overridden_sections(overrides: Sequence[str], path: Path = PARAMS_FILE) -> dict[str, Any]:
    """The sections of params.yaml with values applied; raises as `apply_overrides`, and changes no file."""
    with _overridden(overrides, path) as candidate:
        return {stage: _load(stage, candidate).model_dump(mode="json") for stage in stage_names()}


@contextmanager
def _overridden(overrides: Sequence[str], path: Path) -> Iterator[Path]:
    """A copy of the file with the values in it."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; write it with `luss use METHOD DATASET`")
    with TemporaryDirectory() as folder:
        candidate = Path(folder) / path.name
        candidate.write_text(path.read_text())
        if overrides:
            for assignment in overrides:
                check_assignment(assignment, yaml.safe_load(candidate.read_text()), path)
            _apply(overrides, candidate)
            try:
                _validate(path, candidate)
            except UserError as error:
                raise UserError(str(error).replace(str(candidate), str(path))) from None
        yield candidate


def _apply(overrides: Sequence[str], path: Path) -> None:
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import apply_overrides as apply

    try:
        apply(path, list(overrides))
    except DvcException as error:
        raise UserError(f"-S {' '.join(overrides)}: {_innermost(error)}") from None


def _innermost(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    return _innermost(cause) if cause else str(error).strip().replace("\n", " ")


def _validate(before: Path, path: Path) -> None:
    earlier, now = (yaml.safe_load(file.read_text()) for file in (before, path))
    for stage in stage_names():
        if now.get(stage) != earlier.get(stage):
            check_networks(stage, _load(stage, path).model_dump(mode="json"))
    check_transformers(now)


def _load(stage: str, path: Path) -> Params:
    config: Params = load_section(stage, importlib.import_module(f"stages.{stage}").Config, path)
    return config
