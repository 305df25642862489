"""`luss data link`, `unlink` and `check`: what they take, what they refuse, what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.doctor.photographs import check_photographs
from flows.workspace.linked_data import check_linked_data, compare_data, link_data, unlink_data
from stages.core.data_link import LINK, ROOT_VARIABLE, read_link, through_link
from stages.core.errors import UserError
from tests.project.environments import unprivileged
from tests.project.rooms import ROOT


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files outside of the current folder."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("LUSS_CHECKPOINTS", raising=False)
    monkeypatch.setenv(ROOT_VARIABLE, "")
    for name in ("a.jpg", "in/b.jpg", "in/c.jpg"):
        place = tmp_path / "root" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(name.encode())
    return tmp_path / "root"


def state(root: Path) -> dict[Path, tuple[int, ...]]:
    found = {path: path.stat() for path in (root, *root.rglob("*"))}
    return {path: (each.st_ino, each.st_mode, each.st_size, each.st_mtime_ns) for path, each in found.items()}


def test_the_link_file_says_root_and_counts_and_the_root_is_only_read(root: Path) -> None:
    before = state(root)
    made, replaced = link_data(Path("../root"))
    assert (made.root, made.files, made.bytes, replaced) == (str(root), 3, 21, None)
    assert os.listdir("data") == [LINK.name]
    assert LINK.stat().st_size < 1000
    assert state(root) == before
    assert link_data(root) == (made, made)
    check_linked_data()
    assert unlink_data() == made
    assert not Path("data").exists()
    assert state(root) == before


def test_what_differs_is_counted_and_named(root: Path) -> None:
    link_data(root)
    (root / "in/b.jpg").unlink()
    (root / "new.jpg").write_bytes(b"")
    (root / ".hidden").write_bytes(b"")
    os.utime(root / "a.jpg", (1, 1))
    found = compare_data()
    assert found is not None
    assert (found.added, found.missing, found.changed) == (["new.jpg"], ["in/b.jpg"], ["a.jpg"])
    with pytest.raises(UserError, match=r"1 added \(new.jpg\), 1 missing \(in/b.jpg\), 1 changed \(a.jpg\); take them"):
        check_linked_data()
    shutil.rmtree(".checkpoints")
    with pytest.raises(
        UserError, match="3 files of 21 bytes then, 3 of 13 now; take them as they are by `luss data link"
    ):
        check_linked_data()
    link_data(root)
    check_linked_data()


def test_a_file_written_again_with_equal_size_is_seen_here_and_on_another_root(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link_data(root)
    copy = Path(shutil.copytree(root, root.parent / "copy", copy_function=shutil.copyfile))
    monkeypatch.setenv(ROOT_VARIABLE, str(copy))
    check_linked_data()
    os.utime(copy / "a.jpg", (1, 1))
    with pytest.raises(UserError, match=rf"^{copy}: not as it was linked: 1 changed \(a.jpg\); make the copy"):
        check_linked_data()
    monkeypatch.setenv(ROOT_VARIABLE, "")
    check_linked_data()
    os.utime(root / "a.jpg", (1, 1))
    with pytest.raises(UserError, match=r"1 changed \(a.jpg\)"):
        check_linked_data()


def make_data(name: str) -> Path:
    Path("data", name).parent.mkdir(parents=True)
    Path("data", name).write_bytes(b"x")
    return Path("data", name).parent


def link_first(root: Path) -> Path:
    other = Path(shutil.copytree(root, root.parent / "other"))
    link_data(other)
    return root


def other_root(root: Path) -> Path:
    os.environ[ROOT_VARIABLE] = "/other"
    return root


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no such folder": (lambda root: root / "nowhere", r"/nowhere: no such folder; name the one that holds"),
    "a file": (lambda root: root / "a.jpg", r"/a.jpg: no such folder; name the one that holds"),
    "inside data": (
        lambda root: make_data("in/x.jpg"),
        r"data/in: lies in data/ of this project; link a folder outside",
    ),
    "the project": (lambda root: root.parent, r": holds this project itself; link the folder in it"),
    "empty": (
        lambda root: Path(shutil.copytree(root, root.parent / "e", ignore=lambda *_: os.listdir(root))),
        r"no files",
    ),
    "copies in data": (
        lambda root: (make_data("x.jpg"), root)[1],
        r"^data/ holds x.jpg already, .*: mv data data-was$",
    ),
    "two roots": (link_first, r"^two roots: .* leads to .*/other; end that link first .* set LUSS_DATA_ROOT=.*/root$"),
    "another variable": (other_root, r"^two roots: .*/root, and LUSS_DATA_ROOT=/other; unset LUSS_DATA_ROOT"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_linked_is_refused_in_one_line_and_nothing_changes(root: Path, case: str) -> None:
    prepare, said = BAD[case]
    given = prepare(root)
    before = read_link(), sorted(Path().rglob("*"))
    with pytest.raises(UserError, match=said) as caught:
        link_data(given)
    assert "\n" not in str(caught.value)
    assert (read_link(), sorted(Path().rglob("*"))) == before


def test_a_path_below_data_follows_the_link(root: Path) -> None:
    assert through_link(Path("data/in")) == Path("data/in")
    link_data(root)
    for given, place in (("data", root), ("data/in", root / "in"), ("database", Path("database")), ("/x", Path("/x"))):
        assert through_link(Path(given)) == place
    assert through_link(Path("data/in").absolute()) == root / "in"


def test_the_doctor_sees_what_is_linked(root: Path) -> None:
    assert check_photographs().found == "no data/ yet"
    link_data(root)
    assert check_photographs() == ("photographs", f"3 files stay in {root}", "", True)
    (root / "a.jpg").unlink()
    assert "1 missing (a.jpg); take them as they are by" in check_photographs().remedy
    root.rename(root.parent / "gone")
    assert "mount it" in check_photographs().remedy


def test_nothing_to_unlink(root: Path) -> None:
    with pytest.raises(UserError, match=r"^data/photographs.link: no such file"):
        unlink_data()


def luss(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*unprivileged(), sys.executable, "-m", "flows", "data", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment
    )


def test_the_commands_end_in_one_line_and_an_exit_status(root: Path) -> None:
    Path("dvc.yaml").touch()
    for folder in (".dvc", ".git"):
        Path(folder).mkdir()
    done = luss("link", str(root))
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0,
        f"data/ leads to {root}: 3 files, 0.0 MB, read there and never copied.",
    )
    assert "as they were linked" in luss("check").stdout
    root.chmod(0)
    try:
        done = luss("check")
    finally:
        root.chmod(0o755)
    assert done.returncode == 1
    assert done.stdout.startswith(
        f"luss: data/photographs.link: linked to {root}, which cannot be read (Permission denied)"
    )
    assert done.stdout.count("\n") == 1
    (root / "a.jpg").unlink()
    done = luss("check")
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)
    assert "1 missing (a.jpg)" in done.stdout
    done = luss("link", str(root), "my photographs")
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)
    assert done.stdout.startswith(f"luss: 2 roots: {root}, my photographs; data/ leads to one folder: link one that")
