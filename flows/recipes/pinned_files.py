"""Pins files that parameters name (weights, folders of maps) by a hash of their content, so that DVC sees changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.recipes.weight_header import check_weight_header
from stages.core.errors import UserError
from stages.core.hashing import hash_file, hash_folder


def pin_files(field: str, value: Any) -> Any:
    """Fill in the hash of every `{path, sha256}` in a section.

    Args:
        field: Name of what `value` is, for messages.
        value: A section of params.yaml, or a part of one.

    Returns:
        The same, with each `path` relative to the project if it lies inside and absolute otherwise (experiments run in
        a folder of their own), and `sha256` filled in.

    Raises:
        UserError: One is missing, has another content than the written hash says, or weights are a plain name or of
            no known form.
    """
    if isinstance(value, str) and field.endswith(".weights"):
        raise UserError(f"{field} = {value!r}: name the file as {field}.path={value}, and say its {field}.origin")
    if not isinstance(value, dict):
        return value
    if "path" in value and "." in field:
        return value | _pin(field, str(value["path"]), value.get("sha256"))
    return {name: pin_files(f"{field}.{name}", part) for name, part in value.items()}


def _pin(field: str, path: str, written: str | None) -> dict[str, str]:
    outside = Path(path).expanduser().resolve()
    if not outside.exists():
        raise UserError(f"{field}.path = {path!r}: no such file or folder")
    if field.endswith(".weights"):
        check_weight_header(outside, field)
    found = hash_folder(outside) if outside.is_dir() else hash_file(outside)
    if written and written != found:
        raise UserError(
            f"{field}: {path} has another content than its sha256 says; set {field}.sha256=null to take it as it is"
        )
    project = Path.cwd().resolve()
    inside = outside.is_relative_to(project)
    return {"path": str(outside.relative_to(project) if inside else outside), "sha256": found}
