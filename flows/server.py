"""Whether the Prefect server still answers: a call to one that is gone waits a minute before it fails."""

from __future__ import annotations

import logging
import os
import socket
import sys
from typing import NoReturn
from urllib.parse import urlsplit

from prefect.settings import PREFECT_API_URL

from stages.core.errors import UserError

_USUAL = "http://127.0.0.1:4200/api"
_PATIENCE = 5.0
_LOUD = ("prefect.events.clients", "prefect.client")


def answers() -> bool:
    """Whether something listens where the server should be; a temporary server lives as long as the run."""
    url = urlsplit(PREFECT_API_URL.value() or "")
    if not url.hostname:
        return True
    try:
        with socket.create_connection((url.hostname, url.port or _default_port(url.scheme)), _PATIENCE):
            return True
    except OSError:
        return False


def check_server(is_needed: bool = False) -> None:
    """Make sure that a server that is set answers.

    Args:
        is_needed: Whether a temporary one will not do.

    Raises:
        UserError: It does not, or none is set and one is needed.
    """
    url = PREFECT_API_URL.value()
    if (is_needed and not url) or not answers():
        found = f"no Prefect server answers at {url}" if url else "no Prefect server is set"
        raise UserError(f"{found}: prefect server start --background; prefect config set PREFECT_API_URL={_USUAL}")


def hush() -> None:
    """Keep Prefect from repeating at every event, with a traceback, that its server is gone."""
    logging.raiseExceptions = False
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def leave(status: int) -> NoReturn:
    """End this process now: Prefect would first try for minutes to hand its last events to the server that is gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
