"""The map over photographs: killed, interrupted and resumed, in one process or several, the bytes are the same."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from stages.core.artifacts.image_index import Photo, read_images, write_images
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.errors import UserError
from stages.core.hashing import hash_files
from stages.core.image_files import UInt8
from stages.core.mapping import Batches, map_batches, map_photos
from stages.core.png_files import encode_png
from stages.core.processes import _RestoredOnce, map_in_processes
from tests.core.inverting import Inverting, main

COUNT = 130
"""Photographs: shards of 64, 64 and 2."""
OUT = Path("artifacts/saliency")


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUSS_WORKERS", "1")
    monkeypatch.delenv("LUSS_CHECKPOINTS", raising=False)
    write_numbered(COUNT)


def write_numbered(count: int) -> None:
    Path("data").mkdir(exist_ok=True)
    photos = []
    for number in range(count):
        data = encode_png(np.full((3, 5, 3), number, np.uint8))
        Path(f"data/{number:03d}.png").write_bytes(data)
        photos.append(Photo(f"{number:03d}", "train", f"{number:03d}.png", 3, 5, len(data), "0" * 64))
    write_images(photos, [], "folder")


def shard_hashes() -> dict[str, str]:
    return hash_files(sorted(OUT.iterdir()))


def start() -> "subprocess.Popen[str]":
    environment = {**os.environ, "LUSS_WORKERS": "2", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "tests.core.inverting"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def start_hanging() -> "tuple[subprocess.Popen[str], list[psutil.Process]]":
    """Start the stage in two processes and wait until both hang."""
    shutil.rmtree("hang", ignore_errors=True)
    Path("hang").mkdir()
    stage = start()
    deadline = time.monotonic() + 60
    while len(list(Path("hang").iterdir())) < 2:
        assert stage.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    children = psutil.Process(stage.pid).children(recursive=True)
    assert {path.name for path in Path("hang").iterdir()} <= {str(child.pid) for child in children}
    return stage, children


def finished_shards() -> list[Path]:
    return sorted(Path(".checkpoints").glob("saliency/*/part-*.parquet"))


def test_killed_interrupted_and_resumed_in_two_processes_equals_one_process_left_alone() -> None:
    main()
    alone = shard_hashes()
    assert [int(one.map[0, 0]) for one in open_label_maps("saliency")] == [255 - number for number in range(COUNT)]

    killed, children = start_hanging()
    killed.kill()
    killed.communicate()
    assert psutil.wait_procs(children, timeout=20)[1] == []
    [first] = finished_shards()
    first_inode = first.stat().st_ino

    interrupted, children = start_hanging()
    os.killpg(interrupted.pid, signal.SIGINT)
    message = interrupted.communicate(timeout=20)[1]
    assert interrupted.returncode == 130
    assert "interrupted" in message
    assert "Traceback" not in message
    assert psutil.wait_procs(children, timeout=20)[1] == []

    shutil.rmtree("hang")
    resumed = start()
    resumed.communicate(timeout=60)
    assert resumed.returncode == 0
    assert shard_hashes() == alone
    assert (OUT / first.name).stat().st_ino == first_inode
    assert finished_shards() == []


def test_checkpoints_may_lie_on_another_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    main()
    alone = shard_hashes()
    elsewhere = Path("/dev/shm")
    if elsewhere.is_dir() and elsewhere.stat().st_dev != Path.cwd().stat().st_dev:
        with tempfile.TemporaryDirectory(dir=elsewhere) as folder:
            monkeypatch.setenv("LUSS_CHECKPOINTS", folder)
            main()
    assert shard_hashes() == alone


def test_a_photograph_that_went_bad_is_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data/007.png").write_bytes(bytes(Path("data/007.png").stat().st_size))
    main()
    assert "skipped: data/007.png: not an image" in capsys.readouterr().err
    maps = open_label_maps("saliency")
    assert len(maps) == COUNT - 1
    assert "007" not in maps


def test_batches_leave_out_what_is_bad_and_shift_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def compute(images: Sequence[UInt8]) -> list[UInt8 | UserError]:
        assert len(images) <= 4
        return [UserError("odd") if image[0, 0, 0] == 9 else 255 - image[..., 0] for image in images]

    Path("data/007.png").write_bytes(bytes(Path("data/007.png").stat().st_size))
    map_batches("saliency", Inverting(), read_images(), Batches(compute, 4))
    told = capsys.readouterr().err
    assert "skipped: data/007.png: not an image" in told
    assert "skipped: 009: odd" in told
    found = {one.image_id: 255 - int(one.map[0, 0]) for one in open_label_maps("saliency")}
    assert found == {f"{number:03d}": number for number in range(COUNT) if number not in (7, 9)}


def test_a_photograph_of_another_size_than_indexed_is_refused() -> None:
    Path("data/007.png").write_bytes(b"another one")
    with pytest.raises(UserError, match=r"^data/007\.png: changed .* bytes then, 11 now\); run `dvc repro`"):
        main()
    assert not OUT.exists()


def test_no_photographs_give_no_maps() -> None:
    write_numbered(0)
    main()
    assert len(open_label_maps("saliency")) == 0


def test_other_photographs_never_take_over_unfinished_shards() -> None:
    def stop(photo: UInt8) -> UInt8:
        if photo[0, 0, 0] >= 64:
            raise KeyboardInterrupt
        return photo[..., 0]

    with pytest.raises(KeyboardInterrupt):
        map_photos("saliency", Inverting(), read_images(), stop)
    assert len(finished_shards()) == 1
    write_numbered(COUNT - 1)
    main()
    assert [int(one.map[0, 0]) for one in open_label_maps("saliency")] == [255 - number for number in range(COUNT - 1)]


def test_two_processes_never_work_on_the_same() -> None:
    def again(photo: UInt8) -> UInt8:
        with pytest.raises(UserError, match=rf"process {os.getpid()} .*'saliency' with the same parameters"):
            main()
        return photo[..., 0]

    write_numbered(1)
    map_photos("saliency", Inverting(), read_images(), again)


def test_a_worker_that_the_system_kills_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUSS_WORKERS", "2")
    with pytest.raises(UserError, match="one of 2 worker processes was ended from outside"):
        list(map_in_processes(os._exit, [1, 2, 3]))


def count_threads(_: object) -> list[int]:
    return [cv2.getNumThreads(), *(pool["num_threads"] for pool in threadpool_info())]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_worker_computes_on_one_thread(workers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUSS_WORKERS", workers)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        with threadpool_limits(2):
            told = [count for _, counts in map_in_processes(count_threads, [1, 2, 3]) for count in counts]
            assert set(told) == {1}
            assert set(count_threads(None)) == {2}, "and here it is as it was"
    finally:
        cv2.setNumThreads(threads)


def test_what_a_worker_raises_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUSS_WORKERS", "2")
    with pytest.raises(ZeroDivisionError):
        list(map_in_processes(partial(divmod, 1), [1, 0, 2]))


def test_a_process_restores_what_it_applies_once() -> None:
    """What would reach it with three items of one map, and one of another."""
    first, other = _RestoredOnce(partial(pow, 2)), _RestoredOnce(partial(pow, 3))
    a, b, c, d = (pickle.loads(pickle.dumps(each)) for each in (first, first, other, first))
    assert a is b
    assert len({id(each) for each in (a, c, d, first)}) == 4, "one is kept, not all there ever were"
    assert [each(4) for each in (a, c, d)] == [16, 81, 16]
