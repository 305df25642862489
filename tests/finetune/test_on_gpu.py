"""Every method of fine-tuning on a GPU: where there is none, that no tensor stays on the CPU."""

from __future__ import annotations

from typing import Any

import pytest

from tests.finetune.test_every_method import build, every_trained_method, fabricate_inputs
from tests.methods import check_resumes_exactly, load_two_batches, small
from tests.on_gpu import check_a_step_as_on_the_cpu, check_no_tensor_stays_on_the_cpu


@every_trained_method
def test_no_tensor_stays_on_the_cpu(config_type: Any) -> None:
    index = fabricate_inputs()
    method = build(small(config_type))
    is_whole = check_no_tensor_stays_on_the_cpu(method, load_two_batches(method, index)[0])
    assert is_whole == (config_type.model_fields["method"].default != "transfgu"), "which reads values of its maps"


@pytest.mark.gpu
@every_trained_method
def test_a_step_is_as_on_the_cpu(config_type: Any) -> None:
    index = fabricate_inputs()
    method = build(small(config_type))
    check_a_step_as_on_the_cpu(method, load_two_batches(method, index)[0])


@pytest.mark.gpu
@every_trained_method
def test_resumes_to_the_same_bytes(config_type: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUSS_DEVICE", "cuda")
    index, config = fabricate_inputs(), small(config_type)
    check_resumes_exactly(lambda: build(config), config, index, monkeypatch)
