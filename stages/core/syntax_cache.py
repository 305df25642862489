"""Cache of `stages.core.syntax` on disk, by content: unchanged modules are not parsed again."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

from stages.core import syntax
from stages.core.errors import UserError
from stages.core.syntax import Syntax, read_syntax

_VERSION = sha256(Path(syntax.__file__).read_bytes())
"""A cache that another version of the parser wrote is ignored."""


class SyntaxCache:
    """Digests and imports of modules by a hash of their text and package, in one file beside unfinished work."""

    def __init__(self) -> None:
        self._path = Path(os.environ.get("LUSS_CHECKPOINTS", ".checkpoints")) / "syntax.json"
        self._kept = _load(str(self._path.absolute()))
        self._used: dict[str, Syntax] = {}
        self._read: dict[tuple[Path, str], Syntax] = {}

    def read(self, file: Path, package: str) -> Syntax:
        """The digest and imports of a module; each file is read once.

        Args:
            file: Its source.
            package: Dotted name of the package it lies in.

        Raises:
            UserError: It is not valid Python.
        """
        if (file, package) not in self._read:
            source = file.read_bytes()
            key = _hash(package, source)
            self._read[file, package] = self._used[key] = self._kept.get(key) or _parse(file, source, package)
        return self._read[file, package]

    def save(self) -> None:
        """Keep what was read, and only that. A folder where nothing may be written keeps nothing."""
        if self._used == self._kept:
            return
        kept = {key: [found.digest, sorted(found.imports)] for key, found in self._used.items()}
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}.partial")
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(kept))
            partial.replace(self._path)
            _load.cache_clear()


@cache
def _load(path: str) -> dict[str, Syntax]:
    try:
        content = json.loads(Path(path).read_text())
        return {key: Syntax(digest, frozenset(imports)) for key, (digest, imports) in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _hash(package: str, source: bytes) -> str:
    digest = _VERSION.copy()
    digest.update(f"{package}\n".encode() + source)
    return digest.hexdigest()


def _parse(file: Path, source: bytes, package: str) -> Syntax:
    try:
        return read_syntax(source.decode(), package)
    except (SyntaxError, UnicodeDecodeError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise UserError(f"{file}{line}: not valid Python ({getattr(error, 'msg', error)})") from None
