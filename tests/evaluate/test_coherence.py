"""cat.cos and view.cos against plain forms of themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.models import describe_parts, write_model
from stages.core.config.networks import BackboneConfig, ProjectionConfig
from stages.core.config.views import CropConfig, InputCard, MultiCropConfig
from stages.core.nets.backbones import build_backbone
from stages.core.nets.features import FeatureNetwork
from stages.core.nets.heads import ProjectionHead
from stages.core.png_files import encode_png, read_mask
from stages.evaluate import CoherenceConfig, Config
from stages.evaluate.__main__ import main
from stages.evaluate.evaluators.coherence import _compare_in_views, measure_coherence
from stages.evaluate.inputs import read_inputs
from stages.evaluate.scoring import OUT
from tests.evaluate.project import write_project
from tests.fabricate import backbone_card, index_again

BACKBONE = BackboneConfig(name="test_resnet", output_stride=16)
HEAD = ProjectionConfig(hidden=0, projected=8, last_norm=True)
SIDE = 48


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[nn.Module, ProjectionHead]:
    """Written as pretrain's model of a finished pipeline, whose photographs are `SIDE` pixels wide."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUSS_WORKERS", "1")
    write_project()
    torch.manual_seed(0)
    backbone = build_backbone(BACKBONE)
    head = ProjectionHead(FeatureNetwork(backbone).size, HEAD).eval()
    parts = {"backbone": backbone, "projector": head}
    expects = InputCard(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), size=SIDE)
    described = {"input": expects, "parts": describe_parts(parts)}
    write_model("pretrain", parts, backbone_card().model_copy(update=described), [])
    return backbone.eval(), head


@torch.no_grad()
def test_pixels_against_the_mean_of_their_class(network: tuple[nn.Module, ProjectionHead]) -> None:
    backbone, head = network
    inputs, vectors = read_inputs(), {class_id: [] for class_id in (1, 2, 3)}
    for position, image_id in enumerate(inputs.images.image_ids):
        if image_id.startswith("validation"):
            photo = torch.from_numpy(inputs.images.read(position).copy()).permute(2, 0, 1)[None] / 255
            features = backbone((photo - 0.5) / 0.25)[0]  # (L, 3, 3)
            mask = read_mask(dict(inputs.masked("validation"))[image_id])
            for i, j in np.ndindex(3, 3):
                if (class_id := int(mask[i * 16, j * 16])) in vectors:
                    vectors[class_id].append(F.normalize(head.layers(features[:, i, j][None]), dim=1)[0])
    cosines = []
    for rows in filter(None, vectors.values()):
        mean = torch.stack(rows).mean(0)
        cosines += [float(F.cosine_similarity(row, mean, dim=0)) for row in rows]
    assert len(cosines) > 10
    found = measure_coherence(inputs, "validation", CoherenceConfig(), 1000)
    assert found.cat_cos == pytest.approx(100 * np.mean(cosines), rel=1e-4)


def test_the_same_place_is_read_from_both_views(network: tuple[nn.Module, ProjectionHead]) -> None:
    """Where color tells the place, the colors of both views agree, mirrored or not; those of other places do not."""
    index = read_images().in_splits("validation")
    ramp = np.arange(SIDE, dtype=np.uint8)[None].repeat(SIDE, 0) * 5
    for position in range(len(index)):
        Path("data", index[position].path).write_bytes(encode_png(np.stack([ramp, ramp.T, 255 - ramp], 2)))
    index = index_again(index)
    views = MultiCropConfig(crops=(CropConfig(count=2, size=32, scale=(0.3, 1.0)),), photometric=None)
    assert _compare_in_views(Colors(), views, index) > 0.98
    assert _compare_in_views(Colors(second_is_turned=True), views, index) < 0.8


class Colors(nn.Module):
    """Colors as embeddings of pixels; of the second view upside down, if so."""

    def __init__(self, second_is_turned: bool = False) -> None:
        super().__init__()
        self.second_is_turned, self.views = second_is_turned, 0

    def features(self, view: Tensor) -> Tensor:
        self.views += 1
        return view.flip(2) if self.second_is_turned and self.views % 2 == 0 else view

    def embed(self, features: Tensor) -> Tensor:
        return F.normalize(features.permute(0, 2, 3, 1), dim=3)


def test_a_run_reports_both_where_it_is_asked_to(network: tuple[nn.Module, ProjectionHead]) -> None:
    main(Config(coherence=CoherenceConfig(), overlays=0))
    metrics = json.loads((OUT / "metrics.json").read_text())
    for split in ("validation", "test"):
        assert -100 <= metrics[split]["view_cos"] <= 100
        assert 0 < metrics[split]["cat_cos"] <= 100
    main(Config(overlays=0))
    assert "cat_cos" not in json.loads((OUT / "metrics.json").read_text())["validation"]
