"""Tells what timm's networks are, from its source alone: loading it would load torch, which takes seconds."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Any

from stages.core.config.networks import OWN_NETWORKS, unknown_network

_REGISTERED = re.compile(r"^@register_model\s+def (\w+)\(", re.MULTILINE)
_RENAMED = re.compile(r"['\"](\w+)['\"]\s*:\s*['\"]")
"""An earlier name in the list at the end of a module, which timm still takes."""
_TRANSFORMERS = ("deit", "eva", "vision_transformer")
"""Modules of the networks that `stages.core.nets.transformers` reads tokens and attention of."""


def check_networks(field: str, value: Any) -> None:
    """Look for every backbone of a section among timm's networks.

    Args:
        field: Name of what `value` is, for the message.
        value: A section of params.yaml, or a part of one.

    Raises:
        UserError: timm has none of that name; close ones are named.
    """
    if not isinstance(value, dict):
        return
    for key, part in value.items():
        if key == "backbone" and isinstance(part, dict) and "name" in part:
            _check_network(f"{field}.backbone.name", str(part["name"]))
        check_networks(f"{field}.{key}", part)


def _check_network(field: str, name: str) -> None:
    names = timm_networks().union(OWN_NETWORKS)
    if name.partition(".")[0] not in names:
        raise unknown_network(field, name, names)


@cache
def timm_networks() -> frozenset[str]:
    """Names that the installed timm takes, without the tags of their weights."""
    return frozenset[str]().union(*map(_names_in, _modules().glob("*.py")))


@cache
def timm_transformers() -> frozenset[str]:
    """Those of vision transformers."""
    return frozenset[str]().union(*(_names_in(_modules() / f"{name}.py") for name in _TRANSFORMERS))


def _modules() -> Path:
    found = importlib.util.find_spec("timm")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).with_name("models")


def _names_in(module: Path) -> frozenset[str]:
    text = module.read_text(encoding="utf-8")
    renamed = _RENAMED.findall(text.partition("register_model_deprecations(__name__")[2])
    return frozenset([*_REGISTERED.findall(text), *renamed])
