"""Finds the recipes of data sets that the files in `data/` fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import yaml

from flows.recipes.reading import COUNTED, RECIPES, recipe_names
from stages.core.config.params import validate_section
from stages.core.errors import UserError
from stages.index import Config
from stages.index.layout import Layout


class Fit(NamedTuple):
    """A recipe whose layout finds photographs to train on."""

    recipe: str
    photographs: int
    """Without those that are masks to another recipe."""
    masks: int
    mistaken: int
    """Files that would be taken for photographs though they are masks to another recipe."""


def find_fitting() -> list[Fit]:
    """The recipes that fit, by file names alone; those that find most masks first, then most photographs."""
    found = dict(_find())
    masks = {path for layout in found.values() for path in layout.masks}
    fits = []
    for recipe, layout in found.items():
        mistaken = sum(photo.path in masks for photo in layout.photographs)
        fits.append(Fit(recipe, len(layout.photographs) - mistaken, len(layout.masks), mistaken))
    return sorted(fits, key=lambda fit: (-fit.masks, -fit.photographs, fit.recipe))


def _find() -> Iterator[tuple[str, Layout]]:
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
            yield name, layout
