"""`luss set` keeps what was given before; `luss use` says what it takes back; mistakes get one line each."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner
from zc.lockfile import LockFile

from flows.cli.app import app
from flows.recipes.overrides import apply_overrides, check_overrides
from flows.recipes.setting import set_values
from flows.workspace.lock import workspace_lock
from stages.core.errors import UserError
from tests.project.rooms import ROOT


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "dvc.yaml", ".")
    luss("use", "swav", "sample", "pretrain.training.epochs=3")


def luss(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    if isinstance(done.exception, UserError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def value(key: str) -> object:
    found = yaml.safe_load(Path("params.yaml").read_text())
    for name in key.split("."):
        found = found[name]
    return found


def head() -> str:
    return Path("params.yaml").read_text().partition("\n")[0]


def test_earlier_values_stay() -> None:
    assert (
        luss("set", "cluster.k=20", "pretrain.training.seed=4")
        == "Changed: pretrain, cluster. Run it with: dvc repro\n"
    )
    luss("set", "cluster.k=30")
    assert (value("pretrain.training.epochs"), value("pretrain.training.seed"), value("cluster.k")) == (3, 4, 30)
    assert head().endswith("swav sample pretrain.training.epochs=3 cluster.k=30 pretrain.training.seed=4")
    luss("set", "shared.classes=7")
    assert (value("evaluate.overlays"), value("cluster.k")) == (24, 30)
    assert luss("set", "cluster.k=30") == "Nothing has changed.\n"


def test_what_was_edited_by_hand_stays() -> None:
    path = Path("params.yaml")
    path.write_text(path.read_text().replace("epochs: 3", "epochs: 5  # mine"))
    assert luss("set", "cluster.k=20") == "Changed: cluster. Run it with: dvc repro\n"
    assert (value("pretrain.training.epochs"), value("cluster.k")) == (5, 20)
    assert "# mine" in path.read_text()
    with pytest.raises(UserError, match=r"params.yaml was edited by hand, and stages no longer share"):
        set_values(["shared.classes=7"])


def test_use_says_what_it_takes_back() -> None:
    luss("set", "cluster.k=20")
    path = Path("params.yaml")
    path.write_text(path.read_text().replace("overlays: 24", "overlays: 9"))
    told = luss("use", "swav", "sample", "cluster.k=12")
    assert "Taken back: pretrain.training.epochs=3, evaluate.overlays=9. To keep them: luss set pretrain" in told
    assert "Taken back: cluster.k=12" in luss("use", "swav", "sample")
    assert "Taken back" not in luss("use", "swav", "sample")


def test_what_quick_gave_is_told_as_such_when_it_ends() -> None:
    luss("use", "swav", "folder", "--quick", "cluster.k=20")
    told = luss("use", "swav", "folder")
    assert "No longer --quick: on all photographs, at full size.\nTaken back: cluster.k=20. To keep" in told
    luss("use", "swav", "folder", "index.limit=300")
    assert "Taken back: index.limit=300. To keep" in luss("use", "swav", "folder")


def test_fewer_photographs_than_clusters_are_told_when_values_are_typed() -> None:
    told = "luss: cluster.k = 20: 9 photographs in data/ cannot form so many clusters; add photographs, or luss set"
    assert "cannot form" not in luss("set", "cluster.k=20")
    Path("data/train").mkdir(parents=True)
    for number in range(9):
        Path(f"data/train/{number}.jpg").touch()
    assert told in luss("set", "cluster.k=20")
    assert told in luss("use", "swav", "sample", "cluster.k=20")
    assert "cannot form" not in luss("set", "cluster.k=9")
    assert "cluster.k = 9: 5 photographs" in luss("use", "swav", "folder", "index.limit=5", "cluster.k=9")
    assert "cannot form" not in luss("use", "vice", "cityscapes27", "cluster.k=20"), "several vectors of each"


@pytest.mark.parametrize("text", ["a: [", "# Written by: luss use 'swav sample\na: 1\n", "no mapping", ""])
def test_a_broken_file_is_written_anew_by_use_and_refused_by_set(text: str) -> None:
    Path("params.yaml").write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml"):
        set_values(["cluster.k=3"])
    assert Path("params.yaml").read_text() == text
    assert "Wrote params.yaml" in luss("use", "swav", "sample")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("cluster.k", "'cluster.k': write section.field=value, e.g."),
        ("cluster.kk=3", r"(?s)cluster\.kk.*no such (key|field).*did you mean '(cluster\.)?k'"),
        ("clutser.k=3", "'clutser.k=3': no such (key|section).*did you mean 'cluster"),
        ("cluster.k=many", "cluster.k = 'many'"),
        ("pretrain.training.epoch=3", r"epoch.*did you mean '(pretrain\.training\.)?epochs'"),
    ],
)
def test_mistakes_are_named_by_set_and_by_run(given: str, said: str) -> None:
    before = Path("params.yaml").read_text()
    for change in (set_values, apply_overrides, check_overrides):
        with pytest.raises(UserError, match=said):
            change([given])
    assert Path("params.yaml").read_text() == before


def test_a_group_that_is_not_there_is_given_whole() -> None:
    with pytest.raises(UserError, match=r"evaluate.objects is null in params.yaml, with no fields; give"):
        check_overrides(["evaluate.objects.seeds=3"])


def test_method_and_data_set_in_the_wrong_order() -> None:
    with pytest.raises(UserError, match="sample is a data set and swav a method; the method comes first: luss use"):
        luss("use", "sample", "swav")


def test_weights_given_as_a_plain_name() -> None:
    with pytest.raises(
        UserError, match=r"pretrain.weights = 'net.pth': name the file as pretrain.weights.path=net.pth"
    ):
        luss("set", "pretrain.weights=net.pth")


def test_nothing_to_change() -> None:
    Path("params.yaml").unlink()
    with pytest.raises(UserError, match=r"params.yaml: no such file; write it with `luss use METHOD DATASET`"):
        set_values(["cluster.k=3"])


@pytest.mark.parametrize("words", [("use", "luss", "sample"), ("set", "cluster.k=4")], ids=["use", "set"])
def test_a_run_that_goes_on_keeps_its_values(words: tuple[str, ...]) -> None:
    """Of `luss run`, of a stage that `dvc repro` runs, and of DVC between two stages."""
    before, kept = Path("params.yaml").read_bytes(), Path(".dvc/tmp")
    with workspace_lock(), pytest.raises(UserError, match=rf"another run works in this folder \(process {os.getpid()}"):
        luss(*words)
    lock = kept / "rwlock"
    lock.write_text(json.dumps({"/a": {"write": {"pid": os.getpid(), "cmd": "dvc repro"}}}))
    with pytest.raises(
        UserError, match=rf"\(process {os.getpid()}: dvc repro\) and reads params.yaml .*nothing was changed"
    ):
        luss(*words)
    lock.write_text(json.dumps({"/a": {"read": [{"pid": 2**22 + 1, "cmd": "dvc repro"}]}}))
    with (
        contextlib.closing(LockFile(str(kept / "lock"))),
        pytest.raises(UserError, match=r"\(dvc\) and reads params.yaml"),
    ):
        luss(*words)
    assert Path("params.yaml").read_bytes() == before
    luss(*words)
    assert Path("params.yaml").read_bytes() != before
