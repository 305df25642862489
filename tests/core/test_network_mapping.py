"""Every stage that maps photographs: killed and resumed, by one or two workers or Dask, equal bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from stages.core.artifacts.clusters import Assignments, Centroids, write_clusters
from stages.core.artifacts.image_index import ImageIndex, read_images, write_images
from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from stages.core.artifacts.models import describe_parts, write_model
from stages.core.artifacts.shards import shard_ranges
from stages.core.cli import worker_number
from stages.core.config.networks import BackboneConfig
from stages.core.engine.devices import network_processes
from stages.core.hashing import hash_folder
from stages.core.nets.attention import PixelAttention
from stages.core.nets.backbones import build_backbone
from stages.core.network_mapping import Shard, iterate_results
from stages.core.processes import map_in_processes
from stages.evaluate import Config as EvaluateConfig
from stages.evaluate.__main__ import main as evaluate
from stages.extract.__main__ import main as extract
from stages.extract.methods.image.config import ImageEmbeddingConfig
from stages.extract.methods.region.config import RegionEmbeddingConfig
from stages.extract.methods.salient_object.config import SalientObjectConfig
from stages.extract.methods.sliding_windows.config import SlidingWindowsConfig
from stages.finetune.__main__ import main as finetune
from stages.finetune.methods.pixel.config import PixelFineTuningConfig
from stages.index.__main__ import main as make_index
from stages.index.methods.folder import FolderConfig
from stages.predict import Config as PredictConfig
from stages.predict.__main__ import main as predict
from stages.pseudolabel.__main__ import main as pseudolabel
from stages.pseudolabel.activation.config import LabelRules
from stages.pseudolabel.methods.nearest_centroid.config import NearestCentroidConfig
from stages.pseudolabel.methods.rca.config import RCAConfig
from stages.pseudolabel.methods.region.config import RegionLabelConfig
from stages.pseudolabel.methods.sc_cam.config import SCCAMConfig
from stages.pseudolabel.methods.seam.config import SEAMConfig
from stages.pseudolabel.methods.vit_gradcam.config import ViTGradCAMConfig
from stages.saliency.__main__ import main as find_saliency
from stages.saliency.methods.rc import RCConfig
from stages.saliency.methods.token_cut import TokenCutConfig
from stages.superpixels.__main__ import main as cut
from stages.superpixels.methods.slic import SLICConfig
from tests.evaluate.project import write_project
from tests.fabricate import (
    BACKBONE,
    SIZE,
    backbone_card,
    fabricate_backbone,
    fabricate_clusters,
    fabricate_images,
    fabricate_object_network,
    fabricate_segmenter,
    fabricate_transformer,
    project,
)
from tests.methods import OPTIMIZER, small
from tests.tiny_transformers import tiny_patch8

__all__ = ["project"]

SHARD = 4
"""Photographs of a shard, of 10."""


def fabricate(index: ImageIndex) -> None:
    """Models with every part that a method asks for."""
    torch.manual_seed(0)
    fabricate_segmenter()
    fabricate_backbone("pretrain")
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


def fabricate_tags(index: ImageIndex) -> None:
    fabricate_backbone("attend")
    fabricate_clusters([n % 3 for n in range(len(index))], index.image_ids, 3)


def fabricate_labels(index: ImageIndex) -> None:
    fabricate_tags(index)
    photos = [index[position] for position in range(len(index))]
    maps = [np.array([[0, number % 3 + 1]], np.uint16) for number in range(len(index))]
    write_label_maps(
        "pseudolabel", "region", [LabelMap(p.image_id, 30, 40, m) for p, m in zip(photos, maps, strict=True)]
    )


def fabricate_classes(index: ImageIndex) -> None:
    fabricate_transformer()
    vectors = np.random.default_rng(0).normal(size=(3, 24)).astype(np.float32)
    nothing = np.zeros(len(index), np.int32)
    assigned = Assignments(index.image_ids, nothing, nothing, nothing.astype(np.float32))
    write_clusters(Centroids(vectors, np.ones(3, np.int64), False), assigned, "kmeans")


class Mapped(NamedTuple):
    """A stage with one of its methods."""

    out: str
    run: Callable[[], None]
    prepare: Callable[[ImageIndex], object] = lambda index: None
    """What it wants beside the models that all have."""
    is_resumable: bool = True


def run(out: str, main: Callable[[Any], None], config: Any, **fields: Any) -> Mapped:
    return Mapped(out, lambda: main(config), **fields)


def trained(config_type: Any, **values: Any) -> Mapped:
    """A method of pseudolabel that trains on tags, for an epoch."""
    values = {"training": {"epochs": 1, "batch_size": 4, "optimizer": OPTIMIZER}, "crf": None, **values}
    return run("pseudolabel", pseudolabel, small(config_type, **values), prepare=fabricate_tags)


OTSU = {"rule": "otsu", "photographs": 4}
ROUNDS = small(PixelFineTuningConfig, rounds=2, threshold=OTSU, background="threshold")
GRADCAM = ViTGradCAMConfig(size=(32, 40))
WINDOWS = SlidingWindowsConfig(size=(32, 40), window=32, scales=(0.75,), kept="all")
TINY = BackboneConfig(name=tiny_patch8.__name__)
RULES = LabelRules(background="threshold", threshold=0.1, clash=1.0, min_foreground=0.0)
SOUGHT = RULES.model_copy(update={"threshold": "otsu", "photographs": 4})
NETWORKS = {
    "predict": run("predict", predict, PredictConfig(splits=("train",))),
    "image": run("extract", extract, ImageEmbeddingConfig(resize=32, crop=32)),
    "region": run("extract", extract, RegionEmbeddingConfig(regions="pixels", pixels=3, short_side=32)),
    "salient_object": run("extract", extract, SalientObjectConfig(short_side=32, threshold=0.4)),
    "whitened": run("extract", extract, SalientObjectConfig(short_side=32, threshold=0.4, whiten=2)),
    "nearest_centroid": run("pseudolabel", pseudolabel, NearestCentroidConfig(resize=32)),
    "region labels": run(
        "pseudolabel", pseudolabel, RegionLabelConfig(regions="saliency_head", short_side=32, threshold=0.4)
    ),
    "rca": trained(RCAConfig, labels=RULES),
    "seam": trained(SEAMConfig, labels=SOUGHT),
    "sc_cam": trained(SCCAMConfig, labels=RULES),
    "adv_cam": trained(SEAMConfig, labels=RULES, maps={"ascent": {"steps": 2}}),
    "rounds": run("finetune", finetune, ROUNDS, prepare=fabricate_labels),
}
STAGES = NETWORKS | {
    "index": run("index", make_index, FolderConfig()),
    "superpixels": run("superpixels", cut, SLICConfig(region_size=8)),
    "saliency": run("saliency", find_saliency, RCConfig()),
    "token_cut": run("saliency", find_saliency, TokenCutConfig(backbone=TINY, side=32)),
    "sliding_windows": run("extract", extract, WINDOWS, prepare=lambda index: fabricate_transformer()),
    "vit_gradcam": run("pseudolabel", pseudolabel, GRADCAM, prepare=fabricate_classes),
    "evaluate": run("evaluate", evaluate, EvaluateConfig(), prepare=lambda index: write_project(), is_resumable=False),
}

SLOW = pytest.mark.slow
LIKE_OTHERS = {"rca", "seam"}
"""Their maps are made by the code of `sc_cam` and `adv_cam`."""
BRIEFLY = ("predict", "whitened", "sc_cam", "token_cut", "vit_gradcam", "index")
"""One for each way of reaching the map."""


@pytest.fixture(autouse=True)
def index(project: Path, monkeypatch: pytest.MonkeyPatch) -> ImageIndex:
    for module in CUTTING:
        monkeypatch.setattr(f"{module}.shard_ranges", lambda count, *_: shard_ranges(count, SHARD))
    monkeypatch.setattr("stages.index.reading._CHUNK_FILES", SHARD)
    for module in ("core.metrics.counting", "evaluate.evaluators.segments", "evaluate.evaluators.color_clusters"):
        monkeypatch.setattr(f"stages.{module}._CHUNK", SHARD)
        monkeypatch.setattr(f"stages.{module}._FEW", 0)
    return fabricate_images(10, (30, 40))


CUTTING = [
    f"stages.{module}"
    for module in (
        "core.mapping",
        "core.network_mapping",
        "extract.methods.sliding_windows.method",
        "pseudolabel.methods.vit_gradcam.method",
    )
]


def prepare(name: str, index: ImageIndex) -> Mapped:
    fabricate(index)
    STAGES[name].prepare(index)
    return STAGES[name]


class Counter:
    """Lets a map go on until so many items of all maps are done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int = 999) -> None:
        self.done, self._most = 0, most
        for module in ("core.mapping", "index.reading", "core.metrics.counting"):
            monkeypatch.setattr(f"stages.{module}.map_in_processes", self.map)

    def map(self, *given: Any) -> Iterator[Any]:
        for found in map_in_processes(*given):
            self.done += 1
            yield found
            if self.done == self._most:
                raise KeyboardInterrupt


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW if name in LIKE_OTHERS else ()) for name in STAGES])
def test_one_worker_and_two_and_a_killed_run_write_the_same(
    name: str, index: ImageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = prepare(name, index)
    out = Path("artifacts", stage.out)
    with monkeypatch.context() as counted:
        counter = Counter(counted)
        stage.run()
    alone = hash_folder(out)
    assert counter.done >= 3

    if name in NETWORKS:  # Others take processes: `tests.core.test_mapping`.
        monkeypatch.setenv("LUSS_WORKERS", "2")
    with monkeypatch.context() as killed:
        Counter(killed, counter.done - 1)
        with pytest.raises(KeyboardInterrupt):
            stage.run()
    with monkeypatch.context() as counted:
        resumed = Counter(counted)
        stage.run()
    assert hash_folder(out) == alone
    assert resumed.done == (1 if stage.is_resumable else counter.done)
    assert not list(Path(".checkpoints").glob("*/*"))


@pytest.mark.gpu
@pytest.mark.parametrize("name", NETWORKS)
def test_on_a_gpu_two_workers_write_what_one_does(
    name: str, index: ImageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = prepare(name, index)
    out = Path("artifacts", stage.out)
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
def cluster(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A worker process of two threads on loopback that stands in the project."""
    distributed = pytest.importorskip("distributed")
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])))
    options = {"n_workers": 1, "threads_per_worker": 2, "host": "127.0.0.1", "dashboard_address": None}
    with distributed.LocalCluster(**options) as started:
        yield started


@pytest.mark.filterwarnings("ignore")  # Dask's own
@pytest.mark.parametrize("names", [BRIEFLY, pytest.param(STAGES, marks=pytest.mark.long)], ids=["briefly", "all"])
def test_two_dask_workers_write_what_one_process_does(
    names: Iterable[str], cluster: Any, index: ImageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several threads, the second of which comes late."""
    distributed = pytest.importorskip("distributed")
    with distributed.Client(cluster.scheduler_address) as client:
        client.register_worker_callbacks(partial(import_module, "tests.tiny_transformers"))
        for name in names:
            stage = prepare(name, index)
            out = Path("artifacts", stage.out)
            stage.run()
            alone = hash_folder(out)
            with monkeypatch.context() as patched:
                patched.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
                stage.run()
            assert hash_folder(out) == alone, name
            if name == "predict":
                cluster.scale(2)
                client.wait_for_workers(2, timeout=120)
        assert sorted(client.run(worker_number).values()) == [0, 1], "they would take one GPU"
