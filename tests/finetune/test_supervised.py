"""Fine-tuning of the whole network on true masks: what is frozen stays."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stages.core.config.networks import BackboneConfig
from stages.core.engine.method import TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.nets.features import build_features
from stages.finetune.methods.pixel.config import PixelFineTuningConfig
from stages.finetune.methods.supervised.config import SupervisedFineTuningConfig
from stages.finetune.pixel_labels import PixelLabelClassifier
from tests.fabricate import BACKBONE, SIZE
from tests.finetune.test_every_method import fabricate_inputs
from tests.methods import load_two_batches, small


def norms_of(network: nn.Module) -> dict[str, torch.Tensor]:
    parts = {name: each for name, each in network.named_modules() if isinstance(each, nn.BatchNorm2d)}
    return {f"{name}.{key}": value for name, each in parts.items() for key, value in each.state_dict().items()}


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_norms_keep_statistics_and_weights_while_all_else_learns(frozen: bool) -> None:
    index = fabricate_inputs()
    method: PixelLabelClassifier = small(SupervisedFineTuningConfig, frozen_norms=frozen).build(
        build_features(BACKBONE, None), 3
    )
    before, convolution = copy.deepcopy(norms_of(method.features)), copy.deepcopy(method.features.backbone.state_dict())
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], 0.1)
    method.train().step(load_two_batches(method, index)[0], TrainingProgress(0, 1, 0, 1)).total.backward()
    optimizer.step()
    same = {name: torch.equal(value, before[name]) for name, value in norms_of(method.features).items()}
    means = [value for name, value in same.items() if name.endswith("running_mean")]
    assert means
    assert all(same.values()) if frozen else not any(means)
    weights = {name: value for name, value in method.features.backbone.state_dict().items() if value.ndim == 4}
    assert any(not torch.equal(value, convolution[name]) for name, value in weights.items())


def test_logits_may_be_enlarged_by_doubling() -> None:
    """2 x 2 cells of views of 64 pixels to 4 x 4 and to the 8 x 8 that labels are compared at."""
    torch.manual_seed(0)
    config = small(SupervisedFineTuningConfig, label_scale=0.125, by_doubling=True)
    method = config.build(build_features(BackboneConfig(name="test_resnet"), None), 3).eval()
    images, labels = torch.randn(2, 3, 64, 64), torch.randint(0, 4, (2, 64, 64))
    batch = Batch([images], torch.zeros(2, 1, 5), {"pseudolabel": [labels]}, torch.arange(2))
    loss = method.step(batch, TrainingProgress(0, 1, 0, 1)).total
    logits = method.head(method.features(images))
    assert logits.shape[2:] == (2, 2)
    for _ in range(2):
        logits = F.interpolate(logits, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels[:, ::8, ::8]))
    at_once = F.interpolate(method.head(method.features(images)), (8, 8), mode="bilinear")
    assert not torch.allclose(loss, F.cross_entropy(at_once, labels[:, ::8, ::8]), rtol=1e-4)


@pytest.mark.parametrize(("init", "size"), [("fan_out", (2 / 51) ** 0.5), ("uniform", (1 / 3 / SIZE) ** 0.5)])
def test_the_classifier_of_pixels_starts_as_asked_for(init: str, size: float) -> None:
    torch.manual_seed(0)
    method = small(PixelFineTuningConfig, head_init=init).build(build_features(BACKBONE, None), 50)
    assert method.head.conv.weight.std().item() == pytest.approx(size, rel=0.1)
