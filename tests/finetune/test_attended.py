"""Fine-tuning on image labels with a model that attends: the attention learns along and is part of the segmenter."""

from __future__ import annotations

import pytest
import torch

from stages.core.artifacts.models import describe_parts, read_model, write_model
from stages.core.nets.attention import PixelAttention
from stages.core.nets.segmenter import restore_segmenter
from stages.finetune.__main__ import main
from stages.finetune.methods.image.config import ImageFineTuningConfig
from tests.fabricate import fabricate_backbone, fabricate_clusters, fabricate_image_labels, fabricate_images
from tests.methods import small


def fabricate_attending_model() -> None:
    """The fabricated model of pretraining with an attention part."""
    index = fabricate_images(12)
    network = fabricate_backbone("pretrain", "random")
    card, _ = read_model("pretrain", ["backbone"])
    torch.manual_seed(1)
    parts = {"backbone": network, "attention": PixelAttention(card.embedding_size)}
    write_model("pretrain", parts, card.model_copy(update={"parts": describe_parts(parts)}), [])
    fabricate_clusters([n // 4 for n in range(12)], index.image_ids, 3)
    fabricate_image_labels(index)


@pytest.mark.parametrize("attended", [True, False])
def test_the_segmenter_attends_as_it_was_trained(attended: bool) -> None:
    fabricate_attending_model()
    main(small(ImageFineTuningConfig, attended=attended))
    before, (card, states) = read_model("pretrain")[1]["attention"], read_model("finetune", ["backbone", "head"])
    assert ("attention" in states) == (card.parts.attention is not None) == attended
    segmenter = restore_segmenter(card, states)
    images = torch.randn(1, 3, 32, 32)
    features = segmenter.features.backbone(images)
    if attended:
        assert not torch.equal(before["conv.weight"], states["attention"]["conv.weight"]), "it learns along"
        attention = PixelAttention(features.shape[1])
        attention.load_state_dict(states["attention"])
        features = attention(features) * features
    torch.testing.assert_close(segmenter(images), segmenter.head(features))
