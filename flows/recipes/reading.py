"""The recipes that come with the project and those of one's own, as their files have them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from flows.recipes.merging import merge_values
from stages.core.errors import UserError, did_you_mean
from stages.core.files import read_text

RECIPES = Path(__file__).parent

DATASET_SECTION = "index"
COUNTED = "counted"
"""What a data set recipe says instead of a number of classes that is counted when the recipe is used."""
_KINDS = {"methods": "method", "datasets": "data set"}


def recipe_names(kind: str) -> list[str]:
    """Names of the recipes that come with the project; `kind` is `methods` or `datasets`."""
    return sorted(path.stem for path in (RECIPES / kind).glob("*.yaml"))


def read_method(name: str, stages: Sequence[str]) -> dict[str, Any]:
    """The sections and variants of a method recipe, upon those of the recipe that it extends.

    A section of another method stands in place of the extended recipe's, in its variants too.

    Raises:
        UserError: As `read_recipe` does.
    """
    allowed = [*(stage for stage in stages if stage != DATASET_SECTION), "variants", "extends"]
    own = read_recipe("methods", name, allowed)
    if "extends" not in own:
        return own
    base = read_recipe("methods", str(own.pop("extends")), allowed[:-1])
    replaced = {stage for stage in own if stage in stages and _is_other_method(base.get(stage), own[stage])}
    kept = {stage: values for stage, values in base.items() if stage not in replaced}
    kept["variants"] = {
        dataset: {stage: values for stage, values in sections.items() if stage not in replaced}
        for dataset, sections in (base.get("variants") or {}).items()
    }
    return dict(merge_values(kept, own))


def _is_other_method(section: Any, given: Any) -> bool:
    named = given.get("method") if isinstance(given, dict) else None
    return named is not None and (not isinstance(section, dict) or section.get("method") != named)


def read_recipe(kind: str, name: str, allowed: Sequence[str]) -> dict[str, Any]:
    """The sections of one recipe as its file has them.

    Raises:
        UserError: No such recipe, not YAML, or a section that is not allowed.
    """
    path = _locate(kind, name)
    try:
        content = _parse(read_text(path))
    except (OSError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{path}: not a valid recipe: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold one section per stage")
    for section in map(str, content):
        require(section, allowed, f"{path}: no such section")
    return {str(section): values for section, values in content.items()}


@cache
def _parse(text: str) -> Any:
    return OmegaConf.to_container(OmegaConf.create(text))


def _locate(kind: str, name: str) -> Path:
    given = Path(name)
    if given.suffix == ".yaml":
        if not given.is_file():
            raise UserError(f"{name}: no such recipe file")
        return given
    require(name, recipe_names(kind), f"no such {_KINDS[kind]} recipe (nor a path to a .yaml file):")
    return RECIPES / kind / f"{name}.yaml"


def require(given: str, valid: Sequence[str], complaint: str) -> None:
    """Refuse a name that is none of the valid ones, with those in the message.

    Raises:
        UserError: It is none of them.
    """
    if given not in valid:
        raise UserError(f"{complaint} {given!r}{did_you_mean(given, valid)}; there are: {', '.join(valid)}")
