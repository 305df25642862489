"""Views are decided by seed, epoch and photograph alone; batches go on where they stopped; maps move with images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from stages.core.artifacts.image_index import Photo, read_photo
from stages.core.artifacts.label_maps import LabelMap, open_label_maps, write_label_maps
from stages.core.config.views import CropConfig, MultiCropConfig
from stages.core.image_files import read_image
from stages.core.images.crops import Window, crop_and_resize
from stages.core.images.dataset import Batch, EpochBatches, ViewDataset, augment_batch, load_batches, steps_per_epoch
from tests.fabricate import fabricate_images, index_again

SPEC = MultiCropConfig(
    crops=(CropConfig(count=2, size=16, scale=(0.3, 1.0)), CropConfig(count=1, size=8, scale=(0.05, 0.3)))
)
CPU = torch.device("cpu")


def batches_of(count: int, batch_size: int, iterations: range, seed: int = 0) -> list[list[tuple[int, int]]]:
    return list(EpochBatches(count, batch_size, seed, iterations))


def load(dataset: ViewDataset, batches: EpochBatches) -> Iterator[Batch]:
    for raw in load_batches(dataset, batches, CPU):
        yield augment_batch(raw, SPEC, CPU)


def test_every_photograph_is_seen_once_per_epoch_in_another_order() -> None:
    batches = batches_of(12, 4, range(9))
    epochs = [[position for batch in batches[start : start + 3] for _, position in batch] for start in (0, 3, 6)]
    for number, epoch in enumerate(epochs):
        assert sorted(epoch) == list(range(12))
        assert {key for batch in batches[3 * number : 3 * number + 3] for key, _ in batch} == {number}
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_a_rest_is_left_to_other_epochs() -> None:
    batches = batches_of(10, 4, range(40))
    assert all(len(batch) == 4 for batch in batches)
    for start in range(0, 40, 2):
        epoch = [position for batch in batches[start : start + 2] for _, position in batch]
        assert len(set(epoch)) == 8
    assert {position for batch in batches for _, position in batch} == set(range(10))


def test_fewer_photographs_than_a_batch_are_one_batch() -> None:
    assert steps_per_epoch(3, 8) == 1
    assert [sorted(position for _, position in batch) for batch in batches_of(3, 8, range(2))] == [[0, 1, 2]] * 2


@pytest.mark.parametrize("start", [0, 1, 4, 5, 8])
def test_a_resume_sees_the_batches_that_were_left(start: int) -> None:
    assert batches_of(13, 3, range(start, 9)) == batches_of(13, 3, range(9))[start:]
    assert len(EpochBatches(13, 3, 0, range(start, 9))) == 9 - start


def test_another_seed_is_another_order() -> None:
    assert batches_of(13, 3, range(4)) != batches_of(13, 3, range(4), seed=1)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_views_do_not_depend_on_the_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = ViewDataset(fabricate_images(6), SPEC, {}, seed=3)
    seen = []
    for workers in ("1", "3"):
        monkeypatch.setenv("LUSS_WORKERS", workers)
        seen.append(list(load(dataset, EpochBatches(6, 2, 3, range(3)))))
    for alone, helped in zip(*seen, strict=True):
        assert torch.equal(alone.positions, helped.positions)
        assert torch.equal(alone.windows, helped.windows)
        assert all(map(torch.equal, alone.views, helped.views))


def test_views_are_decided_by_seed_epoch_and_photograph() -> None:
    index = fabricate_images(6)

    def pixels(seed: int, epoch: int, position: int) -> bytes:
        return np.concatenate(
            [view.ravel() for view in ViewDataset(index, SPEC, {}, seed)[epoch, position]["pixels"]]
        ).tobytes()

    assert pixels(0, 1, 2) == pixels(0, 1, 2)
    assert len({pixels(0, 1, 2), pixels(0, 2, 2), pixels(1, 1, 2), pixels(0, 1, 3)}) == 4


def test_a_loader_takes_nothing_from_torchs_random_numbers() -> None:
    dataset = ViewDataset(fabricate_images(4), SPEC, {}, seed=0)
    before = torch.get_rng_state()
    list(load(dataset, EpochBatches(4, 2, 0, range(2))))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_has_the_shapes_that_it_says() -> None:
    dataset = ViewDataset(fabricate_images(4, (20, 31)), SPEC, {}, seed=0)
    batch = next(load(dataset, EpochBatches(4, 4, 0, range(1))))
    assert [tuple(view.shape) for view in batch.views] == [(4, 3, 16, 16), (4, 3, 16, 16), (4, 3, 8, 8)]
    assert all(view.is_contiguous(memory_format=torch.channels_last) for view in batch.views)
    assert batch.windows.shape == (4, 3, 5)
    assert sorted(batch.positions.tolist()) == [0, 1, 2, 3]


def test_maps_are_cut_and_mirrored_as_the_photographs_are() -> None:
    """The maps are the photographs' red channels: after cutting both they must still be the same picture."""
    index = fabricate_images(6, (40, 40))
    smooth = np.kron(np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3)), np.ones((1, 10, 10, 1))).astype(np.uint8)
    for position, pixels in enumerate(smooth):
        Image.fromarray(pixels).save(f"data/{index[position].path}", compress_level=0)
    index = index_again(index)
    maps = [LabelMap(index.image_ids[n], 40, 40, pixels[..., 0]) for n, pixels in enumerate(smooth)]
    write_label_maps("saliency", "drawn", maps)
    plain = SPEC.model_copy(update={"photometric": None, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)})
    dataset = ViewDataset(index, plain, {"saliency": open_label_maps("saliency")}, seed=0)
    raw = next(iter(load_batches(dataset, EpochBatches(6, 6, 0, range(1)), CPU)))
    batch = augment_batch(raw, plain, CPU)
    assert 0 < batch.windows[:, :2, 4].mean() < 1, "some views are mirrored, some are not"
    for view, label in zip(batch.views[:2], batch.maps["saliency"][:2], strict=True):
        assert label.dtype == torch.int32
        apart = (view[:, 0] * 255 - label).abs()
        assert apart.median() < 1
        turned = (view[:, 0] * 255 - label.flip(-1)).abs()
        assert turned.median() > 20


