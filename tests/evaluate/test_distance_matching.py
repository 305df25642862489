import numpy as np
import pytest

from stages.core.errors import UserError
from stages.evaluate.evaluators.distance_matching import (
    Bank,
    Voting,
    describe_regions,
    join_banks,
    resize_nearest,
    segment_by_neighbors,
)


def test_regions_are_sums_over_their_pixels_of_unit_length():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(6, 4, 5)).astype(np.float32)
    ids = np.kron(rng.integers(0, 3, (4, 5)), np.ones((3, 2))).astype(np.uint16)
    ids[:3, :2] = 1000
    bank = describe_regions(features, ids, 1000)
    small = ids[::3, ::2]
    assert bank.ids.tolist() == sorted(set(small.ravel().tolist()) - {1000})
    for vector, value in zip(bank.vectors, bank.ids, strict=True):
        summed = features[:, small == value].sum(1) / 20
        np.testing.assert_allclose(vector, summed / np.linalg.norm(summed), rtol=1e-5)


def test_votes_equal_those_counted_pixel_by_pixel():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(40, 8))
    bank = Bank((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), rng.integers(0, 5, 40))
    features = rng.normal(size=(8, 6, 7)).astype(np.float32)
    found = segment_by_neighbors(features, bank, (6, 7), Voting(neighbors=10, temperature=0.3))
    for y in range(6):
        for x in range(7):
            pixel = features[:, y, x] / np.linalg.norm(features[:, y, x])
            cosines = bank.vectors @ pixel
            votes = np.zeros(5)
            for row in np.argsort(-cosines)[:10]:
                votes[bank.ids[row]] += np.exp(cosines[row] / 0.3)
            assert found[y, x] == votes.argmax()


def test_features_that_tell_the_classes_are_segmented_perfectly_and_others_all_alike():
    ids = np.array([[0, 0, 1], [2, 1, 1000]], np.uint16)
    told = np.eye(4, dtype=np.float32)[np.minimum(ids, 3)].transpose(2, 0, 1)
    found = segment_by_neighbors(told, describe_regions(told, ids, 1000), (2, 3), Voting(neighbors=1))
    assert found.ravel().tolist()[:5] == [0, 0, 1, 2, 1]
    alike = np.ones((4, 2, 3), np.float32)
    assert np.unique(segment_by_neighbors(alike, describe_regions(alike, ids, 1000), (2, 3), Voting())).size == 1


def test_fewer_regions_than_neighbors_are_enough():
    bank = Bank(np.eye(2, dtype=np.float32), np.array([0, 7]))
    features = np.zeros((2, 1, 2), np.float32)
    features[0, 0, 0] = features[1, 0, 1] = 1
    assert segment_by_neighbors(features, bank, (2, 4), Voting()).tolist() == [[0, 0, 7, 7]] * 2


def test_nearest_neighbor_resizing_equals_torch():
    import torch

    ids = np.arange(35, dtype=np.uint16).reshape(5, 7)
    for size in ((5, 7), (10, 14), (3, 4), (11, 5)):
        expected = torch.nn.functional.interpolate(torch.from_numpy(ids.astype(np.float32))[None, None], size)[0, 0]
        np.testing.assert_array_equal(resize_nearest(ids, size), expected.numpy())


def test_no_labelled_region_is_an_error():
    empty = describe_regions(np.ones((2, 3, 3), np.float32), np.full((3, 3), 1000, np.uint16), 1000)
    with pytest.raises(UserError, match="no labelled region"):
        join_banks([empty])
