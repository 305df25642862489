"""The linear probe trains its head alone and finds what a linear classifier of the pixels finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from stages.core.artifacts.label_maps import IGNORE, LabelMap, write_label_maps
from stages.core.artifacts.labels import write_labels
from stages.core.artifacts.models import read_model
from stages.core.nets.features import build_features
from stages.core.nets.segmenter import Segmenter, restore_segmenter
from stages.finetune.__main__ import main
from stages.finetune.methods.linear.config import LinearProbeConfig
from tests.fabricate import BACKBONE, fabricate_backbone, fabricate_clusters, fabricate_images
from tests.methods import small


def test_only_the_head_moves_and_it_tells_bright_squares_from_noise() -> None:
    index = fabricate_images(12, (32, 32), names=("a", "b"))
    backbone = fabricate_backbone("pretrain")
    fabricate_backbone("attend")
    fabricate_clusters([0] * 12, index.image_ids, 3)
    write_labels([], {1: "a", 2: "b"}, [], "folder")
    maps = [np.full((4, 4), 1 + (number >= 6), np.uint16) for number in range(12)]
    for each in maps:
        each[0] = IGNORE
    write_label_maps(
        "pseudolabel", "masks", [LabelMap(i, 32, 32, m) for i, m in zip(index.image_ids, maps, strict=True)]
    )
    training = {"epochs": 40, "batch_size": 6, "optimizer": {"kind": "adamw", "base_lr": 2.0, "final_lr": 0.0}}
    views = {
        **small(LinearProbeConfig).views.model_dump(),
        "crops": [{"count": 1, "size": 32, "scale": [1, 1]}],
        "flip": 0.0,
    }
    main(small(LinearProbeConfig, training=training, views=views))
    card, states = read_model("finetune")
    assert card.labels_used is True
    for name, value in backbone.state_dict().items():
        assert torch.equal(states["backbone"][name], value), f"{name} moved"
    segmenter = restore_segmenter(card, states)
    found = [int(segmenter.segment_photograph(index.read(n), 10**6).label[16, 16]) for n in range(12)]
    with torch.no_grad():
        images = torch.stack([torch.from_numpy(index.read(n).copy()).permute(2, 0, 1) / 255 for n in range(12)])
        mean, std = (torch.tensor(getattr(card.input, key))[:, None, None] for key in ("mean", "std"))
        features = backbone((images - mean) / std).mean((2, 3)).numpy()
    classes = [1] * 6 + [2] * 6
    expected = LogisticRegression(max_iter=1000).fit(features, classes).predict(features)
    assert np.mean(np.array(found) == expected) > 0.9
    assert not list(Path(".checkpoints").glob("*/*"))


def test_two_layers_with_batch_norm_become_one() -> None:
    torch.manual_seed(0)
    features = build_features(BACKBONE, None)
    probe = LinearProbeConfig(hidden=12, normalize=True).build(features, 4)
    for _ in range(3):  # the statistics of the batch norm
        probe.train()._classify(torch.randn(2, features.size, 5, 6) * 3)
    maps = torch.randn(2, features.size, 5, 6)
    torch.testing.assert_close(probe.classifier(maps), probe.eval()._classify(maps))
    assert probe.classifier.conv.out_channels == 5
    trained = {name.partition(".")[0] for name, weight in probe.named_parameters() if weight.requires_grad}
    assert trained == {"first", "last"}


def test_without_a_background_every_class_has_a_channel_and_a_target() -> None:
    torch.manual_seed(0)
    config = LinearProbeConfig(background=False)
    probe = config.build(build_features(BACKBONE, None), 3)
    assert probe.classifier.conv.out_channels == 3
    ids = torch.tensor([[1, 3, 2], [IGNORE, 0, 1]])
    assert probe._find_targets(ids).tolist() == [[0, 2, 1], [IGNORE, IGNORE, 0]]
    segmenter = Segmenter(probe.features, probe.classifier, config.segmenter_card(3), config.views.input_card).eval()
    with torch.no_grad():
        segmenter.head.conv.weight.zero_()
        segmenter.head.conv.bias.copy_(torch.tensor([1.0, 3, 2]))
    found = segmenter.segment_photograph(np.zeros((32, 32, 3), np.uint8), 10**6).label
    assert np.unique(found).tolist() == [2], "the second class, none of it background"
