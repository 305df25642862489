"""METHOD ⊕ DATASET ⊕ key=value -> a validated params.yaml with every value written out.

A data set recipe holds the section `index`, the keys that several stages share (`shared`: seed, number of classes,
image size …), and `evaluate` where it is scored by a protocol of its own. A method recipe holds the sections of the
other stages, takes shared keys as `${shared.seed}`, and may carry `variants` with values for one data set; it may stand
upon another one (`extends: swav`) and say only what differs. What none of them says is the default of the stage's
config.
"""

from __future__ import annotations

import importlib
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from flows.recipes.layers import merge_layers
from flows.recipes.merging import is_other_kind, merge_values
from flows.recipes.network_names import check_networks
from flows.recipes.pinned_files import pin_files
from flows.recipes.reading import DATASET_SECTION, read_method, read_recipe, recipe_names
from flows.recipes.sizing import Size, size_recipe
from flows.recipes.transformers import check_transformers
from stages.core.config.params import PARAMS_FILE, Params, models_by_method, parse_yaml, validate_section
from stages.core.errors import UserError
from stages.core.fingerprint import refresh_fingerprints

PIPELINE_FILE = Path("dvc.yaml")

_HEAD = "# The pipeline reads nothing else. Change a value and run `dvc repro`: only what depends on it runs again.\n"


class Recipe(NamedTuple):
    """A method recipe, a data set recipe and values, as given to `luss use`."""

    method: str
    """Name of a method recipe, or a path to one."""
    dataset: str
    """Name of a data set recipe, or a path to one."""
    overrides: tuple[str, ...] = ()
    """Assignments `section.field=value`, the value in YAML, or `section={method: NAME, field: value}`, which stands for
    the whole section. Values may refer to others: `${pretrain.weights}`."""

    @property
    def command(self) -> str:
        """The `luss use` command that writes this recipe."""
        return shlex.join(["luss", "use", self.method, self.dataset, *self.overrides])


class Composed(NamedTuple):
    """A recipe with all its values."""

    sections: dict[str, dict[str, Any]]
    """Every field of every stage, sections in the order of dvc.yaml, fields in the order of the stage's config."""
    recipe: Recipe
    """With what was counted in `data/` among its values, so that it stands for the same sections later."""
    sizes: list[Size]
    """What was chosen for the photographs that are there, where the data set recipe asks for it."""


def stage_names(pipeline: Path = PIPELINE_FILE) -> list[str]:
    """Names of the stages in dvc.yaml, which are the sections of params.yaml.

    Raises:
        UserError: There is no dvc.yaml here.
    """
    if not pipeline.is_file():
        raise UserError(f"{pipeline}: no such file in {Path.cwd()}; run `luss` in the root folder of the project")
    return list(parse_yaml(pipeline.read_text())["stages"])


def compose(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The sections of `compose_sized`; raises as it does."""
    return compose_sized(recipe).sections


def compose_sized(recipe: Recipe) -> Composed:
    """Compose the sections of params.yaml, size them for the photographs that are there, and validate each.

    Raises:
        UserError: Unknown recipe, section, field or shared key, or a value that its stage refuses.
    """
    stages = stage_names()
    _check_order(recipe)
    method = read_method(recipe.method, stages)
    dataset = read_recipe("datasets", recipe.dataset, ["shared", DATASET_SECTION, "evaluate"])
    variant = (method.pop("variants", None) or {}).get(Path(recipe.dataset).stem, {})
    merged, counted = merge_layers([dataset, method, variant], recipe.overrides, stages)
    sections = {stage: _with_defaults(stage, merged.get(stage)) for stage in stages}
    sizes = size_recipe(sections, merged["shared"], recipe.overrides, counted)
    written = {stage: _validate(stage, values, recipe) for stage, values in sections.items()}
    check_transformers(written)
    return Composed(written, recipe._replace(overrides=(*recipe.overrides, *counted.assignments)), sizes)


def _check_order(recipe: Recipe) -> None:
    """Raise where a data set stands in the place of the method, and the method in that of the data set."""
    if recipe.method in recipe_names("datasets") and recipe.dataset in recipe_names("methods"):
        right = Recipe(recipe.dataset, recipe.method, recipe.overrides).command
        raise UserError(f"{recipe.method} is a data set and {recipe.dataset} a method; the method comes first: {right}")


def write_params(recipe: Recipe, path: Path = PARAMS_FILE) -> list[str]:
    """Compose a recipe and write it; returns the sections that differ from what the file held before."""
    return write_composed(compose_sized(recipe), path)


def write_composed(composed: Composed, path: Path = PARAMS_FILE) -> list[str]:
    """Write what was composed; returns the sections that differ from what the file held before."""
    before = _sections_of(path)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(render(composed.sections, composed.recipe))
    partial.replace(path)
    refresh_fingerprints()
    return [stage for stage, values in composed.sections.items() if before.get(stage) != values]


def render(sections: dict[str, dict[str, Any]], recipe: Recipe) -> str:
    """The text of params.yaml."""
    head = f"# Written by: {recipe.command}\n{_HEAD}"
    blocks = [
        yaml.dump({stage: values}, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
        for stage, values in sections.items()
    ]
    return "\n".join([head, *blocks])


def _with_defaults(stage: str, values: Any) -> Any:
    config_type = importlib.import_module(f"stages.{stage}").Config
    given = pin_files(stage, values if values is not None else {})
    if not isinstance(given, dict):
        return given
    return merge_values(_without_other_kinds(_defaults(config_type, given.get("method")), given), given)


def _validate(stage: str, values: Any, recipe: Recipe) -> dict[str, Any]:
    config_type = importlib.import_module(f"stages.{stage}").Config
    written: dict[str, Any] = validate_section(stage, values, config_type, recipe.command).model_dump(mode="json")
    check_networks(stage, written)
    return {"method": written["method"], **written} if "method" in written else written


def _defaults(config_type: Any, method: Any) -> dict[str, Any]:
    """Defaults of a method's config, so that a recipe which says one field of a group keeps the group's others."""
    models = models_by_method(config_type)
    model = models.get("") or models.get(method)
    fields = model.model_fields.items() if model else ()
    defaults = {name: field.get_default(call_default_factory=True) for name, field in fields if not field.is_required()}
    return {
        name: value.model_dump(mode="json") if isinstance(value, Params) else value for name, value in defaults.items()
    }


def _without_other_kinds(defaults: dict[str, Any], given: dict[Any, Any]) -> dict[str, Any]:
    """The defaults but for groups of another `kind` than given, as another decoder."""
    return {name: default for name, default in defaults.items() if not is_other_kind(default, given.get(name))}


def _sections_of(path: Path) -> dict[str, Any]:
    try:
        content = parse_yaml(path.read_text())
    except (OSError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


class _Dumper(yaml.SafeDumper):
    """Lists on one line, everything else one field per line."""


_Dumper.add_representer(
    list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
)
