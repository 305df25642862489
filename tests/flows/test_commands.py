"""The command line: what it loads, and what it says to mistakes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.rooms import ROOT

SLOW = ("torch", "prefect", "dvc", "omegaconf", "pyarrow", "numpy")


def luss(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from flows.cli.app import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What a fresh clone has, without data."""
    for file in ("dvc.yaml", "params.yaml", "data.dvc"):
        shutil.copy(ROOT / file, tmp_path)
    shutil.copytree(ROOT / ".dvc", tmp_path / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def test_it_starts_without_slow_libraries() -> None:
    code = f"import sys, flows.__main__; print([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_lists_the_commands(tmp_path: Path) -> None:
    told = luss(tmp_path, "--help").stdout
    for command in ("demo", "sample", "use", "run", "doctor", "predict", "score", "submit", "weights", "data"):
        assert f" {command} " in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["use", "swaw", "sample"], "did you mean 'swav'?"),
        (["use", "swav", "sample", "saliency.method=rc"], "a method is never changed alone"),
        (["weights", "nowhere.pth"], "nowhere.pth: no such file of weights"),
        (["weights", "get", "vit_small"], "vit_small: no such weights; close names: vit_small_patch"),
        (["data", "link", "nowhere"], "nowhere: no such folder; name the one that holds the photographs"),
        (["predict", "--images", "nowhere", "--out", "there"], "nowhere: no such folder"),
    ],
)
def test_a_mistake_ends_in_one_message(project: Path, arguments: list[str], message: str) -> None:
    done = luss(project, *arguments)
    assert done.returncode == 1
    assert done.stdout.startswith("luss: ")
    assert message in done.stdout
    assert "Traceback" not in done.stdout


def test_the_demo_outside_a_project_says_so(tmp_path: Path) -> None:
    done = luss(tmp_path, "demo")
    assert (done.returncode, done.stdout.partition(":")[0]) == (1, "luss")
    assert "not the root folder of the project" in done.stdout


def test_the_demo_draws_no_sample_for_another_data_set(project: Path) -> None:
    assert luss(project, "use", "swav", "folder").returncode == 0
    done = luss(project, "demo")
    assert done.returncode == 1
    assert "put photographs into data/" in done.stdout
    assert not (project / "data").exists()


def test_use_writes_params_and_says_what_changed(project: Path) -> None:
    done = luss(project, "use", "luss", "sample", "cluster.k=11")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Changed: cluster. Run it with: dvc repro")


def test_the_sample_is_what_data_dvc_says(project: Path) -> None:
    before = (project / "data.dvc").read_text()
    assert luss(project, "sample").returncode == 0
    assert (project / "data.dvc").read_text() == before
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "data.dvc"], cwd=project, capture_output=True, text=True, check=True
    )
    assert status.stdout.strip() == "Data and pipelines are up to date."


def test_without_data_dvc_names_what_is_missing(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "missing data 'source': data" in done.stdout + done.stderr
