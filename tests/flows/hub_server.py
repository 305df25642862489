"""A server that speaks the Hugging Face hub's protocol for one file of one repository, and can go wrong as hubs do."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """`answer` says how it behaves: `well`, `gated`, `missing`, `busy`, `another file`, `breaks once`, `gives half`."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.answer = content, "well"
        self.asked: list[tuple[str, str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._respond(with_body=False)

    def do_GET(self) -> None:
        self._respond(with_body=True)

    def _respond(self, with_body: bool) -> None:
        hub, range_ = self.server, self.headers.get("Range")
        hub.asked.append((self.command, self.path, range_))
        if hub.answer in ("gated", "missing", "busy") or "/resolve/" not in self.path:
            return self._refuse(hub.answer)
        start = int(range_.removeprefix("bytes=").partition("-")[0]) if range_ else 0
        body = hub.content[start:]
        if hub.answer == "another file" and with_body:
            body = body[::-1]
        self.send_response(206 if range_ else 200)
        if range_:
            self.send_header("Content-Range", f"bytes {start}-{len(hub.content) - 1}/{len(hub.content)}")
        self.send_header("ETag", f'"{hashlib.sha256(hub.content).hexdigest()}"')
        self.send_header("X-Linked-Size", str(len(hub.content)))
        self.send_header("X-Repo-Commit", REVISION)
        promised = len(body)
        if hub.answer == "breaks once" and with_body:
            hub.answer, body = "well", body[: promised // 2]
        elif hub.answer == "gives half":
            body = body[: promised // 2]
            promised = len(body)
        self.send_header("Content-Length", str(promised))
        self.end_headers()
        if with_body:
            self.wfile.write(body)
        self.close_connection = True

    def _refuse(self, answer: str) -> None:
        status, code = {"gated": (403, "GatedRepo"), "busy": (429, "")}.get(answer, (404, "RepoNotFound"))
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def hub_of(content: bytes) -> Iterator[Hub]:
    hub = Hub(content)
    thread = threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
