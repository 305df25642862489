"""A vision transformer with patches of 14 as the representation, at sizes that it does not fit: every stage behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.attend.__main__ import main as attend
from stages.attend.methods.none.config import NoAttentionConfig
from stages.cluster.__main__ import main as cluster
from stages.cluster.methods.kmeans import KMeansConfig
from stages.core.artifacts.features import read_features
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.artifacts.labels import write_labels
from stages.core.artifacts.models import read_model_card
from stages.core.config.networks import BackboneConfig, TransformerConfig
from stages.extract.__main__ import main as extract
from stages.extract.methods.image.config import ImageEmbeddingConfig
from stages.extract.methods.region.config import RegionEmbeddingConfig
from stages.finetune.__main__ import main as finetune
from stages.finetune.methods.linear.config import LinearProbeConfig
from stages.finetune.methods.none.config import NoFineTuningConfig
from stages.finetune.methods.pixel.config import PixelFineTuningConfig
from stages.predict import Config
from stages.predict.__main__ import main as predict
from stages.predict.folder import predict_folder
from stages.pretrain.__main__ import main as pretrain
from stages.pretrain.methods.none.config import NoPretrainingConfig
from tests import tiny_transformers
from tests.fabricate import fabricate_image_labels, fabricate_images
from tests.methods import small

assert tiny_transformers.NAMES
KEYS = TransformerConfig(blocks=(1, 2), facet="keys", positions="dino")


def represent(**values: Any) -> None:
    backbone = BackboneConfig(name="tiny_patch14", transformer=KEYS)
    pretrain(NoPretrainingConfig(backbone=backbone, image_size=56, **values))
    attend(NoAttentionConfig())
    card = read_model_card("attend")
    assert (card.output_stride, card.embedding_size, card.parts.backbone.transformer) == (14, 48, KEYS)


def check_predictions() -> None:
    predict(Config())
    for got in open_label_maps("predict"):
        assert got.map.shape == (33, 47)
    predict_folder(Path("data/test"), Path("out"))
    assert len(list(Path("out/masks").rglob("*.png"))) == 3


@pytest.mark.parametrize("description", ["image", "class_token", "pixels"])
def test_centroids_segment_photographs_of_any_size(description: str) -> None:
    fabricate_images(9, (33, 47), held_out=3)
    represent()
    if description == "pixels":
        extract(RegionEmbeddingConfig(regions="pixels", pixels=7, short_side=50))
    else:
        embedding: Any = "class_token" if description == "class_token" else "backbone"
        extract(ImageEmbeddingConfig(resize=50, crop=45, embedding=embedding))
    assert read_features().embeddings.shape[1] == 48
    assert np.isfinite(read_features().embeddings).all()
    cluster(KMeansConfig(k=3, restarts=2))
    finetune(NoFineTuningConfig(short_side=45))
    check_predictions()


@pytest.mark.parametrize("method", [PixelFineTuningConfig, LinearProbeConfig])
def test_a_segmenter_is_trained_on_labels(method: Any) -> None:
    train = fabricate_images(9, (33, 47), held_out=3).in_splits("train")
    represent()
    extract(ImageEmbeddingConfig(resize=50, crop=45))
    cluster(KMeansConfig(k=3, restarts=2))
    fabricate_image_labels(train)
    write_labels([], {1: "a", 2: "b", 3: "c"}, [], "folder")  # for the probe
    finetune(small(method, short_side=45))
    check_predictions()
