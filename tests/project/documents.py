"""What the project's pages say: their commands, links and paths, so that tests can hold them against the project."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.project.rooms import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

_ENVIRONMENT = re.compile(r"^\w+=")
_JOINTS = {"&&", "||", ";", "|", ">", ">>"}


def blocks(text: str) -> list[str]:
    """The shell blocks of a page, without their indentation."""
    found = re.findall(r"^( *)```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return ["\n".join(line.removeprefix(indent) for line in block.splitlines()) for indent, block in found]


def runnable(text: str) -> list[str]:
    """The shell blocks that are marked runnable."""
    return re.findall(r"<!-- runnable -->\n```sh\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> Iterator[list[str]]:
    """Every command of a page's shell blocks and of its words in backticks, as the shell would divide it."""
    lines = [line for block in blocks(text) for line in block.splitlines() if line]
    spoken = re.findall(r"`((?:luss|dvc|python -m) [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in [*lines, *(re.sub(r"\s+", " ", words) for words in spoken)]:
        yield from split_command(line)


def split_command(line: str) -> Iterator[list[str]]:
    """Divide a line at `&&` and its like; variables that are set before a command are left out."""
    command: list[str] = []
    for word in [*shlex.split(line.rstrip("\\"), comments=True), ";"]:
        if word in _JOINTS:
            if command:
                yield command
            command = []
        elif command or not _ENVIRONMENT.match(word):
            command.append(Path(word).name if not command else word)


def links(text: str) -> list[str]:
    """Links and pictures that lead into the project."""
    return [target.partition("#")[0] for target in re.findall(r"\]\(((?!https?:|#)[^)\s]+)\)", text)]


def paths(text: str) -> set[str]:
    """Files and folders of code that a page names in full; none with a placeholder such as `<name>`."""
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return set(re.findall(r"`((?:stages|flows|tests)/[\w/.-]+)`", outside))
