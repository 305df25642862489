"""Reading files of weights that come from outside: tensors alone, never code, and one line for what is none."""

import argparse
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from stages.core.errors import UserError

_WEB_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head")
_LFS_POINTER = b"version https://git-lfs"
_OF_TRAINING = re.compile(r"(optim|opt$|lr_sched|sched|scaler|amp|loops|callbacks|queue|loss|fp16_scaler|hyper)")
"""What a checkpoint holds beside networks."""
_HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [argparse.Namespace]
"""Classes of plain values that the checkpoints of DINO, iBOT and MAE hold as their arguments."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, by their names with dots between: `teacher.backbone.cls_token`.

    `.safetensors` is read as such, anything else as torch saves it, with `weights_only`. What belongs to a training and
    not to a network is left out.

    Raises:
        UserError: The file is missing, or is no file of weights that can be read without running what it holds.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file of weights")
    try:
        _refuse_other_files(path)
        content = _load(path)
    except _Unreadable as error:
        raise UserError(f"{path}: not a file of weights that can be read safely: {error}") from None
    tensors = dict(_flatten(content))
    if not tensors:
        raise UserError(f"{path}: holds no tensors; take the file of a network's weights (its state dict)")
    if broken := next((key for key, value in tensors.items() if not _is_finite(value)), None):
        raise UserError(f"{path}: {broken} holds values that are no finite numbers; its training went wrong")
    return tensors


class _Unreadable(Exception):
    """Why a file cannot be read, in words."""


def _refuse_other_files(path: Path) -> None:
    with path.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    if not start:
        raise _Unreadable("it is empty")
    if start.startswith(_WEB_PAGE):
        raise _Unreadable("it is a web page, saved in place of the weights; download the file itself")
    if start.startswith(_LFS_POINTER):
        raise _Unreadable("it is a Git LFS pointer to the weights; fetch them with `git lfs pull`")


def _load(path: Path) -> Mapping[str, object]:
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    with path.open("rb") as stream:
        if stream.read(2) == b"PK" and not zipfile.is_zipfile(path):
            raise _Unreadable("it is cut short; download it again")
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a broken file
        raise _Unreadable(_explain(error)) from None
    if not isinstance(content, Mapping):
        raise _Unreadable(f"it holds {type(content).__name__}, not a mapping of tensors")
    return content


def _load_safetensors(path: Path) -> Mapping[str, object]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return cast(Mapping[str, object], load_file(path))
    except SafetensorError as error:
        raise _Unreadable(f"it is cut short or broken ({error}); download it again") from None


def _explain(error: Exception) -> str:
    """Torch's many lines in one."""
    if found := re.search(r"GLOBAL (\S+)", str(error)):
        return (
            f"it holds Python code ({found[1]}), which is never run; take a file of tensors alone, best as .safetensors"
        )
    if "pickle protocol" in str(error):
        return "it is a pickle that torch did not write and that can hold code; take a file of tensors alone"
    first = str(error).strip().partition("\n")[0]
    return f"it is cut short or no file of torch's ({first or type(error).__name__})"


def _flatten(content: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for name, value in content.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, Mapping) and not (prefix == "" and _OF_TRAINING.match(str(name))):
            yield from _flatten(value, f"{prefix}{name}.")


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(torch.isfinite(value).all())
