"""Reads a section of params.yaml into a validated, frozen config."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from stages.core.errors import UserError, did_you_mean
from stages.core.files import read_text

PARAMS_FILE = Path("params.yaml")
_OF_ANOTHER_METHOD = ("extra_forbidden", "missing")
"""What is wrong with fields where `method` alone was changed."""


class Params(BaseModel):
    """Base of every config: unknown fields, inf and nan are refused, values cannot change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def load_section(section: str, config_type: Any, path: Path = PARAMS_FILE) -> Any:
    """Read one section of a params file.

    Args:
        section: Name of the section, which is the stage's name.
        config_type: A `Params` class, or a union of them that differ in their field `method`.
        path: The params file.

    Raises:
        UserError: The file or section is missing, or a field is unknown, missing or out of range.
    """
    raw = read_params(path)
    if section not in raw:
        raise UserError(f"{path}: section '{section}' is missing; write it with `luss use METHOD DATASET`")
    config = validate_section(section, raw[section], config_type, str(path))
    if unwritten := list(_unwritten_fields(config, section)):
        raise UserError(
            f"{path}: section '{section}' is not written out in full; missing: {', '.join(unwritten)}. "
            "Every value stands in the file: write it with `luss use METHOD DATASET`"
        )
    return config


def parse_yaml(text: str) -> Any:
    """Parse plain YAML by the parser in C where PyYAML has it, seven times as fast as the one in Python.

    Raises:
        yaml.YAMLError: It is not YAML, or a key stands twice in a mapping, of which PyYAML would take the last.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_keys(node, set())
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_keys(node: yaml.Node, seen: set[yaml.Node]) -> None:
    if not isinstance(node, yaml.CollectionNode) or node in seen:
        return
    seen.add(node)  # Behind an anchor it comes again.
    if not isinstance(node, yaml.MappingNode):
        for each in node.value:
            _check_keys(each, seen)
        return
    keys = set[str]()
    for key, value in node.value:
        if key.value in keys and isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
        keys.add(str(key.value))
        _check_keys(value, seen)


def read_params(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """Read a whole params file as plain dictionaries.

    Raises:
        UserError: The file is missing, is not YAML or is not a mapping.
    """
    try:
        raw = parse_yaml(read_text(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; write it with `luss use METHOD DATASET`") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: must hold one section per stage, found {type(raw).__name__}")
    return raw


def validate_section(section: str, values: object, config_type: Any, source: str) -> Any:
    """Validate the values of one section; `source` names their origin in the error message.

    Raises:
        UserError: One line per wrong field: path, value, what is wrong.
    """
    heading = f"{source}: section '{section}' is not valid"
    if not isinstance(values, dict):
        raise UserError(f"{heading}\n  {section}: must be a mapping of fields, found {values!r}")
    model = _select_model(section, values, config_type, heading)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [f"  {_describe(section, problem, model)}" for problem in error.errors()]
        others = [other for other in models_by_method(config_type).values() if other is not model]
        misplaced = {str(problem["loc"][-1]) for problem in error.errors() if problem["type"] in _OF_ANOTHER_METHOD}
        if any(misplaced & set(other.model_fields) for other in others):
            lines.append("  A method's fields belong to it: change the method with `luss use METHOD DATASET`")
        raise UserError("\n".join([heading, *lines])) from None


def models_by_method(config_type: Any) -> dict[str, type[Params]]:
    """The classes of a union of configs by their `method`; a config without that field stands under ''."""
    union = get_args(config_type)[0] if hasattr(config_type, "__metadata__") else config_type
    members: Iterable[type[Params]] = get_args(union) or (union,)
    return {model.model_fields["method"].default if "method" in model.model_fields else "": model for model in members}


def _select_model(section: str, values: dict[str, Any], config_type: Any, heading: str) -> type[Params]:
    models = models_by_method(config_type)
    if "" in models:
        return models[""]
    given = values.get("method")
    if given in models:
        return models[given]
    raise UserError(
        f"{heading}\n  {section}.method = {given!r}: no such method{did_you_mean(str(given), models)}; there are: "
        f"{', '.join(models)}. A method's other fields belong to it: change it with `luss use METHOD DATASET`"
    )


def _describe(section: str, problem: ErrorDetails, model: type[Params]) -> str:
    location = [str(part) for part in problem["loc"]]
    field = ".".join([section, *location])
    if not location:
        return f"{field}: {problem['msg'].removeprefix('Value error, ')}"
    if problem["type"] == "missing":
        return f"{field}: missing"
    if problem["type"] == "extra_forbidden":
        return f"{field} = {problem['input']!r}: no such field{did_you_mean(location[-1], _all_field_names(model))}"
    return f"{field} = {problem['input']!r}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _all_field_names(model: type[BaseModel]) -> set[str]:
    nested = [field.annotation for field in model.model_fields.values()]
    inner = [_all_field_names(kind) for kind in nested if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return set(model.model_fields).union(*inner)


def _unwritten_fields(config: BaseModel, path: str) -> Iterable[str]:
    for name in type(config).model_fields:
        value = getattr(config, name)
        if name not in config.model_fields_set:
            yield f"{path}.{name}"
        elif isinstance(value, BaseModel):
            yield from _unwritten_fields(value, f"{path}.{name}")
