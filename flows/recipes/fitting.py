"""Finds the recipes of data sets that the files in `data/` fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import yaml

from flows.recipes.reading import COUNTED, RECIPES, recipe_names
from stages.core.config.params import validate_section
from stages.core.errors import UserError
from stages.index import Config


class Fit(NamedTuple):
    """A recipe whose layout finds photographs to train on."""

    recipe: str
    photographs: int
    masks: int


def find_fitting() -> list[Fit]:
    """The recipes that fit, by file names alone; those that find most masks first, then most photographs."""
    return sorted(_find(), key=lambda fit: (-fit.masks, -fit.photographs, fit.recipe))


def _find() -> Iterator[Fit]:
    for name in recipe_names("datasets"):
        recipe = yaml.safe_load((RECIPES / "datasets" / f"{name}.yaml").read_text())
        section = {**recipe["index"]}
        if "classes" in section and section["classes"] == "${shared.classes}":
            section["classes"] = None if recipe["shared"]["classes"] == COUNTED else recipe["shared"]["classes"]
        try:
            layout = validate_section("index", section, Config, name).find()
        except UserError:
            continue
        if any(photo.split == "train" for photo in layout.photographs):
            yield Fit(name, len(layout.photographs), len(layout.masks))
