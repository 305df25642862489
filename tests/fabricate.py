"""Small artifacts for tests: drawn photographs, a tiny network, features, clusters, a segmenter, all in the current
directory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from stages.core.artifacts import class_maps
from stages.core.artifacts.clusters import Assignments, Centroids, write_clusters
from stages.core.artifacts.features import Feature, write_features
from stages.core.artifacts.image_index import ImageIndex, Photo, read_images, write_images
from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from stages.core.artifacts.labels import Label, write_labels
from stages.core.artifacts.model_card import ModelCard, PartsCard, StartCard
from stages.core.artifacts.models import describe_parts, write_model
from stages.core.config.networks import BackboneConfig
from stages.core.config.segmenter import SegmenterCard
from stages.core.config.views import InputCard
from stages.core.config.weights import Origin
from stages.core.images.views import LazyPhoto
from stages.core.nets.backbones import build_backbone
from stages.core.nets.features import build_features
from stages.core.nets.heads import PixelClassifier
from stages.core.nets.objects import ObjectNetwork

BACKBONE = BackboneConfig(name="test_resnet", output_stride=32)
SIZE = 96
"""L of the tiny backbone."""
EXPECTS = InputCard(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size=32)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty project as the current directory, one process, one thread, fp32 on the CPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUSS_WORKERS", "1")
    monkeypatch.delenv("LUSS_PROCESSES", raising=False)
    monkeypatch.setenv("LUSS_DEVICE", "cpu")
    monkeypatch.setenv("LUSS_PRECISION", "fp32")
    monkeypatch.setenv("LUSS_CHECKPOINTS", str(tmp_path / ".checkpoints"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield tmp_path
    torch.set_num_threads(threads)


def draw_photograph(category: int, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Noise with a bright square, a bar or nothing in it."""
    height, width = size
    image = rng.integers(0, 80, (height, width, 3))
    if category == 1:
        image[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] += rng.integers(100, 170, 3)
    if category == 2:
        image[:, width // 3 : width // 2] += rng.integers(100, 170, 3)
    return image.astype(np.uint8)


def whole(image: np.ndarray) -> LazyPhoto:
    """A photograph (H, W, 3) that is there already, and read as it is."""
    return LazyPhoto((image.shape[0], image.shape[1]), lambda reduction: image)


def fabricate_images(
    count: int = 12, size: tuple[int, int] = (32, 32), names: Sequence[str] = ("a", "b", "c"), held_out: int = 0
) -> ImageIndex:
    """Draw `data/` and write its index: `count` photographs of the train split, `held_out` of validation and test."""
    rng = np.random.default_rng(0)
    photos = []
    for split, photographs in (("train", count), ("validation", held_out), ("test", held_out)):
        for number in range(photographs):
            category = number * len(names) // photographs
            image_id = f"{split}/{names[category]}/{number:03d}"
            path = Path("data") / f"{image_id}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw_photograph(category % 3, rng, size)).save(path)
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            photos.append(Photo(image_id, split, f"{image_id}.png", *size, len(content), digest))
    write_images(photos, [], "folder")
    return read_images()


def label_by_folder(index: ImageIndex) -> None:
    """Write `artifacts/index/labels`: the class of every photograph is its folder."""
    rows = [Label(image_id, None, None, image_id.split("/")[1]) for image_id in index.image_ids]
    names = sorted({row.class_name for row in rows if row.class_name})
    write_labels(rows, dict(enumerate(names, 1)), [], "folder")


def index_again(index: ImageIndex) -> ImageIndex:
    """The index of photographs that were overwritten since."""
    photos = [index[position] for position in range(len(index))]
    write_images([photo._replace(bytes=Path("data", photo.path).stat().st_size) for photo in photos], [], "folder")
    return read_images()


def fabricate_backbone(stage: str = "pretrain", origin: Origin | Literal["random"] = "random") -> nn.Module:
    """Write a model of the tiny backbone with random weights."""
    backbone = build_backbone(BACKBONE)
    write_model(stage, {"backbone": backbone}, backbone_card(origin), [{"iteration": 1, "loss": 1.0}])
    return backbone.eval()


def fabricate_transformer(stage: str = "attend", name: str = "tiny_patch8") -> nn.Module:
    """Write a model of one of the transformers of `tests.tiny_transformers`, with weights that matter."""
    from tests.tiny_transformers import transformer  # registers them in timm

    network: nn.Module = transformer(name)
    changes = {"parts": describe_parts({"backbone": network}), "output_stride": 8, "embedding_size": 24}
    write_model(stage, {"backbone": network}, backbone_card().model_copy(update=changes), [])
    return network


def fabricate_object_network(stage: str = "attend", size: int = 6) -> ObjectNetwork:
    """Write a model of the tiny backbone at stride 8 with an embedding and a saliency head, all with random weights."""
    config = BACKBONE.model_copy(update={"output_stride": 8})
    network = ObjectNetwork(build_features(config, None), PixelClassifier(SIZE, size), PixelClassifier(SIZE, 1))
    assert network.embedding is not None
    assert network.saliency is not None
    heads = {"embedding": network.embedding, "saliency": network.saliency}
    parts = {**network.features.parts, **heads}
    card = backbone_card().model_copy(update={"parts": describe_parts(parts), "output_stride": 8})
    write_model(stage, parts, card, [])
    return network.eval()


def fabricate_saliency(index: ImageIndex, empty: Sequence[int] = ()) -> np.ndarray:
    """Write `artifacts/saliency`: the left part of every photograph stands out, nothing of the `empty` ones."""
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 2:8] = 255
    maps = [mask * np.uint8(position not in empty) for position in range(len(index))]
    photos = [index[position] for position in range(len(index))]
    write_label_maps(
        "saliency", "drawn", [LabelMap(p.image_id, p.height, p.width, m) for p, m in zip(photos, maps, strict=True)]
    )
    return mask


