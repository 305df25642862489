"""Groups of photographs: none is empty or small, all are shown equally often, and memories move as written."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stages.core.engine.memory import Memory, group_use
from stages.core.engine.regrouping import average_groups, check_group_count, group_by_kmeans, refill
from stages.core.errors import UserError
from stages.core.images.dataset import EpochBatches
from stages.core.images.sampling import draw_evenly


def blobs() -> np.ndarray:
    """Four clouds of eight points."""
    rng = np.random.default_rng(0)
    centers = np.array([[0, 0], [10, 0], [0, 10], [10, 10]])
    return (centers.repeat(8, 0) + rng.normal(size=(32, 2)) * 0.1).astype(np.float32)


def test_an_empty_group_takes_a_half_of_the_largest_which_2_means_divides() -> None:
    vectors = blobs()
    ids = np.array([0] * 16 + [1] * 8 + [2] * 8)
    filled = refill(vectors, ids, 4, 1, 0)
    assert np.bincount(filled).tolist() == [8, 8, 8, 8]
    assert len(set(filled[:8])) == len(set(filled[8:16])) == 1, "the two clouds are apart again"
    assert (filled[16:] == ids[16:]).all()


def test_a_small_group_joins_its_nearest_one_before() -> None:
    vectors = blobs()
    ids = np.array([0] * 16 + [1] * 8 + [2] * 6 + [3] * 2)
    filled = refill(vectors, ids, 4, 4, 0)
    assert np.bincount(filled).tolist() == [8, 8, 8, 8]
    assert (filled[24:] == 2).all()
    assert (refill(vectors, ids, 4, 2, 0) == ids).all(), "nothing is small"


def test_groups_that_cannot_be_divided_stay() -> None:
    same = np.zeros((3, 2), np.float32)
    assert np.bincount(refill(same, np.array([0, 0, 0]), 3, 1, 0)).tolist() == [1, 1, 1]
    assert refill(same, np.array([0, 0, 0]), 2, 2, 0).tolist() == [0, 0, 0], "a half would be too small again"


def test_kmeans_finds_the_clouds_and_their_means() -> None:
    vectors = torch.from_numpy(blobs())
    ids, centroids = group_by_kmeans(vectors, 4, 0)
    assert sorted(torch.bincount(ids).tolist()) == [8, 8, 8, 8]
    torch.testing.assert_close(centroids[ids[0]], vectors[:8].mean(0))
    kept = average_groups(vectors, torch.zeros(32, dtype=torch.long), torch.full((2, 2), 7.0))
    torch.testing.assert_close(kept, torch.stack([vectors.mean(0), torch.tensor([7.0, 7])]))


def test_more_groups_than_photographs_are_refused() -> None:
    with pytest.raises(UserError, match=r"pretrain\.clusters: 3 photographs cannot fill 4 groups"):
        check_group_count("pretrain.clusters", 4, 3)


def test_every_group_is_shown_equally_often() -> None:
    groups = np.array([0] * 50 + [1] * 5 + [3] * 5)
    order = draw_evenly(groups, np.random.default_rng(0))
    assert len(order) == 60
    assert np.bincount(groups[order], minlength=4).tolist() == [20, 20, 0, 20]
    assert len(set(order[groups[order] == 0])) == 20, "no member comes twice before all have come"


def test_an_epoch_by_groups_is_decided_by_its_number_and_taken_up_in_its_middle() -> None:
    groups = torch.arange(60) % 7

    def positions(start: int, end: int) -> list[int]:
        return [position for batch in EpochBatches(60, 6, 0, range(start, end), groups) for _, position in batch]

    assert positions(0, 10) == positions(0, 10) != positions(10, 20)
    assert positions(4, 10) == positions(0, 10)[24:]


def test_a_row_of_the_memory_is_a_moving_average_of_length_one() -> None:
    memory = Memory(5, 3, kept=0.75)
    before, z = memory.rows.clone(), F.normalize(torch.randn(2, 3), dim=1)
    memory.update(torch.tensor([4, 1]), z)
    torch.testing.assert_close(memory.rows[4], F.normalize(0.75 * before[4] + 0.25 * z[0], dim=0))
    torch.testing.assert_close(memory.rows[1], F.normalize(0.75 * before[1] + 0.25 * z[1], dim=0))
    assert torch.equal(memory.rows[[0, 2, 3]], before[[0, 2, 3]])
    assert set(memory.state_dict()) == {"rows"}


def test_use_of_groups_is_one_where_all_are_alike_and_none_where_one_takes_all() -> None:
    assert group_use(torch.arange(6) % 3, 3).item() == pytest.approx(1)
    assert group_use(torch.zeros(6, dtype=torch.long), 3).item() == pytest.approx(0)
