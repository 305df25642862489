"""Changes single values of params.yaml: what was given before stays, whether on a command line or by hand."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from flows.recipes.composing import Recipe, compose, stage_names, write_params
from flows.recipes.measuring import MEASURED
from flows.recipes.overrides import apply_overrides, check_assignment
from stages.core.config.params import PARAMS_FILE, read_params
from stages.core.errors import UserError
from stages.core.files import read_text
from stages.core.fingerprint import refresh_fingerprints

_HEAD = "# Written by: "


def set_values(assignments: Sequence[str], path: Path = PARAMS_FILE) -> list[str]:
    """Change values of params.yaml.

    As long as nobody has edited the file, its recipe is composed again, with the values given before and these; so keys
    that stages share (`shared.classes`) can be set too. In an edited file the values are written, and all else stays.

    Args:
        assignments: `section.field=value`, as `luss use` takes them.
        path: The file.

    Returns:
        The sections that have changed.

    Raises:
        UserError: The file is missing, or a key or value is not valid; the file is left as it was.
    """
    before = read_params(path)
    recipe = written_recipe(path)
    if recipe and not list(_edited(recipe, before)):
        return write_params(recipe._replace(overrides=_replace_values(recipe.overrides, assignments)), path)
    for assignment in assignments:
        if assignment.startswith("shared."):
            raise UserError(
                f"{assignment!r}: {path} was edited by hand, and stages no longer share their values; set the field of "
                "each section, or write it anew: luss use METHOD DATASET"
            )
        check_assignment(assignment, before, path)
    apply_overrides(assignments, path)
    refresh_fingerprints()
    after = read_params(path)
    return [stage for stage in stage_names() if before.get(stage) != after.get(stage)]


def list_resets(recipe: Recipe, path: Path = PARAMS_FILE) -> list[str]:
    """What `luss use` with a recipe would take back: values given before that it does not give, and edits by hand."""
    try:
        earlier, values = written_recipe(path), read_params(path)
    except UserError:  # A file that is missing or broken is written anew.
        return []
    if earlier is None:
        return []
    given = {override.partition("=")[0] for override in recipe.overrides}
    counted = {f"shared.{name}" for name in MEASURED}  # They are counted anew.
    dropped = [override for override in earlier.overrides if override.partition("=")[0] not in given | counted]
    edited = [f"{key}={value}" for key, value in _edited(earlier, values) if key not in given]
    return [*dropped, *edited]


def written_recipe(path: Path = PARAMS_FILE) -> Recipe | None:
    """The recipe that the first line of params.yaml names; None if there is no such line, or no file."""
    first = read_text(path).partition("\n")[0] if path.is_file() else ""
    try:
        words = shlex.split(first.removeprefix(_HEAD)) if first.startswith(_HEAD) else []
    except ValueError:  # Quotes that do not close.
        return None
    return Recipe(words[2], words[3], tuple(words[4:])) if words[:2] == ["luss", "use"] and len(words) > 3 else None


def _replace_values(earlier: Sequence[str], later: Sequence[str]) -> tuple[str, ...]:
    """The values of both; of one key the last."""
    return tuple({override.partition("=")[0]: override for override in (*earlier, *later)}.values())


def _edited(recipe: Recipe, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Fields whose values are not those of the recipe, with their values as YAML writes them."""
    try:
        written = compose(recipe)
    except UserError:  # A recipe that is gone or no longer fits says nothing of what was edited.
        return
    yield from _differences(written, values, "")


def _differences(written: Any, found: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(written, dict) and isinstance(found, dict):
        for name in dict.fromkeys([*written, *found]):
            yield from _differences(written.get(name), found.get(name), f"{key}.{name}" if key else str(name))
    elif written != found:
        yield key, yaml.safe_dump(found, default_flow_style=True, width=1000).removesuffix("...\n").strip()
