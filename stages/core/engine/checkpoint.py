"""Training checkpoints: written atomically, verified when read; the newest two are kept."""

import hashlib
import io
import sys
from pathlib import Path
from typing import Any

import torch

from stages.core.artifacts.shards import write_atomically

_MAGIC = b"luss checkpoint 1\n"
_DIGEST_BYTES = 32
_KEPT = 2

Checkpoint = dict[str, Any]


def save_checkpoint(work: Path, iteration: int, content: Checkpoint) -> None:
    """Write the state after `iteration` iterations and remove all but the newest two."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getvalue()
    write_atomically(_path(work, iteration), _MAGIC + hashlib.sha256(payload).digest() + payload)
    for old in _paths(work)[:-_KEPT]:
        old.unlink()


def load_newest_checkpoint(work: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole; a damaged or foreign one is reported, removed and the one before it used."""
    for path in reversed(_paths(work)):
        try:
            return _load(path)
        except ValueError as error:
            print(f"{path}: not used ({error}), removed", file=sys.stderr, flush=True)
            path.unlink()  # It would count as the newest, and those that follow be removed for it.
    return None


def newest_checkpoint(work: Path) -> Path | None:
    """Path of the newest checkpoint, if there is one."""
    return max(_paths(work), default=None)


def _load(path: Path) -> Checkpoint:
    data = path.read_bytes()
    head = len(_MAGIC) + _DIGEST_BYTES
    if not data.startswith(_MAGIC):
        raise ValueError("not a checkpoint of this version")
    if hashlib.sha256(data[head:]).digest() != data[len(_MAGIC) : head]:
        raise ValueError("truncated or damaged")
    content: Checkpoint = torch.load(io.BytesIO(data[head:]), map_location="cpu", weights_only=True)
    return content


def _paths(work: Path) -> list[Path]:
    return sorted(work.glob("checkpoint-*.pt"))


def _path(work: Path, iteration: int) -> Path:
    return work / f"checkpoint-{iteration:010d}.pt"
