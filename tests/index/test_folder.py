"""A plain folder of photographs, and what holds for every layout: order, workers, resuming, bad disks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.labels import read_labels
from stages.core.artifacts.shards import write_atomically
from stages.core.errors import UserError
from stages.core.hashing import hash_files
from stages.core.image_files import measure_image
from stages.index import reading
from tests.index.photographs import photograph, put, rejected, run


def hashes() -> dict[str, str]:
    return {f"{out}/{name}": digest for out in ("images", "labels") for name, digest in hash_files(files(out)).items()}


def files(out: str) -> list[Path]:
    return sorted(Path("artifacts/index", out).iterdir())


def test_flat_and_nested_photographs_all_belong_to_train() -> None:
    put("holiday.jpg", photograph(6, 4))
    put("2024/summer/Beach.PNG", photograph(5, 3, "PNG"))
    put("2024/b.c.TIFF", photograph(2, 2, "TIFF"))
    put(".hidden/x.jpg", photograph())
    put(".DS_Store", b"")
    run("folder")
    index, labels = read_images(), read_labels()
    assert index.image_ids == ["2024/b.c", "2024/summer/Beach", "holiday"]
    assert [(photo.split, photo.height, photo.width) for photo in map(index.__getitem__, range(3))] == [
        ("train", 2, 2),
        ("train", 3, 5),
        ("train", 4, 6),
    ]
    assert labels.classes == {}
    assert labels.mask_path("holiday") is labels.class_name("holiday") is None
    assert rejected("images") == rejected("labels") == {}


def test_one_line_tells_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    put("a.jpg", photograph())
    put("b.jpg", b"")
    run("folder")
    assert capsys.readouterr().out == (
        "index: train 1, validation 0, test 0 photographs, 0 masks\n"
        "index: 1 file cannot be used as photographs: see artifacts/index/images/rejected.csv\n"
    )


def test_no_data_at_all_is_explained() -> None:
    with pytest.raises(UserError, match=r"^data: no such folder; .*`luss sample`"):
        run("folder")
    Path("data").mkdir()
    with pytest.raises(
        UserError, match=r"(?s)^data: no usable photograph.*looked for anywhere below data/.*`luss sample`"
    ):
        run("folder")


def test_a_set_with_nothing_usable_names_the_first_reasons() -> None:
    for number in range(7):
        put(f"{number}.jpg", b"")
    with pytest.raises(UserError) as caught:
        run("folder")
    told = str(caught.value)
    assert "7 files cannot be used" in told
    assert told.count("empty file") == 5


def test_workers_and_the_age_of_files_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        put(f"{number}.jpg", photograph(3 + number, 4) if number != 4 else b"broken")
    run("folder")
    alone = hashes()
    monkeypatch.setattr(reading, "_CHUNK_FILES", 4)
    monkeypatch.setenv("LUSS_WORKERS", "2")
    os.utime("data/3.jpg", (0, 0))
    run("folder")
    assert hashes() == alone


def test_what_was_read_before_an_interrupt_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        put(f"{number}.jpg", photograph(3 + number, 4))
    run("folder")
    alone = hashes()
    looked_at = []

    def interrupted_at(stop: str) -> None:
        def measure(data: bytes, name: str) -> tuple[int, int]:
            if name == stop:
                raise KeyboardInterrupt
            looked_at.append(name)
            return measure_image(data, name)

        monkeypatch.setattr(reading, "measure_image", measure)

    monkeypatch.setattr(reading, "_CHUNK_FILES", 4)
    interrupted_at("data/9.jpg")
    with pytest.raises(KeyboardInterrupt):
        run("folder")
    assert len(looked_at) == 9
    interrupted_at("")
    run("folder")
    assert looked_at[9:] == ["data/8.jpg", "data/9.jpg"]
    assert hashes() == alone
    assert list(Path(".checkpoints/index").iterdir()) == []


def test_a_file_changed_after_an_interrupt_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def write_and_interrupt(path: Path, data: bytes) -> None:
        write_atomically(path, data)
        raise KeyboardInterrupt

    put("a.jpg", photograph(6, 4))
    with monkeypatch.context() as patch:
        patch.setattr(reading, "write_atomically", write_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            run("folder")
    put("a.jpg", photograph(9, 9))
    run("folder")
    assert read_images()[0].height == 9


def test_a_full_disk_is_a_message_and_the_next_run_goes_on() -> None:
    for number in range(40):
        put(f"{number:02d}.jpg", photograph())
    Path("params.yaml").write_text("index:\n  method: folder\n  limit: null\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}
    command = f"ulimit -f 2; exec {sys.executable} -m stages.index"
    full = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True)
    assert full.returncode == 1
    assert "a file may not grow this large here" in full.stderr
    assert "Traceback" not in full.stderr
    run("folder")
    assert len(read_images()) == 40
