"""Reads every file once, in several processes: size, content hash, and whether it can be decoded."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from stages.core.artifacts.shards import write_atomically
from stages.core.config.params import Params
from stages.core.data_link import data_root
from stages.core.hashing import hash_bytes, hash_json
from stages.core.image_files import UnreadableImage, measure_image, read_bytes
from stages.core.png_files import decode_mask
from stages.core.processes import map_in_processes
from stages.core.progress import Progress
from stages.core.resume import resumable_work
from stages.index.layout import Layout

_CHUNK_BYTES, _CHUNK_FILES = 64_000_000, 4096
"""Work for about a second, so that a small set needs no further process and a large one keeps all of them busy."""


class Reading(NamedTuple):
    """Size, hash and problem of one file."""

    bytes: int = 0
    content_hash: str = ""
    """sha256."""
    height: int = 0
    """Pixels; of a photograph after EXIF rotation."""
    width: int = 0
    ids: tuple[int, ...] = ()
    """That a mask holds, in order."""
    areas: tuple[int, ...] = ()
    """Pixels of each of them."""
    problem: str = ""
    """Why the file cannot be used; empty if it can."""


_Kind = Literal["photograph", "mask", "indexed mask"]


class _File(NamedTuple):
    path: str
    kind: _Kind
    bytes: int
    changed_ns: int


class _LookedAt(NamedTuple):
    height: int
    width: int
    ids: tuple[int, ...] = ()
    areas: tuple[int, ...] = ()


def read_files(config: Params, layout: Layout) -> dict[str, Reading]:
    """Read all files in several processes; what is read survives a kill as long as no file changes.

    Args:
        config: The stage's parameters.
        layout: What it has found.

    Returns:
        The reading of each path.
    """
    of_masks: _Kind = "mask" if layout.mask_ids is None else "indexed mask"
    root = data_root()
    files = [_describe(root, photo.path, "photograph") for photo in layout.photographs]
    files += [_describe(root, path, of_masks) for path in layout.masks]
    state = hash_json(files)
    with resumable_work("index", config, {"files": state}) as work:
        chunks = list(_cut(files))
        results = [work / f"{number:06d}.json" for number in range(len(chunks))]
        _read_missing(chunks, results)
        readings = [Reading(*fields) for result in results for fields in _load(result)]
    return dict(zip((file.path for file in files), readings, strict=True))


def _describe(root: Path, path: str, kind: _Kind) -> _File:
    try:
        status = (root / path).stat()
    except OSError:  # a broken link: opening it will tell
        return _File(path, kind, 0, 0)
    return _File(path, kind, status.st_size, status.st_mtime_ns)


def _cut(files: Sequence[_File]) -> Iterator[list[_File]]:
    chunk, size = [], 0
    for file in files:
        chunk.append(file)
        size += file.bytes
        if size >= _CHUNK_BYTES or len(chunk) == _CHUNK_FILES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _read_missing(chunks: Sequence[list[_File]], results: Sequence[Path]) -> None:
    missing = [number for number, result in enumerate(results) if not result.exists()]
    total = sum(map(len, chunks))
    done = total - sum(len(chunks[number]) for number in missing)
    tasks = [chunks[number] for number in missing]
    with (
        Progress(total, "files", unit="files", done=done) as progress,
        closing(map_in_processes(_read_all, tasks)) as ready,
    ):
        for position, readings in ready:
            write_atomically(results[missing[position]], json.dumps(readings).encode())
            done += len(readings)
            progress.update(done)


def _load(result: Path) -> list[list[Any]]:
    readings: list[list[Any]] = json.loads(result.read_bytes())
    return readings


def _read_all(files: Sequence[_File]) -> list[Reading]:
    # Looked up where the work is done: another machine of a cluster may have another root.
    return list(map(partial(_read, data_root()), files))


def _read(root: Path, file: _File) -> Reading:
    path = root / file.path
    if path.exists() and not path.is_file():
        return Reading(problem="not a regular file")
    try:
        data = read_bytes(path)
        looked_at = _LOOKS[file.kind](data, str(path))
    except UnreadableImage as error:
        return Reading(problem=str(error).removeprefix(f"{path}: "))
    return Reading(len(data), hash_bytes(data), *looked_at)


def _look_at_photograph(data: bytes, name: str) -> _LookedAt:
    return _LookedAt(*measure_image(data, name))


def _look_at_mask(data: bytes, name: str, indexed: bool = False) -> _LookedAt:
    mask = decode_mask(data, name, indexed)
    counts = np.bincount(mask.ravel())
    ids = np.flatnonzero(counts)
    return _LookedAt(mask.shape[0], mask.shape[1], tuple(ids.tolist()), tuple(counts[ids].tolist()))


_LOOKS: dict[_Kind, Callable[[bytes, str], _LookedAt]] = {
    "photograph": _look_at_photograph,
    "mask": _look_at_mask,
    "indexed mask": partial(_look_at_mask, indexed=True),
}
"""What is read of each kind of file."""
