"""The student: learns what its teachers agree on, goes on after an interruption, and maps photographs."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from stages.core.artifacts.image_index import Photo, read_images, write_images
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.images.decode import encode_png
from stages.saliency import distillation
from stages.saliency.distillation import Schedule, measure_loss, train_student
from stages.saliency.lessons import Lessons, follow_edges, teach
from stages.saliency.methods.distilled import Distilled

SIDE = 32
QUICK = Schedule(rounds=2, steps=6, batch_size=4, learning_rate=0.003, weight_decay=0.01, momentum=0.5, seed=1)


@pytest.fixture(autouse=True)
def _on_one_thread(monkeypatch):
    monkeypatch.setenv("LUSS_DEVICE", "cpu")
    monkeypatch.setenv("LUSS_PRECISION", "fp32")
    monkeypatch.setenv("LUSS_WORKERS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def draw_lessons(count, side=SIDE):
    """Bright discs on dark noise; targets in which every image holds a wrong blob elsewhere. And the true discs."""
    rng = np.random.default_rng(0)
    images, targets, discs = [], [], []
    for _ in range(count):
        disc, blob = (np.zeros((side, side), np.uint8) for _ in range(2))
        cv2.circle(disc, rng.integers(8, side - 8, 2).tolist(), 6, 255, -1)
        cv2.circle(blob, rng.integers(0, side, 2).tolist(), 5, 255, -1)
        noise = rng.integers(0, 90, (side, side, 3))
        images.append(np.where(disc[..., None] > 0, noise + 150, noise).astype(np.uint8))
        targets.append(np.maximum(disc // 2, blob // 2))
        discs.append(disc > 0)
    return Lessons(np.stack(images), np.stack(targets)), np.stack(discs)


def test_the_student_outgrows_the_noise_of_its_lessons(tmp_path):
    lessons, discs = draw_lessons(48)
    schedule = QUICK._replace(rounds=1, steps=60, batch_size=16, learning_rate=0.01)
    student = train_student(lessons, schedule, tmp_path).eval()
    with torch.inference_mode():
        scores = torch.sigmoid(student(distillation.normalize(torch.from_numpy(lessons.images)))).numpy()
    blobs = (lessons.targets > 0) & ~discs
    assert scores[discs].mean() > 2 * scores[blobs].mean(), "the lessons say the same of both"


def test_interrupted_and_resumed_ends_in_the_same_weights(tmp_path, monkeypatch):
    lessons, _ = draw_lessons(10)
    monkeypatch.setattr(distillation, "_CHECKPOINT_STEPS", 4)
    straight = train_student(lessons, QUICK, make(tmp_path / "straight")).state_dict()
    for stops_after in (5, 4):  # in the first round, then in the second
        calls = []

        def stop(logits, targets, calls=calls, stops_after=stops_after):
            calls.append(1)
            if len(calls) > stops_after:
                raise KeyboardInterrupt
            return measure_loss(logits, targets)

        with monkeypatch.context() as patch:
            patch.setattr(distillation, "measure_loss", stop)
            with pytest.raises(KeyboardInterrupt):
                train_student(lessons, QUICK, make(tmp_path / "resumed"))
    resumed = train_student(lessons, QUICK, tmp_path / "resumed").state_dict()
    for name, values in straight.items():
        torch.testing.assert_close(resumed[name], values, rtol=0, atol=0)


def make(folder):
    folder.mkdir(exist_ok=True)
    return folder


def test_the_loss_is_least_at_the_targets_and_finite_without_any_object():
    targets = torch.zeros(2, 8, 8)
    targets[0, 2:5, 2:5] = 1
    right = torch.where(targets > 0, 9.0, -9.0)
    assert measure_loss(right, targets) < measure_loss(torch.zeros_like(right), targets) < measure_loss(-right, targets)
    assert torch.isfinite(measure_loss(torch.full((1, 8, 8), -50.0), torch.zeros(1, 8, 8)))


def test_the_teachers_agree_on_an_object_and_edges_sharpen_it():
    rng = np.random.default_rng(0)
    image = rng.integers(80, 120, (120, 160, 3)).astype(np.uint8)
    disc = cv2.circle(np.zeros((120, 160), np.uint8), (75, 62), 26, 1, -1) > 0
    image[disc] = (210, 40, 30)
    saliency = teach(image)
    assert saliency[disc].mean() > 0.8 > 0.2 > saliency[~disc].mean()
    blurred = cv2.GaussianBlur(disc.astype(np.float32), (0, 0), 6)
    inner, outer = (change(disc.astype(np.uint8), np.ones((5, 5))) > 0 for change in (cv2.erode, cv2.dilate))
    steps = [
        soft[disc & ~inner].mean() - soft[outer & ~disc].mean() for soft in (blurred, follow_edges(blurred, image))
    ]
    assert steps[1] > 2 * steps[0]


def test_maps_of_a_folder_of_photographs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUSS_CHECKPOINTS", raising=False)
    Path("data").mkdir()
    photos = []
    for number in range(6):
        height, width = ((40, 60), (60, 40))[number % 2]
        pixels = np.full((height, width, 3), 90, np.uint8)
        cv2.circle(pixels, (width // 2, height // 2), 4 + 2 * number, (200, 30 * number, 20), -1)
        data = encode_png(pixels)
        Path(f"data/{number}.png").write_bytes(data)
        split = "test" if number == 5 else "train"
        photos.append(Photo(str(number), split, f"{number}.png", height, width, len(data), "0" * 64))
    write_images(photos, [], "folder")
    config = Distilled(side=32, rounds=2, steps=3, batch_size=4)
    config.write_maps(read_images())
    first = {row.image_id: row.map for row in open_label_maps("saliency")}
    assert [first[str(number)].shape for number in range(6)] == [(40, 60), (60, 40)] * 3
    assert not list(Path(".checkpoints").rglob("*.pt")), "finished work is removed"
    trained = config.train(read_images(), make(Path("work")))
    again = pickle.loads(pickle.dumps(trained))
    for number in range(6):
        np.testing.assert_array_equal(again.compute(read_images().read(number)), first[str(number)])
    assert np.isfinite(trained.score(np.zeros((1, 1, 3), np.uint8))).all()
