"""What is looked at before a temporary Prefect server is started, and what is told when it does not start."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from flows.server import temporary
from flows.server.address import check_address
from flows.server.database import check_database
from stages.core.errors import UserError
from tests.project.rooms import ROOT

PATIENCE = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"


@pytest.mark.parametrize("url", ["127.0.0.1:4200/api", "localhost", "http://", "ftp://a/api", "http://a:99999/api"])
def test_what_is_no_address_is_named(url: str) -> None:
    with pytest.raises(UserError, match=rf"PREFECT_API_URL='{url}' is no address"):
        check_address(url)


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:4200/api", "https://prefect.example.org/api"])
def test_an_address_is_taken_as_it_is(url: str | None) -> None:
    assert check_address(url) == url


def write_database(path: Path, revision: str) -> Path:
    with sqlite3.connect(path) as connection:
        connection.execute("create table alembic_version (version_num text)")
        connection.execute("insert into alembic_version values (?)", (revision,))
    return path


def test_a_database_of_this_prefect_or_none_will_do(tmp_path: Path) -> None:
    check_database(None)
    check_database(tmp_path / "not" / "there.db")
    check_database(write_database(tmp_path / "first.db", "9725c1cbee35"))  # The first migration of Prefect 2.


def test_a_database_of_a_newer_prefect_is_named(tmp_path: Path) -> None:
    path = write_database(tmp_path / "prefect.db", "ffffffffffff")
    with pytest.raises(UserError, match=r"prefect\.db: written by a newer Prefect .* set PREFECT_HOME"):
        check_database(path)


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "prefect.db"
    path.write_bytes(b"torn" * 1000)
    with pytest.raises(UserError, match=r"prefect\.db: damaged \(file is not a database\)"):
        check_database(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # A mode would not bind root.
    with pytest.raises(UserError, match=r"cannot be written; set PREFECT_HOME"):
        check_database(tmp_path / "prefect" / "prefect.db")


def test_a_server_that_ends_at_once_is_one_message_in_seconds() -> None:
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([sys.executable, "-c", "import sys; sys.exit('disk is full')"], stderr=log)
        start = time.monotonic()
        with pytest.raises(UserError, match=r"server ended at once \(disk is full\); `dvc repro` runs without one"):
            temporary._wait_for(1, process, 600, log)
    assert time.monotonic() - start < 120


@pytest.mark.slow
def test_it_ends_with_the_run_even_by_a_kill(tmp_path: Path) -> None:
    code = "from flows.server.temporary import start_temporary_server as s; s(); print('up', flush=True); input()"
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ
        | {
            "PREFECT_HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT),
            PATIENCE: "120",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    assert "Starting a temporary" in run.stdout.readline()
    assert run.stdout.readline() == "up\n"
    (server,) = psutil.Process(run.pid).children()
    run.kill()
    run.communicate()
    assert psutil.wait_procs([server], timeout=10)[1] == []
