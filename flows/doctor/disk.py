"""Checks of disk space, by the needs of the last run, and of how DVC's cache links files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from flows.doctor.finding import Finding

_LARGE = 10e9
"""Bytes of data from which a second copy in the cache is worth avoiding."""


def check_disk(root: Path, free: int) -> Finding:
    """The disk has room for artifacts, in proportion to the data as in the last run, and for the cache's copies."""
    data, share = _data_size(root), _artifacts_per_byte(root)
    copies = 1 if _links(root) == ["copy"] else 0
    found = f"{free / 1e9:.1f} GB free; data {data / 1e9:.1f} GB"
    if share is None:
        needed, told = float(data * copies), "no run in dvc.lock yet to tell what the stages will write"
    else:
        needed = data * copies + data * share * (1 + copies)
        told = f"a run may take {needed / 1e9:.1f} GB, going by the artifacts of the last one"
    enough = free >= needed
    return Finding("disk", f"{found}; {told}", "" if enough else "free some space, or link the cache", is_fatal=False)


def check_cache_links(root: Path) -> Finding:
    """A large data set is linked with DVC's cache, not copied."""
    links = _links(root)
    remedy = ""
    if _data_size(root) > _LARGE and links == ["copy"]:
        remedy = "dvc config --local cache.type reflink,hardlink,symlink, then dvc checkout --relink: saves a copy"
    return Finding("DVC cache", f"links by {', '.join(links)}", remedy, is_fatal=False)


def _artifacts_per_byte(root: Path) -> float | None:
    """Bytes that the last run has written for each byte of its data; None if dvc.lock holds no whole run."""
    stages = _read(root / "dvc.lock").get("stages", {})
    data = sum(entry["size"] for entry in _entries(stages, "deps") if entry["path"] == "data")
    written = sum(entry.get("size", 0) for entry in _entries(stages, "outs"))
    return written / data if data and "evaluate" in stages else None


def _entries(stages: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    for stage in stages.values():
        yield from stage.get(kind, [])


def _data_size(root: Path) -> int:
    return sum(out.get("size", 0) for out in _read(root / "data.dvc").get("outs", []))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _links(root: Path) -> list[str]:
    """How DVC links files with its cache; by default reflinks where the file system has them, else copies."""
    from dvc.config import Config

    given: list[str] = Config(str(root / ".dvc")).get("cache", {}).get("type") or ["reflink", "copy"]
    return ["copy"] if given == ["reflink", "copy"] else given
