"""What a run says of a Prefect server that is not there, does not let it in, or does not keep up."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.project.rooms import ROOT
from tests.project.server import free_port, prefect_server

pytestmark = pytest.mark.slow


class Overloaded(BaseHTTPRequestHandler):
    """Answers as a proxy does whose server does not keep up."""

    def do_POST(self) -> None:
        self.send_error(503)

    do_GET = do_POST


@pytest.fixture
def overloaded() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Overloaded) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


@pytest.fixture
def project(project: Path) -> Path:
    (project / "params.yaml").write_text("{}\n")
    (project / "dvc.yaml").write_text("stages: {one: {cmd: touch one, outs: [one]}}\n")
    return project


def told_by_run(url: str, *command: str) -> str:
    """What `luss` says when it refuses to run, without a traceback."""
    settings = {"PREFECT_API_URL": url, "PREFECT_CLIENT_MAX_RETRIES": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "flows", *command],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("one").exists()
    return done.stderr


def test_one_that_never_answered_is_named(project: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    assert f"no Prefect server answers at {url}" in told_by_run(url, "run")


@pytest.mark.parametrize("command", ["run", "serve"])
def test_one_that_does_not_keep_up_is_named(project: Path, overloaded: str, command: str) -> None:
    assert f"the Prefect server at {overloaded} answered 503 Service Unavailable" in told_by_run(overloaded, command)


def test_one_that_wants_a_password_is_named(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "someone:secret")
    with prefect_server(tmp_path_factory.mktemp("server")) as (url, _):
        told = told_by_run(url, "run")
    assert f"the Prefect server at {url} answered 401 Unauthorized: set PREFECT_API_AUTH_STRING" in told