def test_training_may_divide_by_other_deviations_than_what_comes_after_it() -> None:
    index = fabricate_images(4)
    plain = SPEC.model_copy(update={"photometric": None, "std": (0.2, 0.3, 0.4)})
    other = plain.model_copy(update={"training_std": (0.1, 0.3, 0.8)})
    batches = []
    for spec in (plain, other):
        raw = next(iter(load_batches(ViewDataset(index, spec, {}, 0), EpochBatches(4, 4, 0, range(1)), CPU)))
        batches.append(augment_batch(raw, spec, CPU).views[0])
    ratio = torch.tensor([2, 1, 0.5])[:, None, None]
    torch.testing.assert_close(batches[1], batches[0] * ratio)
    assert other.input_card.std == (0.2, 0.3, 0.4)


def test_windows_say_where_a_view_lies() -> None:
    """A gradient of the photograph's columns, seen through a view, gives the window back."""
    index = fabricate_images(4, (64, 64))
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (64, 64, 3))
    for position in range(4):
        Image.fromarray(np.ascontiguousarray(ramp)).save(f"data/{index[position].path}")
    index = index_again(index)
    assert read_image(f"data/{index[0].path}")[0, 10, 0] == 40
    plain = SPEC.model_copy(update={"photometric": None, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)})
    raw = next(iter(load_batches(ViewDataset(index, plain, {}, 0), EpochBatches(4, 4, 0, range(1)), CPU)))
    batch = augment_batch(raw, plain, CPU)
    for number in range(4):
        x, _, width, _, flip = batch.windows[number, 0].tolist()
        columns = batch.views[0][number, 0, 8] * 255 / 4 + 0.5
        centers = x + (torch.arange(16) + 0.5) * width / 16
        expected = centers.flip(0) if flip else centers
        torch.testing.assert_close(columns[2:-2], expected[2:-2], atol=0.6, rtol=0)


def test_large_photographs_are_decoded_no_larger_than_their_views_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views from a smaller decoding are those of the whole photograph, and their windows say where they lie."""
    index = fabricate_images(3, (403, 610))
    coarse = np.random.default_rng(0).integers(0, 256, (3, 7, 10, 3)).astype(np.uint8)
    for position in range(3):
        smooth = Image.fromarray(coarse[position]).resize((610, 403), Image.Resampling.BICUBIC)
        smooth.save(f"data/{index[position].path}", "JPEG", quality=95)
    index = index_again(index)
    spec = MultiCropConfig(crops=(CropConfig(count=2, size=32, scale=(0.14, 1.0)),), photometric=None)
    reductions: list[int] = []

    def reading(photo: Photo, reduction: int = 1) -> np.ndarray:
        reductions.append(reduction)
        return read_photo(photo, reduction)

    monkeypatch.setattr("stages.core.images.dataset.read_photo", reading)
    dataset = ViewDataset(index, spec, {}, seed=0)
    for key in ((epoch, position) for epoch in range(5) for position in range(3)):
        item = dataset[key]
        photo = index.read(key[1])
        for window, pixels in zip(item["windows"], item["pixels"], strict=True):
            expected = crop_and_resize(photo, Window(*window[:4].astype(int), bool(window[4])), 32)
            assert np.abs(pixels.astype(int) - expected).mean() < 2
    assert set(reductions) == {4, 8}
