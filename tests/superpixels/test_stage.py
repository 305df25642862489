"""The stage on a folder of photographs: killed and resumed, with any number of workers, with a broken file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from stages.core.artifacts.image_index import Photo, write_images
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.hashing import hash_files
from stages.core.png_files import encode_png
from stages.superpixels.methods.slic import SLICConfig

ROOT = Path(__file__).parents[2]
OUT = Path("artifacts/superpixels")


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUSS_CHECKPOINTS", raising=False)
    Path("params.yaml").write_text(yaml.safe_dump({"superpixels": SLICConfig().model_dump()}))


def write_photos(count):
    Path("data").mkdir()
    rng = np.random.default_rng(0)
    photos = []
    for number in range(count):
        pixels = cv2.resize(rng.integers(0, 256, (5, 6, 3)).astype(np.uint8), (90, 70))
        data = encode_png(pixels)
        Path(f"data/{number:03d}.png").write_bytes(data)
        photos.append(Photo(f"{number:03d}", "train", f"{number:03d}.png", 70, 90, len(data), "0" * 64))
    write_images(photos, [], "folder")


def start(workers=2):
    environment = {**os.environ, "LUSS_WORKERS": str(workers), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.superpixels"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process):
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 0, messages
    return messages, hash_files(sorted(OUT.iterdir()))


def test_killed_and_resumed_with_other_workers_gives_the_same_bytes():
    write_photos(300)
    _, undisturbed = finish(start(workers=1))
    process = start()
    while not list(Path(".checkpoints").rglob("part-*.parquet")):
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    messages, resumed = finish(start())
    assert resumed == undisturbed
    assert "[progress] 300/300" in messages
    assert not list(Path(".checkpoints").rglob("part-*.parquet"))


@pytest.mark.parametrize("workers", [1, 2])
def test_photographs_that_broke_since_are_named_and_the_others_of_their_shards_are_cut(workers):
    write_photos(70)
    broken = [Path(f"data/{number:03d}.png") for number in (3, 64, 69)]  # of both shards
    for path in broken:
        size = path.stat().st_size
        path.write_bytes(path.read_bytes()[: size // 2].ljust(size, b"x"))
    messages, _ = finish(start(workers))
    told = [line for line in messages.splitlines() if line.startswith("skipped: ")]
    assert [sum(str(path) in line for line in told) for path in broken] == [1, 1, 1]
    assert len(told) == 3
    left = [f"{number:03d}" for number in range(70) if number not in (3, 64, 69)]
    assert open_label_maps("superpixels").image_ids == left


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_disk_leaves_no_part_of_a_shard_and_the_next_run_ends_well(workers):
    write_photos(70)
    limited = ["-c", f"ulimit -f 12 && exec {sys.executable} -m stages.superpixels"]
    environment = {**os.environ, "LUSS_WORKERS": workers, "PYTHONPATH": str(ROOT)}
    full = subprocess.run(["sh", *limited], env=environment, capture_output=True, text=True, check=False)
    assert full.returncode == 1
    assert "ulimit -f" in full.stderr
    assert "Traceback" not in full.stderr
    assert not [path for path in Path().rglob("*.parquet*") if "index" not in path.parts]
    finish(start(workers=1))
    assert len(open_label_maps("superpixels")) == 70


def test_none_writes_an_empty_table():
    write_photos(2)
    Path("params.yaml").write_text("superpixels: {method: none}")
    finish(start(workers=1))
    assert len(open_label_maps("superpixels")) == 0
