"""What is particular about PiCIE and IIC."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import mutual_info_score
from torch.nn import functional as F

from stages.core.engine.method import TrainingProgress
from stages.core.images.paired_pixels import read_pairs
from stages.pretrain.methods.iic.method import joint_distribution, mutual_information
from stages.pretrain.methods.picie.config import PiCIEConfig
from tests.fabricate import fabricate_images
from tests.methods import load_two_batches, small

FIRST = TrainingProgress(0, 10, 0, 5)


def hard(labels: torch.Tensor, clusters: int) -> torch.Tensor:
    return F.one_hot(labels, clusters).movedim(-1, 1).float()


def test_information_is_sklearns_of_the_labels_both_ways() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randint(0, 3, (2, 4, 4), generator=generator) for _ in range(2))
    joint = joint_distribution(hard(first, 3), hard(second, 3), 0)
    both = (torch.cat([first, second]).flatten().tolist(), torch.cat([second, first]).flatten().tolist())
    assert mutual_information(joint).item() == pytest.approx(mutual_info_score(*both), rel=1e-4)


def test_information_knows_its_bounds() -> None:
    even = torch.full((2, 4, 3, 3), 0.25)
    assert mutual_information(joint_distribution(even, even, 1)).item() == pytest.approx(0, abs=1e-6)
    labels = torch.arange(4).repeat(4).view(1, 4, 4)
    same = joint_distribution(hard(labels, 4), hard(labels, 4), 0)
    assert mutual_information(same).item() == pytest.approx(math.log(4), rel=1e-5)


def test_shifted_pixels_are_counted_one_by_one() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.rand(2, 3, 4, 4, generator=generator).softmax(1) for _ in range(2))
    expected = torch.zeros(3, 3)
    for row in range(4):
        for column in range(4):
            for down in (-1, 0, 1):
                for across in (-1, 0, 1):
                    if 0 <= row + down < 4 and 0 <= column + across < 4:
                        expected += first[:, :, row + down, column + across].T @ second[:, :, row, column]
    expected = expected + expected.T
    torch.testing.assert_close(joint_distribution(first, second, 1), expected / expected.sum())


def test_pixels_are_read_at_the_same_places_and_not_where_views_do_not_overlap() -> None:
    columns = torch.arange(40.0).expand(1, 1, 40, 40)
    windows = torch.tensor([[[0.0, 0, 40, 40, 0], [10, 10, 20, 20, 1]]])
    crop = columns[:, :, 10:30, 10:30].flip(-1)
    pairs, exists = read_pairs([columns, crop], windows, 5)
    assert exists.tolist() == [True]
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(pairs[0][inside], pairs[1][inside])
    apart = torch.tensor([[[0.0, 0, 10, 10, 0], [20, 20, 10, 10, 0]]])
    pairs, exists = read_pairs([columns, columns], apart, 5)
    assert (pairs.shape[1], exists.tolist()) == (0, [False])


def test_labels_of_an_epoch_come_from_the_network_before_it() -> None:
    torch.manual_seed(0)
    method = small(PiCIEConfig).build().train()
    batch = load_two_batches(method, fabricate_images(12))[0]
    torch.testing.assert_close(method.centroids.norm(dim=2), torch.ones(2, 3))
    kept = [parameter.clone() for parameter in method.before.parameters()]
    with torch.no_grad():
        for parameter in method.features.parameters():
            parameter.add_(0.1)
    method.step(batch, FIRST).total.backward()
    method.after_step(FIRST)
    assert all(torch.equal(old, new) for old, new in zip(kept, method.before.parameters(), strict=True))
    method.regroup(torch.randn(12, 2, 25, method.features.size), 1)
    for own, now in zip(method.before.parameters(), method.features.parameters(), strict=True):
        assert torch.equal(own, now)
