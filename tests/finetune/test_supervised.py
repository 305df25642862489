"""Fine-tuning of the whole network on true masks: what is frozen stays."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from stages.core.engine.method import TrainingProgress
from stages.core.nets.features import build_features
from stages.finetune.methods.supervised.config import SupervisedFineTuningConfig
from stages.finetune.pixel_labels import PixelLabelClassifier
from tests.fabricate import BACKBONE
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
