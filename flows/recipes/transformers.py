"""Refuses another network where a method reads the tokens or the attention of a vision transformer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flows.recipes.network_names import timm_transformers
from stages.core.errors import UserError

_TRAINED = "pretrain.backbone"
_READ = {
    "saliency.method = token_cut": "saliency.backbone",
    "attend.method = cls_attention": _TRAINED,
    "extract.method = sliding_windows": _TRAINED,
    "extract.embedding = class_token": _TRAINED,
    "pseudolabel.method = vit_gradcam": _TRAINED,
}
"""Which backbone a value reads as a transformer."""


def check_transformers(sections: Mapping[str, Any]) -> None:
    """Check that whatever is read as a vision transformer is one.

    Args:
        sections: Of params.yaml, with all their values.

    Raises:
        UserError: It is another network; the message names the values that do not fit each other.
    """
    transformers = timm_transformers()
    for reader, backbone in _readers(sections):
        name = _value(sections, f"{backbone}.name")
        if isinstance(name, str) and name.partition(".")[0] not in transformers:
            raise UserError(
                f"{reader} reads a vision transformer, and {backbone}.name = {name!r} is none; take one, as "
                f"{backbone}.name=vit_small_patch16_224, or another {reader.partition(' ')[0]}"
            )


def _readers(sections: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What reads a transformer in these sections, and which backbone; not one that stands in a file of its own."""
    for reader, backbone in _READ.items():
        key, _, value = reader.partition(" = ")
        if _value(sections, key) == value and not (backbone == _TRAINED and _value(sections, "pretrain.whole_model")):
            yield reader, backbone


def _value(sections: Mapping[str, Any], key: str) -> Any:
    found: Any = sections
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
