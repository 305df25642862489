"""Every stage that maps photographs by a network: killed and resumed, by one or two workers or Dask, equal bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from stages.core import feature_mapping, label_mapping
from stages.core.artifacts.clusters import Assignments, Centroids, write_clusters
from stages.core.artifacts.image_index import ImageIndex, read_images, write_images
from stages.core.artifacts.models import describe_parts, write_model
from stages.core.artifacts.shards import shard_ranges
from stages.core.cli import worker_number
from stages.core.engine.devices import network_processes
from stages.core.hashing import hash_folder
from stages.core.nets.attention import PixelAttention
from stages.core.nets.backbones import build_backbone
from stages.core.network_mapping import Shard, iterate_results
from stages.extract.__main__ import main as extract
from stages.extract.methods.image.config import ImageEmbeddingConfig
from stages.extract.methods.region.config import RegionEmbeddingConfig
from stages.extract.methods.salient_object.config import SalientObjectConfig
from stages.predict import Config as PredictConfig
from stages.predict.__main__ import main as predict
from stages.pseudolabel.__main__ import main as pseudolabel
from stages.pseudolabel.methods.nearest_centroid.config import NearestCentroidConfig
from stages.pseudolabel.methods.region.config import RegionLabelConfig
from tests.fabricate import (
    BACKBONE,
    SIZE,
    backbone_card,
    fabricate_images,
    fabricate_object_network,
    fabricate_segmenter,
    project,
)

__all__ = ["project"]

SHARD = 4
"""Photographs of a shard, of 10."""


class Mapped(NamedTuple):
    """A stage with one of its methods."""

    out: str
    run: Callable[[], None]


def run(out: str, main: Callable[[Any], None], config: Any) -> Mapped:
    return Mapped(out, lambda: main(config))


STAGES = {
    "predict": run("predict", predict, PredictConfig(splits=("train",))),
    "image": run("extract", extract, ImageEmbeddingConfig(resize=32, crop=32)),
    "region": run("extract", extract, RegionEmbeddingConfig(regions="pixels", pixels=3, short_side=32)),
    "salient_object": run("extract", extract, SalientObjectConfig(short_side=32, threshold=0.4)),
    "nearest_centroid": run("pseudolabel", pseudolabel, NearestCentroidConfig(resize=32)),
    "region labels": run(
        "pseudolabel", pseudolabel, RegionLabelConfig(regions="saliency_head", short_side=32, threshold=0.4)
    ),
}


@pytest.fixture(autouse=True)
def _inputs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.core.network_mapping.shard_ranges", lambda count, _: shard_ranges(count, SHARD))
    fabricate(fabricate_images(10, (30, 40)))


def fabricate(index: ImageIndex) -> None:
    """Models with every part that a method asks for."""
    fabricate_segmenter()
    network = fabricate_object_network()
    parts = {"backbone": build_backbone(BACKBONE), "attention": PixelAttention(SIZE, 2)}
    assert network.embedding is not None
    assert network.saliency is not None
    parts |= {"embedding": network.embedding, "saliency": network.saliency}
    write_model("attend", parts, backbone_card().model_copy(update={"parts": describe_parts(parts)}), [])
    ids, ones = np.arange(len(index), dtype=np.int32) % 3, np.ones(len(index), np.int32)
    vectors = np.random.default_rng(0).normal(size=(3, SIZE)).astype(np.float32)
    doubled = Assignments(
        [image_id for image_id in index.image_ids for _ in range(2)],
        np.tile(np.array([0, 1], np.int32), len(index)),
        np.repeat(ids, 2),
        np.repeat(ones, 2).astype(np.float32),
    )
    write_clusters(Centroids(vectors, np.bincount(ids), True), doubled, "kmeans")


@pytest.mark.parametrize("name", STAGES)
def test_one_worker_and_two_and_a_killed_run_write_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out, stage = Path("artifacts", STAGES[name].out), STAGES[name]
    stage.run()
    alone = hash_folder(out)
    assert len(list(out.glob("part-*"))) == 3

    monkeypatch.setenv("LUSS_WORKERS", "2")
    with monkeypatch.context() as killed:
        for module, write in ((feature_mapping, "write_feature_shard"), (label_mapping, "write_shard")):
            killed.setattr(module, write, write_one_only(getattr(module, write)))
        with pytest.raises(KeyboardInterrupt):
            stage.run()
    [finished] = Path(".checkpoints").rglob("part-*")
    inode = finished.stat().st_ino
    stage.run()
    assert hash_folder(out) == alone
    assert (out / finished.name).stat().st_ino == inode
    assert not list(Path(".checkpoints").rglob("part-*"))


def write_one_only(write: Callable[..., None]) -> Callable[..., None]:
    written = []

    def write_or_die(*arguments: Any) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(write(*arguments))

    return write_or_die


@pytest.mark.gpu
@pytest.mark.parametrize("name", STAGES)
def test_on_a_gpu_two_workers_write_what_one_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, out = STAGES[name], Path("artifacts", STAGES[name].out)
    monkeypatch.setenv("LUSS_DEVICE", "cuda")
    stage.run()
    alone = hash_folder(out)
    monkeypatch.setenv("LUSS_WORKERS", "2")
    stage.run()
    assert hash_folder(out) == alone


def test_on_a_gpu_photographs_of_one_size_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a function that notes them: what is computed is the same, in the index's order."""
    index = fabricate_images(20, (30, 40))
    photos = [index[n]._replace(height=30 + n % 2) for n in range(len(index))]
    write_images(photos, [], "folder")
    seen = []

    def note(shard: Shard, positions: list[int]) -> list[str]:
        seen.append(positions)
        return [shard.photographs[position].image_id for position in positions]

    shard = Shard(read_images(), 0)
    assert list(iterate_results(note, shard)) == index.image_ids
    assert seen == [[position] for position in range(20)]
    seen.clear()
    monkeypatch.setattr("stages.core.network_mapping.inference_device", lambda: torch.device("cuda"))
    assert list(iterate_results(note, shard)) == index.image_ids
    assert seen == [list(range(0, 20, 2)), list(range(1, 20, 2))]


@pytest.mark.parametrize(("device", "gpus", "expected"), [("cpu", 4, 1), ("cuda", 4, 4), ("cuda", 1, 1)])
def test_there_is_a_process_for_every_gpu(
    device: str, gpus: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("LUSS_DEVICE", device)
    assert network_processes() == expected


@pytest.fixture
def cluster(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Two worker processes on loopback that stand in the project."""
    distributed = pytest.importorskip("distributed")
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])))
    options = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    with distributed.LocalCluster(**options) as started:
        yield started.scheduler_address


@pytest.mark.filterwarnings("ignore")  # Dask's own
def test_two_dask_workers_write_what_one_process_does(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed, alone = pytest.importorskip("distributed"), {}
    for name, stage in STAGES.items():
        stage.run()
        alone[name] = hash_folder(Path("artifacts", stage.out))
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster)
    for name, stage in STAGES.items():
        stage.run()
        assert hash_folder(Path("artifacts", stage.out)) == alone[name], name
    with distributed.Client(cluster) as client:
        assert sorted(client.run(worker_number).values()) == [0, 1], "they would take two GPUs"
