"""What is particular about NPID, DeepCluster, ODC and PCL."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from stages.core.engine.method import TrainingProgress
from stages.core.errors import UserError
from stages.core.images.dataset import ViewDataset, augment_batch, load_batches
from stages.pretrain.methods.deepcluster.config import DeepClusterConfig
from stages.pretrain.methods.npid.config import NPIDConfig
from stages.pretrain.methods.odc.config import ODCConfig
from stages.pretrain.methods.pcl.method import estimate_spread
from tests.fabricate import BACKBONE, fabricate_images
from tests.methods import load_two_batches, prepare, small, train_small

FIRST = TrainingProgress(0, 10, 0, 5)


def build(config_type: Any, **values: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    method = small(config_type, **values).build().train()
    return method, load_two_batches(method, fabricate_images(12))[0]


def test_rows_of_the_batch_move_and_the_own_photograph_is_told_from_all_others() -> None:
    method, batch = build(NPIDConfig, negatives=100, kept=0.0)
    before = method.memory.rows.clone()
    method.step(batch, FIRST)
    moved = (method.memory.rows != before).any(1)
    assert moved.nonzero()[:, 0].tolist() == sorted(batch.positions.tolist())


def test_what_all_photographs_share_is_taken_off_rows_where_that_is_asked_for() -> None:
    for last_norm in (False, True):
        method, batch = build(NPIDConfig, last_norm=last_norm, kept=0.0)
        method.step(batch, FIRST)
        shared = method.memory.rows[batch.positions].mean(0).norm()
        assert (shared < 0.3) == last_norm


def test_the_classifier_of_deepcluster_starts_anew_with_every_clustering_and_without_momentum() -> None:
    method, _ = build(DeepClusterConfig)
    assert sorted(method.labels.unique().tolist()) == [0, 1, 2]
    first = method.classifier.weight.clone()
    with torch.no_grad():
        method.classifier.weight.add_(1)
    prepare(method, fabricate_images(12))
    assert torch.equal(method.classifier.weight, first), "the same features and the same epoch"
    method.regroup(torch.randn(12, 96), 1)
    assert not torch.equal(method.classifier.weight, first)
    assert method.classifier.weight.std().item() == pytest.approx(0.01, rel=0.2)


def test_more_clusters_than_photographs_end_before_the_work() -> None:
    config = small(DeepClusterConfig, clusters=13)
    with pytest.raises(UserError, match=r"pretrain\.clusters: 12 photographs"):
        train_small(config.build(), config, fabricate_images(12), "work")


def test_photographs_of_odc_go_to_the_nearest_centroid() -> None:
    method, batch = build(ODCConfig, refresh=100)
    method.step(batch, FIRST)
    rows = method.memory.rows[batch.positions]
    nearest = [min(range(3), key=lambda k: (row - method.centroids[k]).norm().item()) for row in rows]
    assert method.labels[batch.positions].tolist() == nearest


def test_an_untrained_network_is_surveyed_as_it_is_then_trained() -> None:
    """Statistics of photographs in batch norms that nothing has passed yet, not the 0 and 1 they are made with."""
    index = fabricate_images(12)
    method = small(ODCConfig, backbone=BACKBONE.model_dump()).build()
    prepare(method, index)
    norms = [module for module in method.modules() if isinstance(module, _BatchNorm)]
    settled = [torch.cat([norm.running_mean, norm.running_var]) for norm in norms]
    views = ViewDataset(index, method.surveyed, {}, 0)
    raw = next(iter(load_batches(views, [[(0, position) for position in range(12)]], torch.device("cpu"))))
    for norm in norms:
        assert norm.momentum == 0.1
        norm.momentum = 1.0
    method.train().describe(augment_batch(raw, method.surveyed, torch.device("cpu")))
    for norm, before in zip(norms, settled, strict=True):
        torch.testing.assert_close(torch.cat([norm.running_mean, norm.running_var]), before, rtol=1e-3, atol=1e-4)


def test_centroids_of_odc_are_refreshed_and_none_is_left_empty() -> None:
    method, batch = build(ODCConfig, refresh=1)
    method.labels.zero_()
    method.step(batch, FIRST)
    assert sorted(method.labels.unique().tolist()) == [0, 1, 2]
    for group in range(3):
        torch.testing.assert_close(method.centroids[group], method.memory.rows[method.labels == group].mean(0))


def test_the_spread_of_a_cluster_is_the_formula() -> None:
    distances, labels = torch.tensor([0.2, 0.4, 0.5, 0.1, 0.1, 0.4]), torch.tensor([0, 0, 1, 2, 2, 2])
    raw = torch.tensor([0.3 / torch.log(torch.tensor(12.0)), 0, 0.2 / torch.log(torch.tensor(13.0))])
    raw[1] = raw.max()  # of one member
    low, high = torch.quantile(raw, torch.tensor([0.1, 0.9]))
    clipped = raw.clamp(low, high)
    found = estimate_spread(distances, labels, 3, 10.0, 0.2)
    torch.testing.assert_close(found, 0.2 * clipped / clipped.mean())
    assert torch.equal(estimate_spread(torch.zeros(6), labels, 3, 10.0, 0.2), torch.full((3,), 0.2))
