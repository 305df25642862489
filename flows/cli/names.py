"""`luss names`: the page on which clusters are named, and what follows from it for the next run."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress

from stages.core.errors import UserError

HOST = "127.0.0.1"
USUAL_PORT = 8643
"""The same every time, so that a browser finds what was not saved."""


def serve_page(port: int, token: str = "") -> None:
    """Serve the page until Ctrl-C.

    Args:
        port: Where; 0 for the usual one, or any other if that is taken.
        token: First part of the address; by default a new one.

    Raises:
        UserError: There are no clusters, names.yaml has an error, or the port is taken.
    """
    import uvicorn

    from flows.naming.app import make_app
    from flows.naming.names_file import read_current

    _, warning = read_current()
    token = token or secrets.token_urlsafe(16)
    app = make_app(token)
    with _listen(port) as listener:
        if warning:
            print(warning, flush=True)
        print(f"Name the clusters at http://{HOST}:{listener.getsockname()[1]}/{token}/ (Ctrl-C ends it)", flush=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
        with suppress(KeyboardInterrupt):  # That is how it ends.
            server.run(sockets=[listener])


def _listen(port: int) -> socket.socket:
    for candidate in [port] if port else [USUAL_PORT, 0]:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, candidate))
            listener.listen()  # Until then another process may bind the same port, and only one of them can listen.
            return listener
        except OSError:
            listener.close()
    raise UserError(f"--port {port}: is taken; leave the option out to take any that is free")


def apply_names() -> list[str]:
    """Write what names.yaml merges, cuts and calls background into params.yaml.

    Returns:
        The sections that have changed.

    Raises:
        UserError: There is nothing to apply it to, the names are of other clusters, or a method cannot learn it.
    """
    from flows.naming.applying import categories_of
    from flows.recipes.setting import set_values

    return set_values([f"pseudolabel.categories={categories_of()}"])
