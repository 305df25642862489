"""The built-in sample: its bytes, its layout, and that nothing simple tells its categories apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans

from flows.sample import FINGERPRINT, SPLITS, fingerprint, set_aside, write_sample
from flows.sample.__main__ import main
from flows.sample.draws import cosine, sine
from flows.sample.figures import CATEGORIES
from stages.core.errors import UserError

NAMES = [category.name for category in CATEGORIES]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample") / "data"
    write_sample(root)
    return root


def _read(path: Path) -> NDArray[np.int64]:
    with Image.open(path) as image:
        return np.asarray(image, dtype=np.int64)


def _masks(root: Path) -> dict[str, NDArray[np.int64]]:
    colors = {f"{path.parts[-3]}/{path.stem}": _read(path) for path in sorted(root.glob("*-segmentation/*/*.png"))}
    return {name: color[..., 0] + 256 * color[..., 1] for name, color in colors.items()}


def test_has_the_recorded_bytes(sample: Path) -> None:
    assert fingerprint(sample) == FINGERPRINT
    assert sum(file.stat().st_size for file in sample.rglob("*.png")) < 40e6


def test_is_laid_out_as_imagenet_s(sample: Path) -> None:
    folders = {*SPLITS, "validation-segmentation", "test-segmentation"}
    assert {path.name for path in sample.iterdir()} == folders
    for folder in folders:
        categories = sorted(sample.joinpath(folder).iterdir())
        assert [category.name for category in categories] == sorted(NAMES)
        assert {len(list(category.iterdir())) for category in categories} == {SPLITS[folder.split("-")[0]]}
        assert {_read(path).shape for category in categories for path in category.iterdir()} == {(96, 96, 3)}


def test_masks_hold_the_ids_of_the_sorted_categories(sample: Path) -> None:
    masks = _masks(sample)
    assert {int(value) for mask in masks.values() for value in np.unique(mask)} == {*range(11), 1000}
    for name, mask in masks.items():
        own = sorted(NAMES).index(name.split("/")[1].rsplit("_", 1)[0]) + 1
        counts = np.bincount(mask[(mask > 0) & (mask < 1000)], minlength=11)
        assert counts.argmax() == own, f"{name}: the category of its folder is not the largest"
    several = [np.unique(mask[(mask > 0) & (mask < 1000)]).size > 1 for mask in masks.values()]
    assert 0.03 < np.mean(several) < 0.2
    assert 0.2 < np.mean([(mask == 1000).any() for mask in masks.values()]) < 0.6


def test_ignore_bands_are_narrow(sample: Path) -> None:
    for mask in _masks(sample).values():
        ignored = np.pad(mask == 1000, 1)
        thick = np.lib.stride_tricks.sliding_window_view(ignored, (6, 6)).all(axis=(2, 3))
        assert not thick.any()


def test_objects_come_in_all_four_sizes(sample: Path) -> None:
    shares = [float(((mask > 0) & (mask < 1000)).mean()) for mask in _masks(sample).values()]
    counts = np.histogram(shares, [0, 0.05, 0.25, 0.5, 1])[0]
    assert counts.min() >= 4
    assert counts[1:3].sum() > len(shares) / 2


def test_color_does_not_tell_the_categories_apart(sample: Path) -> None:
    files = sorted(sample.glob("train/*/*.png"))
    images = np.stack([_read(file) for file in files])
    categories = np.array([NAMES.index(file.parent.name) for file in files])
    bins = (images // 64 @ np.array([16, 4, 1])).reshape(len(files), -1)
    histograms = np.stack([np.bincount(row, minlength=64) / row.size for row in bins])
    for features in (images.mean(axis=(1, 2)), histograms):
        clusters = KMeans(10, n_init=3, random_state=0).fit_predict(features)
        together = np.zeros((10, 10))
        np.add.at(together, (clusters, categories), 1)
        rows, columns = linear_sum_assignment(-together)
        assert together[rows, columns].sum() / len(files) < 0.2, "chance is 0.1, its best matching about 0.15"


def test_a_second_call_says_so_and_a_damaged_sample_is_mended(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(sample)]) == 0
    assert "unchanged" in capsys.readouterr().out
    broken = tmp_path / "data"
    lost = broken / "train" / NAMES[0] / f"{NAMES[0]}_001.png"
    lost.parent.mkdir(parents=True)
    lost.write_bytes(b"half a file")
    assert main(["--data", str(broken)]) == 0
    assert fingerprint(broken) == FINGERPRINT
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_other_data_is_refused_and_never_deleted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(UserError, match="not the built-in sample"):
        write_sample(root)
    assert main(["--data", str(root)]) == 1
    assert "--force" in capsys.readouterr().err
    aside = set_aside(root)
    assert aside is not None
    assert (aside / "holiday.jpg").read_bytes() == b"mine"
    assert not root.exists()


def test_the_integer_sine_follows_the_real_one() -> None:
    degrees = np.arange(-360, 720)
    real = 1024 * np.sin(np.radians(degrees))
    assert np.abs([sine(int(turn)) for turn in degrees] - real).max() <= 2.5
    assert cosine(60) == sine(150)


def test_masks_of_train_lie_beside_the_sample_and_leave_its_hash(tmp_path: Path) -> None:
    root = tmp_path / "data"
    assert main(["--data", str(root), "--train-masks"]) == 0
    assert fingerprint(root) == FINGERPRINT
    masks = sorted((root / "train-segmentation").glob("*/*.png"))
    photographs = sorted((root / "train").glob("*/*.png"))
    assert [path.relative_to(root / "train-segmentation") for path in masks] == [
        path.relative_to(root / "train") for path in photographs
    ]
    shown = [set(np.unique(_read(path)[..., 0] + 256 * _read(path)[..., 1])) - {0, 1000} for path in masks]
    assert all(sorted(NAMES).index(path.parent.name) + 1 in ids for path, ids in zip(masks, shown, strict=True))
    assert {len(ids) for ids in shown} == {1, 2}, "some hold an object of another category too"
    assert main(["--data", str(root)]) == 0, "it is the sample still"
    write_sample(root)
