"""What goes wrong between stages ends in a message and a non-zero exit, and the next `dvc repro` goes on from there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.project.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("end_to_end")]


@pytest.fixture
def spoilt(clone: Workspace) -> Iterator[Workspace]:
    """The finished clone, to be spoilt: afterwards DVC gives back what belongs there and finds nothing else to do."""
    yield clone
    clone.check_out()
    assert "ran" not in clone.repro().values()


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    for word in words:
        assert word in done.stdout, done.stdout


def test_a_typo_in_params(spoilt: Workspace) -> None:
    spoilt.set_section("cluster", {**spoilt.section("cluster"), "restart": 3})
    assert_refused(
        spoilt.run("-m", "dvc", "repro"), "section 'cluster'", "cluster.restart = 3", "did you mean 'restarts'?"
    )


def test_a_broken_shard(spoilt: Workspace) -> None:
    shard = next((spoilt.path / "artifacts/extract").glob("part-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:100])
    assert_refused(spoilt.run("-m", "stages.cluster"), str(shard.relative_to(spoilt.path)), "run `dvc repro`")


def test_a_shard_that_is_gone(spoilt: Workspace) -> None:
    shard = next((spoilt.path / "artifacts/extract").glob("part-*.parquet"))
    shard.unlink()
    assert_refused(spoilt.run("-m", "stages.cluster"), "artifacts/extract", "dvc repro extract")


@pytest.mark.parametrize(
    ("artifact", "file", "version", "reader"),
    [("attend", "manifest.json", "model/", "extract"), ("extract", "manifest.json", "features/", "cluster")],
)
def test_an_artifact_of_another_version(spoilt: Workspace, artifact: str, file: str, version: str, reader: str) -> None:
    path = spoilt.path / "artifacts" / artifact / file
    text = path.read_text()
    (now,) = set(re.findall(rf"{version}\d+", text))
    path.write_text(text.replace(now, f"{version}99"))
    assert_refused(spoilt.run("-m", f"stages.{reader}"), f"{version}99", now, f"artifacts/{artifact}")


def test_a_photograph_that_changed_behind_the_index(spoilt: Workspace) -> None:
    photo = next((spoilt.path / "data/train").rglob("*.png"))
    content = photo.read_bytes()
    photo.write_bytes(content + b"more")
    done = spoilt.run("-m", "stages.extract")
    photo.write_bytes(content)
    assert_refused(done, photo.name)


@pytest.mark.parametrize("stage", ["index", "pretrain", "extract", "predict", "evaluate"])
def test_a_full_disk(spoilt: Workspace, stage: str) -> None:
    """A limit on the size of files stands for it: writing fails half-way through."""
    limited = f"ulimit -f 1; exec {sys.executable} -m stages.{stage}"
    done = subprocess.run(
        ["bash", "-c", limited],
        cwd=spoilt.path,
        env=spoilt.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert_refused(done, f"{stage}: ")
