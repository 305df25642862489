"""Merges the sections of recipes and the values that a person gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from flows.recipes.measuring import Counted, fill_counted, register_resolvers
from flows.recipes.merging import is_other_kind, merge_values
from flows.recipes.reading import COUNTED, require
from stages.core.config.splits import list_categories
from stages.core.data_link import data_root
from stages.core.errors import UserError

register_resolvers()


def merge_layers(
    layers: Sequence[dict[str, Any]], overrides: Sequence[str], stages: Sequence[str]
) -> tuple[dict[str, Any], Counted]:
    """Merge the sections of recipes, the later over the earlier, and values over them.

    Args:
        layers: Sections of recipes.
        overrides: Assignments, as in `Recipe`.
        stages: Names of sections that there may be, beside `shared`.

    Returns:
        Sections with every reference resolved, `shared` among them; and what was counted in `data/`.

    Raises:
        UserError: They do not fit together, or an assignment is none or names what is not there.
    """
    try:
        merged = OmegaConf.create(reduce(merge_values, layers))
        for override in overrides:
            key, _, value = override.partition("=")
            _check_key(override, key, stages, merged.get("shared", {}))
            given = _parse(override, value)
            # What a plain value replaces is not looked at: it may refer to what is counted below.
            is_other = isinstance(given, Mapping) and is_other_kind(OmegaConf.select(merged, key), given)
            is_merged = key not in stages and not is_other
            OmegaConf.update(merged, key, given, merge=is_merged)
        if OmegaConf.select(merged, "shared.classes") == COUNTED:
            merged.shared.classes = _count_categories()
            # So that a folder more or less ends the next run at its start, and not at the scores.
            merged.index.setdefault("classes", merged.shared.classes)
        counted = fill_counted(merged)
        sections = OmegaConf.to_container(merged, resolve=True)
    except (OmegaConfBaseException, yaml.YAMLError, TypeError, ValueError) as error:
        raise UserError(f"the recipes and values do not fit together: {str(error).splitlines()[0]}") from None
    assert isinstance(sections, dict)
    return {"shared": {}} | {str(section): values for section, values in sections.items()}, counted


def _parse(override: str, value: str) -> Any:
    """The value in an assignment, in which references stand as they are."""
    try:
        parsed = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={value}"]))
        assert isinstance(parsed, dict)
        return parsed["value"]
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        problem = str(error).splitlines()[0]
        raise UserError(f"{override!r}: the value is no YAML ({problem}); mind brackets, quotes and tabs") from None


def _count_categories() -> int:
    """As many categories as there are folders of photographs: all that the benchmark lets a method know."""
    train, folders = data_root() / "train", list_categories()
    if len(folders) < 2:
        raise UserError(
            f"{train}: found {len(folders)} category folders to count; put photographs into {train}/CATEGORY/ first, "
            "or say how many categories there are: shared.classes=N"
        )
    return len(folders)


def _check_key(override: str, key: str, stages: Sequence[str], shared: Iterable[Any]) -> None:
    section, _, field = key.partition(".")
    if "=" not in override or not (field or section in stages):
        raise UserError(f"{override!r}: write section.field=value, e.g. pretrain.training.epochs=10")
    require(section, ["shared", *stages], f"{override!r}: no such section")
    if section == "shared":
        require(field.partition(".")[0], list(map(str, shared)), f"{override!r}: the data set shares no")
    if field == "method":
        raise UserError(
            f"{override!r}: a method is never changed alone, its other fields belong to it; "
            f"say the whole section, {section}={{method: {override.partition('=')[2]}, ...}}, in which what is left "
            "out is the default; or take a recipe that has it (`luss use METHOD DATASET`)"
        )
