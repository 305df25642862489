"""Checks that the Prefect server of a run answers and accepts it, and copes with a server that disappears."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn
from urllib.parse import urlsplit

from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL

from flows.server.address import USUAL, check_address, is_port_open
from flows.server.heartbeat import mark_dead_runs
from flows.server.temporary import start_temporary_server, temporary_address
from stages.core.errors import UserError

_LOCKED = (401, 403)
_BUSY = (429, 502, 503, 504)
_LOUD = ("prefect.events", "prefect.client", "prefect._internal")


def server_answers() -> bool:
    """Whether the Prefect server takes connections: the one that is set, else the temporary one.

    Asks for no more than a connection: a call to a server that is gone waits a minute before it fails.
    """
    url = urlsplit(PREFECT_API_URL.value() or temporary_address())
    return is_port_open(url.hostname or "", url.port or _default_port(url.scheme))


def prepare_server(is_needed: bool = False) -> None:
    """Check the Prefect server that is set, or start a temporary one where none is set.

    Args:
        is_needed: Whether a temporary one will not do.

    Raises:
        UserError: It does not answer or does not let this run in, or none is set and one is needed or cannot start.
    """
    url = check_address(PREFECT_API_URL.value())
    if url is None and not is_needed:
        return start_temporary_server()
    if url is None or not server_answers():
        found = f"no Prefect server answers at {url}" if url else "no Prefect server is set"
        raise UserError(f"{found}: prefect server start --background; prefect config set PREFECT_API_URL={USUAL}")
    with explain_server_refusal():
        mark_dead_runs()


@contextmanager
def explain_server_refusal() -> Iterator[None]:
    """Turn a server's refusal, for want of a key or because it is too busy, into one message.

    Raises:
        UserError: It is so.
    """
    try:
        yield
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        if status in _LOCKED:
            todo = "set PREFECT_API_AUTH_STRING or PREFECT_API_KEY to what it asks for"
        elif status in _BUSY:
            todo = "it is too busy or broken; see its log, then run the same command again"
        else:
            raise
        raise UserError(
            f"the Prefect server at {PREFECT_API_URL.value()} answered {status} {error.response.reason_phrase}: {todo}"
        ) from None


def is_server_temporary() -> bool:
    """Whether this process's server is the temporary one, which ends with it and does not come back."""
    return not PREFECT_API_URL.value()


def silence_prefect(*loggers: str) -> None:
    """Silence Prefect's log, and these loggers: once its server is gone it repeats a traceback at every event."""
    logging.raiseExceptions = False
    for name in (*_LOUD, *loggers):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def exit_now(status: int) -> NoReturn:
    """End this process now: Prefect would first try for minutes to hand its last events to the server that is gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
