"""The rule for files and folders."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.artifacts.shards import write_atomically
from stages.core.errors import UserError
from stages.core.files import image_id_of, list_files, name_fits, read_text, shorten_name, suffix_of


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=400))
def test_a_name_that_fits_is_kept_and_others_are_cut_apart(name: str) -> None:
    fitted = shorten_name(name, ".partial")
    assert name_fits(fitted)
    assert fitted.endswith(".partial")
    assert (fitted == f"{name}.partial") == name_fits(f"{name}.partial")
    assert shorten_name(f"{name}x", ".partial") != fitted


def test_a_file_of_the_longest_name_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 125 + ".json")
    write_atomically(path, b"{}")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"{}"


@pytest.mark.parametrize(
    ("path", "image_id", "suffix"),
    [("a/b.c.JPG", "a/b.c", ".jpg"), ("a.b/c", "a.b/c", ""), ("a.jpg.png", "a.jpg", ".png"), ("x/.png", "x/.png", "")],
)
def test_an_id_is_the_path_without_the_suffix(path: str, image_id: str, suffix: str) -> None:
    assert (image_id_of(path), suffix_of(path)) == (image_id, suffix)


def test_hidden_files_and_those_of_systems_are_left_out(tmp_path: Path) -> None:
    left_out = (".a/b", "._c", "Thumbs.db", "desktop.ini", "@eaDir/d", "__MACOSX/e", "lost+found/f", "$RECYCLE.BIN/g")
    for name in (*left_out, "z", "y/x", "y/Thumbs.db.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list_files(tmp_path) == ["y/Thumbs.db.png", "y/x", "z"]
    assert list_files(tmp_path / "gone") == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "latin-1"])
def test_a_text_in_another_encoding_is_refused(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("é".encode("utf-8-sig"))
    assert read_text(path) == "é"
    path.write_bytes("été".encode(encoding))
    with pytest.raises(UserError, match=f"^{path}: not a text in UTF-8"):
        read_text(path)
