"""A clone of the project to run things in: the working tree's files, a commit of their own, 24 drawn photographs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from tests.project.rooms import ROOT

TINY = ("tests/project/tiny/method.yaml", "tests/project/tiny/dataset.yaml")
IMAGES = {"train": 4, "validation": 2, "test": 2}
"""Per category."""
CATEGORIES = ("disc", "frame", "stripes")
SIZE = 48
FOLDERS = ("data", "artifacts")
"""What DVC keeps."""

_SAID = {
    "ran": re.compile(r"^Running stage '(\w+)'", re.MULTILINE),
    "unchanged": re.compile(r"^Stage '(\w+)' didn't change", re.MULTILINE),
    "restored": re.compile(r"^Stage '(\w+)' is cached - skipping run", re.MULTILINE),
}


class Workspace:
    """A clone in `path`, with commands run as a user would run them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        copy_project(path)
        draw_data(path / "data")
        self.git("init", "-q")
        self.commit("start")

    @property
    def environment(self) -> dict[str, str]:
        """The clone's code with this interpreter, and nothing of the project under test."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LUSS_", "DVC_", "PYTEST"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        alone = {"LUSS_WORKERS": "1", "OMP_NUM_THREADS": "1"}
        return {**kept, **alone, "PATH": path, "PYTHONPATH": "", "COLUMNS": "120"}

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
        return subprocess.run(
            ["git", *identity, *arguments], cwd=self.path, check=True, capture_output=True, text=True
        ).stdout

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        for folder in FOLDERS:
            replace(self.path / folder, self._kept / folder)

    def restore(self) -> None:
        """Bring parameters, lock, data and artifacts back to what was committed last, as `dvc checkout` would."""
        self.git("reset", "-q", "--hard")
        for folder in FOLDERS:
            replace(self._kept / folder, self.path / folder)

    def check_out(self) -> None:
        """Bring back the same by DVC."""
        self.git("reset", "-q", "--hard")
        done = self.run("-m", "dvc", "checkout", "--force", "--quiet")
        assert done.returncode == 0, done.stdout

    @property
    def _kept(self) -> Path:
        return self.path.with_name(f"{self.path.name}-kept")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run `python COMMAND`; stdout holds stderr too."""
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    @contextmanager
    def start(self, *command: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        """Start `python COMMAND`; gives the process and the file that its output goes to."""
        log = self.path / ".checkpoints" / "log"
        log.parent.mkdir(exist_ok=True)
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=self.path, env=self.environment, stdout=out, stderr=out
            )
        try:
            yield process, log
        finally:
            process.kill()
            process.wait()

    def use(self, *values: str) -> None:
        done = self.run("-m", "flows", "use", *TINY, *values)
        assert done.returncode == 0, done.stdout

    def repro(self, *arguments: str) -> dict[str, str]:
        """What `dvc repro` did with each stage: `ran`, `unchanged` or `restored`."""
        done = self.run("-m", "dvc", "repro", *arguments)
        assert done.returncode == 0, done.stdout
        return {stage: what for what, pattern in _SAID.items() for stage in pattern.findall(done.stdout)}

    def changed(self) -> set[str]:
        """The stages that `dvc status` says have changed, or whose inputs have."""
        done = self.run("-m", "dvc", "status", "--json")
        assert done.returncode == 0, done.stdout
        return set(json.loads(done.stdout.strip().splitlines()[-1]))

    def lock(self) -> dict[str, Any]:
        """The stages of dvc.lock."""
        stages: dict[str, Any] = yaml.safe_load((self.path / "dvc.lock").read_text())["stages"]
        return stages

    def outs(self) -> dict[str, dict[str, str]]:
        """Hash of every out by stage."""
        return {stage: {out["path"]: out["md5"] for out in entry["outs"]} for stage, entry in self.lock().items()}

    def set_section(self, stage: str, values: dict[str, Any]) -> None:
        """Write another section into params.yaml."""
        path = self.path / "params.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), stage: values}, sort_keys=False))

    def section(self, stage: str) -> dict[str, Any]:
        values: dict[str, Any] = yaml.safe_load((self.path / "params.yaml").read_text())[stage]
        return values


def replace(source: Path, target: Path) -> None:
    """Copy a folder over another one, with the times of its files."""
    shutil.rmtree(target, ignore_errors=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)


def copy_project(target: Path) -> None:
    """Copy every file that git knows or would take in, as it is in the working tree now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def draw_data(root: Path) -> None:
    """Draw the photographs and the masks of validation and test in the layout of ImageNet-S."""
    rng = np.random.default_rng(0)
    for split, count in IMAGES.items():
        for class_id, name in enumerate(CATEGORIES, start=1):
            for number in range(count):
                shape = draw_shape(name, rng)
                image = rng.integers(0, 60, (SIZE, SIZE, 3)) + 180 * shape[..., None] * rng.random(3)
                save(root / split / name / f"{name}_{number}.png", image)
                if split != "train":
                    mask = np.zeros((SIZE, SIZE, 3))
                    mask[..., 0] = class_id * shape
                    save(root / f"{split}-segmentation" / name / f"{name}_{number}.png", mask)


def draw_shape(name: str, rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] - rng.integers(18, 30, 2)[:, None, None]
    if name == "disc":
        return x**2 + y**2 < 14**2
    square = np.maximum(abs(x), abs(y))
    return (square < 15) & (square > 8) if name == "frame" else (square < 15) & (y % 6 < 3)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
