"""Checks the SQLite database of the user's Prefect server before a server is started on it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from stages.core.errors import UserError

_FILE_URL = "sqlite+aiosqlite:///"
_MIGRATIONS = Path("server/database/_migrations/versions/sqlite")
_ELSEWHERE = "set PREFECT_HOME to another folder"


def database_file() -> Path | None:
    """Path of the database, existing or not; None if Prefect is set to another kind of database."""
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

    url = PREFECT_API_DATABASE_CONNECTION_URL.value() or ""
    path = url.removeprefix(_FILE_URL).partition("?")[0]
    return Path(path) if url.startswith(_FILE_URL) and not path.startswith((":", "file:")) else None


def check_database(path: Path | None) -> None:
    """Check that a server can work with the database.

    Raises:
        UserError: It or its folder cannot be written, it is damaged, or another version of Prefect has written it.
    """
    if path is None:
        return
    _check_writable(path)
    if path.exists() and (revision := _read_revision(path)) and not _is_known(revision):
        raise UserError(f"{path}: written by a newer Prefect than this one; {_ELSEWHERE}, or pip install -U prefect")


def _check_writable(path: Path) -> None:
    nearest = next(folder for folder in (path, *path.parents) if folder.exists())
    if not os.access(nearest, os.W_OK) or not os.access(nearest if nearest.is_dir() else nearest.parent, os.W_OK):
        raise UserError(f"{path}: Prefect keeps its runs there and {nearest} cannot be written; {_ELSEWHERE}")


def _read_revision(path: Path) -> str | None:
    try:
        with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True) as connection:
            row = connection.execute("select version_num from alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None  # Empty, or in use.
    except sqlite3.DatabaseError as error:
        raise UserError(f"{path}: damaged ({error}); move it away, or {_ELSEWHERE}") from None
    return str(row[0]) if row else None


def _is_known(revision: str) -> bool:
    import prefect

    migrations = (Path(prefect.__file__).parent / _MIGRATIONS).glob("*.py")
    return any(revision in migration.read_text(encoding="utf-8") for migration in migrations)
