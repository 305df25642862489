"""The address of a Prefect server: whether it is one, and whether something listens there."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from stages.core.errors import UserError

USUAL = "http://127.0.0.1:4200/api"
_PATIENCE = 5.0
"""Seconds until a port counts as closed."""


def check_address(url: str | None) -> str | None:
    """The address as it was given.

    Raises:
        UserError: It is none.
    """
    if not url:
        return None
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole:
        raise UserError(f"PREFECT_API_URL={url!r} is no address of a server; it looks like {USUAL}")
    return url


def is_port_open(host: str, port: int) -> bool:
    """Whether something takes connections at a port."""
    try:
        with socket.create_connection((host, port), _PATIENCE):
            return True
    except OSError:
        return False
