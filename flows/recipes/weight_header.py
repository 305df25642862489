"""Tells from its first bytes whether a file can hold weights, without loading torch."""

from __future__ import annotations

from pathlib import Path

from stages.core.errors import UserError

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
"""How `torch.save` begins a file since 1.6, and before."""
_TAR, _TAR_PLACE = b"ustar", 257
"""Of its oldest form, with the byte where it stands."""
_JSON_PLACE = 8
"""safetensors: after the length of the header (8 bytes), a JSON object."""


def check_weight_header(file: Path, field: str) -> None:
    """Look at the first bytes of a file of weights; `luss weights` and training read all of it.

    Raises:
        UserError: It is a folder, or neither safetensors nor what `torch.save` writes.
    """
    if file.is_dir():
        raise UserError(f"{field}.path = '{file}': is a folder; name a file of weights")
    with file.open("rb") as stream:
        start = stream.read(_TAR_PLACE + len(_TAR))
    is_saved = start.startswith((_ZIP, _PICKLE)) or start[_TAR_PLACE:] == _TAR
    if not (is_saved or start[_JSON_PLACE : _JSON_PLACE + 1] == b"{"):
        kind = "is empty" if not start else "is neither safetensors nor a file that torch.save wrote"
        raise UserError(f"{field}.path = '{file}': {kind}; `luss weights FILE` says what a file is")
