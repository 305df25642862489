"""A headless Chromium, driven by its DevTools protocol."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

_FLAGS = [
    f"--{flag}"
    for flag in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-dev-shm-usage",
        "remote-debugging-port=0",
    )
]
_PATIENCE = 10.0
_KEYS = {"Enter": ("\r", 13), "Escape": ("", 27), "ArrowRight": ("", 39), " ": (" ", 32)}


class Page:
    """One tab."""

    def __init__(self, address: str, socket: ClientConnection) -> None:
        self._socket, self._number = socket, 0
        self.call("Page.enable")
        self.open(address)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its result; a question whether to leave the page is answered by yes."""
        self._number += 1
        wanted = self._number
        self._socket.send(json.dumps({"id": wanted, "method": method, "params": params}))
        while True:
            told = json.loads(self._socket.recv(_PATIENCE))
            if told.get("method") == "Page.javascriptDialogOpening":
                self._socket.send(
                    json.dumps({"id": -1, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}})
                )
            if told.get("id") == wanted:
                assert "error" not in told, told
                return dict(told["result"])

    def open(self, address: str) -> None:
        """Go to an address and wait until it is there."""
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + _PATIENCE
        while not self.run(f"Boolean({script})"):
            assert time.monotonic() < end, f"never true: {script}; said: {self.run('document.body.innerText')[:600]}"
            time.sleep(0.03)

    def press(self, *keys: str, control: bool = False) -> None:
        """Press keys one after the other; a key of one letter types it."""
        for key in keys:
            text, code = _KEYS[key] if key in _KEYS else (key, ord(key.upper()))
            pressed = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 2 if control else 0}
            shown = {"text": text} if text and not control else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", **pressed, **shown)
            self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def resize(self, width: int, height: int) -> None:
        """Make the window as large as that."""
        size = {"width": width, "height": height}
        self.call("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1, mobile=width < 500)

    def shoot(self, path: Path, width: int, height: int) -> None:
        """Save a picture of a window of some size."""
        self.resize(width, height)
        time.sleep(0.8)  # Pictures come as they are seen.
        path.write_bytes(b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def open_page(address: str) -> Iterator[Page]:
    """A tab of a new browser; skips the test where there is no Chromium."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not program:
        pytest.skip("no chromium here: install it, or name it in the variable CHROMIUM")
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = subprocess.Popen(
            [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with connect(_find_tab(Path(profile) / "DevToolsActivePort"), max_size=None) as socket:
                yield Page(address, socket)
        finally:
            browser.terminate()
            browser.wait(_PATIENCE)


def _find_tab(told: Path) -> str:
    end = time.monotonic() + 2 * _PATIENCE
    while not (told.is_file() and told.read_text().strip()):
        assert time.monotonic() < end, "chromium does not start"
        time.sleep(0.05)
    port = told.read_text().split()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        return next(tab["webSocketDebuggerUrl"] for tab in json.load(answer) if tab["type"] == "page")