def backbone_card(origin: Origin | Literal["random"] = "random") -> ModelCard:
    return ModelCard(
        method="none",
        parts=PartsCard(backbone=BACKBONE),
        feature_map="stage4",
        output_stride=32,
        embedding_size=SIZE,
        input=EXPECTS,
        start=StartCard(origin=origin),
        labels_used=origin == "supervised",
        params={},
    )


def fabricate_segmenter(clusters: int = 3, threshold: float = 0.4) -> tuple[nn.Module, PixelClassifier]:
    """Write `artifacts/finetune`: the tiny backbone and a 1x1 classifier, both with random weights."""
    backbone, head = build_backbone(BACKBONE).eval(), PixelClassifier(SIZE, clusters)
    segmenter = SegmenterCard(
        clusters=clusters,
        short_side=32,
        score="softmax",
        background="threshold",
        threshold=threshold,
        threshold_source="fixed",
    )
    parts = {"backbone": backbone, "head": head}
    card = backbone_card().model_copy(update={"parts": describe_parts(parts), "segmenter": segmenter})
    write_model("finetune", parts, card, [])
    return backbone, head


def fabricate_features(embeddings: np.ndarray, image_ids: Sequence[str]) -> None:
    """Write `artifacts/extract` with one row per photograph, and an index of these; ids begin with the split."""
    write_images([Photo(one, one.partition("/")[0], f"{one}.png", 1, 1, 1, "0") for one in image_ids], [], "folder")
    rows = [Feature(image_id, 0, 1, row) for image_id, row in zip(image_ids, embeddings, strict=True)]
    write_features(rows, embeddings.shape[1], "float32", "image")


def fabricate_clusters(cluster_ids: Sequence[int], image_ids: Sequence[str], clusters: int) -> None:
    """Write `artifacts/cluster`: the cluster of every photograph, and centroids that mean nothing."""
    ids = np.array(cluster_ids, np.int32)
    centroids = np.random.default_rng(0).normal(size=(clusters, SIZE)).astype(np.float32)
    write_clusters(
        Centroids(centroids, np.bincount(ids, minlength=clusters), True),
        Assignments(list(image_ids), np.zeros(len(ids), np.int32), ids, np.zeros(len(ids), np.float32)),
        "kmeans",
    )


def fabricate_image_labels(index: ImageIndex, clusters: int = 3) -> None:
    """Write `artifacts/pseudolabel`: a 1x1 map per photograph, ids from 1, evenly spread."""
    maps = [
        LabelMap(
            photo.image_id, photo.height, photo.width, np.array([[position * clusters // len(index) + 1]], np.uint16)
        )
        for position, photo in ((position, index[position]) for position in range(len(index)))
    ]
    write_label_maps("pseudolabel", "image", maps)


def fabricate_class_maps(index: ImageIndex, classes: int) -> None:
    """Write class maps beside the label maps `artifacts/pseudolabel`: one class stands out in the middle of each
    photograph, the next one does a little; at the edges none has a place."""
    rows = []
    for position in range(len(index)):
        photo, best = index[position], position * classes // len(index)
        above = np.full((classes, 6, 6), np.nan, np.float32)
        above[:, 1:5, 1:5] = 0.0
        above[best, 1:5, 1:5], above[(best + 1) % classes, 1:5, 1:5] = 0.5, 0.2
        base = np.linspace(0, 1, 36, dtype=np.float32).reshape(6, 6)
        ids = np.arange(classes, dtype=np.uint16)
        rows.append(class_maps.ClassMaps(photo.image_id, photo.height, photo.width, ids, above, base))
    out = Path("artifacts/pseudolabel") / class_maps.FOLDER
    class_maps.write_class_maps(out, class_maps.Origin("pseudolabel", "vit_gradcam", classes), rows)
