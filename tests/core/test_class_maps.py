"""Class maps: what is stored is what was meant, to a step of 8 bits, by any process and after any kill."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from stages.core.artifacts.class_maps import ClassMaps, Origin, StoredClassMaps, open_class_maps, write_class_maps
from stages.core.artifacts.label_maps import write_label_maps
from stages.core.errors import UserError

OUT = Path("artifacts/pseudolabel/class_maps")
ORIGIN = Origin("pseudolabel", "vit_gradcam", 20)


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_label_maps("pseudolabel", "vit_gradcam", [])


def drawn(seed: int, classes: int = 20, size: tuple[int, int] = (40, 40)) -> ClassMaps:
    """As TransFGU's: attention up to 1 which all classes share, and small terms on top of it, most of them 0."""
    random = np.random.default_rng(seed)
    above = (2e-4 * random.gamma(0.5, size=(classes, *size))).astype(np.float32)
    above[above < np.quantile(above, 0.7)] = 0
    above[random.random(above.shape) < 0.4] = np.nan
    above[classes // 2] = np.nan
    ids = np.arange(classes, dtype=np.uint16)
    return ClassMaps(f"{seed:04d}", 480, 640, ids, above, random.random(size).astype(np.float32) ** 3)


def test_values_come_back_to_a_step_and_the_base_as_it_is() -> None:
    maps = [drawn(0), drawn(1, size=(20, 31)), drawn(2)._replace(base=None)]
    write_class_maps(OUT, ORIGIN, maps)
    read = open_class_maps("pseudolabel")
    assert (read.classes, read.image_ids) == (20, ["0000", "0001", "0002"])
    for given, got in zip(maps, read, strict=True):
        assert got[:3] == given[:3]
        kept = np.arange(20) != 10  # no place counts there
        np.testing.assert_array_equal(got.class_ids, given.class_ids[kept])
        np.testing.assert_array_equal(np.isnan(got.above), np.isnan(given.above[kept]))
        steps = np.nanmax(given.above[kept], (1, 2), keepdims=True) / 254
        error = np.abs(got.above - given.above[kept]) / steps
        assert np.nanmax(error) < 1.001
        assert np.nanmean(error > 0.501) < 0.01  # those that would change which class is first
        np.testing.assert_array_equal(got.base, given.base)
        assert got.values.dtype == np.float32
        expected = np.zeros_like(given.above)
        for number in range(20):
            counts = ~np.isnan(given.above[number])
            base = 0 if given.base is None else given.base[counts]
            expected[number][counts] = base + given.above[number][counts]
        np.testing.assert_allclose(got.spread(20), expected, atol=np.nanmax(steps))


def test_the_best_class_of_classes_that_hardly_differ_is_kept() -> None:
    random = np.random.default_rng(0)
    common = random.random((30, 30)).astype(np.float32)
    above = common + 1e-3 * random.random((9, 30, 30)).astype(np.float32)
    above *= np.linspace(1, 1.001, 9, dtype=np.float32)[:, None, None]
    above[7] = above[2]  # a tie: the first one is taken
    above[random.random(above.shape) < 0.2] = np.nan
    maps = drawn(0)._replace(class_ids=np.arange(9, dtype=np.uint16), above=above, base=None)
    write_class_maps(OUT, ORIGIN, [maps])
    got = open_class_maps("pseudolabel")["0000"]
    np.testing.assert_array_equal(got.best, maps.best)
    plain = np.nan_to_num(np.rint(above / np.nanmax(above, (1, 2), keepdims=True) * 254)).argmax(0) + 1
    assert np.mean(plain == maps.best) < 0.6


def test_the_best_class_survives_where_plain_8_bits_lose_it() -> None:
    maps = [drawn(seed) for seed in range(4)]
    write_class_maps(OUT, ORIGIN, maps)
    given = np.stack([one.best for one in maps])
    np.testing.assert_array_equal(given, np.stack([one.best for one in open_class_maps("pseudolabel")]))
    plain = np.stack([np.rint(one.values * 255).argmax(0) + 1 for one in maps])
    assert np.mean(given == plain) < 0.9


def test_the_best_class_in_a_worked_case() -> None:
    none = np.nan
    above = np.array([[[0, 0.5, none]], [[0.25, 0.5, none]]], np.float32)
    maps = ClassMaps("a", 2, 6, np.array([3, 7], np.uint16), above, np.array([[0.5, 0, 1]], np.float32))
    assert maps.best.tolist() == [[8, 4, 0]]
    assert maps.values.tolist() == [[[0.5, 0.5, 0]], [[0.75, 0.5, 0]]]
    assert maps.spread(9)[7].tolist() == [[0.75, 0.5, 0]]
    write_class_maps(OUT, ORIGIN, [maps])
    np.testing.assert_array_equal(open_class_maps("pseudolabel")["a"].above, above)


def test_a_photograph_without_a_class_and_an_artifact_without_photographs() -> None:
    nothing = drawn(0)._replace(above=np.full((20, 4, 5), np.nan, np.float32), base=None)
    write_class_maps(OUT, ORIGIN, [nothing])
    got = open_class_maps("pseudolabel")["0000"]
    assert got.above.shape == (0, 4, 5)
    assert not got.best.any()
    assert got.spread(20).shape == (20, 4, 5)
    write_class_maps(OUT, ORIGIN, [])
    assert open_class_maps("pseudolabel").image_ids == []


def _sum_of(maps: StoredClassMaps, image_id: str) -> float:
    return float(maps[image_id].values.sum())


def test_other_processes_read_any_photograph_from_several_shards() -> None:
    maps = [drawn(seed, 3, (4, 6)) for seed in range(300)]
    write_class_maps(OUT, ORIGIN, maps)
    assert len(list(OUT.glob("part-*.parquet"))) == 2
    read = open_class_maps("pseudolabel")
    wanted = [f"{number:04d}" for number in (299, 0, 256, 131)]
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        sums = list(pool.map(_sum_of, [read] * 4, wanted))
    copied = pickle.loads(pickle.dumps(read))
    assert sums == [_sum_of(copied, image_id) for image_id in wanted]
    with pytest.raises(UserError, match=f"{OUT}: no map of 0300"):
        read["0300"]


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(UserError, match=r"pseudolabel\.method: vit_gradcam makes no class maps"):
        open_class_maps("pseudolabel")
    write_class_maps(OUT, ORIGIN, [])
    open_class_maps("pseudolabel").check_classes(20)
    with pytest.raises(UserError, match=f"{OUT}: maps of 20 classes, but artifacts/cluster has 27 centroids"):
        open_class_maps("pseudolabel").check_classes(27)
    with pytest.raises(ValueError, match="a value below the base"):
        write_class_maps(OUT, ORIGIN, [drawn(0)._replace(above=np.full((20, 4, 5), -1, np.float32))])


def test_equal_maps_are_equal_bytes() -> None:
    hashes = set()
    for _ in range(2):
        write_class_maps(OUT, ORIGIN, [drawn(0), drawn(1)])
        hashes.add(StoredClassMaps(OUT).content_hash)
    assert len(hashes) == 1
