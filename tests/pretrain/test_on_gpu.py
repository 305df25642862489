"""Every method of pretraining on a GPU: where there is none, that no tensor stays on the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stages.pretrain.methods.simclr.config import SimCLRConfig
from tests.methods import check_resumes_exactly, load_two_batches, small
from tests.on_gpu import check_a_step_as_on_the_cpu, check_no_tensor_stays_on_the_cpu
from tests.pretrain.test_every_method import build, every_trained_method, fabricate_inputs

READING = {"swav", "luss", "pass_", "maskcontrast", "vice", "deepcluster", "odc", "pcl", "picie", "iic", "pixpro"}
"""Methods that read values of tensors in a step, behind the network's forward pass."""


def still(config_type: Any) -> Any:
    """Small, and without random numbers, which a GPU draws otherwise."""
    config = small(config_type)
    if "backbone" not in config_type.model_fields:
        return config
    return config.model_copy(update={"backbone": config.backbone.model_copy(update={"drop_path": 0.0})})


@every_trained_method
def test_no_tensor_stays_on_the_cpu(config_type: Any) -> None:
    method = build(still(config_type))
    is_whole = check_no_tensor_stays_on_the_cpu(method, load_two_batches(method, fabricate_inputs())[0])
    assert is_whole == (config_type.model_fields["method"].default not in READING)


def test_one_that_stays_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A temperature that is no buffer does not go along."""
    method = build(still(SimCLRConfig))
    step, scale = method.step, torch.tensor([2.0])

    def forgetful(batch: Any, progress: Any) -> Any:
        losses = step(batch, progress)
        losses.total = (losses.total * scale).sum()
        return losses

    monkeypatch.setattr(method, "step", forgetful)
    batch = load_two_batches(method, fabricate_inputs())[0]
    with pytest.raises(AssertionError, match="Please convert all Tensors to FakeTensors"):
        check_no_tensor_stays_on_the_cpu(method, batch)


@pytest.mark.gpu
@every_trained_method
def test_a_step_is_as_on_the_cpu(config_type: Any) -> None:
    method = build(still(config_type))
    check_a_step_as_on_the_cpu(method, load_two_batches(method, fabricate_inputs())[0])


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@every_trained_method
def test_resumes_to_the_same_bytes(config_type: Any, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUSS_DEVICE", "cuda")
    monkeypatch.setenv("LUSS_PRECISION", precision)
    config = small(config_type)
    check_resumes_exactly(lambda: build(config), config, fabricate_inputs(), monkeypatch)
