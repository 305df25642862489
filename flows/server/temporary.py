"""A temporary Prefect server for a run without one: it starts and ends with the run, even if that is killed.

Prefect would start one by itself, but wait for minutes for one that cannot start, and then print its whole log.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
import time
from typing import IO

from flows.server.address import is_port_open
from flows.server.database import check_database, database_file
from stages.core.errors import UserError
from stages.core.parent import exit_with_parent

HOST = "127.0.0.1"

_UNPROXIED = "127.0.0.1,localhost"


def start_temporary_server() -> None:
    """Start the temporary server, unless it runs already; returns when it answers.

    Raises:
        UserError: It does not start; the message says why.
    """
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_SERVER_EPHEMERAL_ENABLED, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS

    if not PREFECT_SERVER_EPHEMERAL_ENABLED.value():
        raise UserError("no Prefect server is set, and temporary ones are switched off: set PREFECT_API_URL")
    check_database(database_file())
    # Prefect's own, so that it finds this one when it looks for one.
    server = SubprocessASGIServer()
    if server.running:
        return
    _leave_out_of_proxy()
    server.port = server.find_available_port()
    print(f"Starting a temporary Prefect server on {server.address} (no page to look at: docs/prefect.md)", flush=True)
    atexit.register(server.stop)
    with tempfile.TemporaryFile("w+") as log:
        server.server_process = _start(server.port, log)
        server.running = True
        _wait_for(server.port, server.server_process, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value(), log)


def temporary_address() -> str:
    """Where the temporary server of this process answers."""
    from prefect.server.api.server import SubprocessASGIServer

    return SubprocessASGIServer().address


def _start(port: int, log: IO[str]) -> subprocess.Popen[bytes]:
    from prefect.settings import get_current_settings

    told = get_current_settings().to_environment_variables(exclude_unset=True)
    # In a session of its own: Ctrl-C is for the run, which still has to tell the server about it.
    return subprocess.Popen(
        [sys.executable, "-m", __name__, str(port)],
        env={**os.environ, **told},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def _wait_for(port: int, process: subprocess.Popen[bytes], patience: float, log: IO[str]) -> None:
    deadline = time.monotonic() + patience
    while not is_port_open(HOST, port):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            log.seek(0)
            said = [line.strip() for line in log if line.strip()]
            state = "ended at once" if process.returncode is not None else f"does not answer after {patience:g} s"
            raise UserError(
                f"the temporary Prefect server {state} ({said[-1] if said else 'it said nothing'}); `dvc repro` runs "
                "without one, `prefect server start` shows its whole log"
            )
        time.sleep(0.05)


def _leave_out_of_proxy() -> None:
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), _UNPROXIED)))


def main() -> None:
    """Serve on the port given until the process that started this one has ended."""
    import uvicorn
    from prefect.server.api.server import create_app

    exit_with_parent()
    uvicorn.run(create_app(ephemeral=True, final=True), host=HOST, port=int(sys.argv[1]), log_level="error")


if __name__ == "__main__":
    main()
