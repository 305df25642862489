"""Chooses device and precision from the hardware; neither is a parameter of a stage."""

from __future__ import annotations

import logging
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stages.core.cli import worker_number
from stages.core.engine.allocator import keep_freed_memory
from stages.core.engine.launch import is_launched
from stages.core.errors import UserError
from stages.core.parent import exit_with_parent

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_PRECISIONS = {"bf16": "bf16-mixed", "fp32": "32-true"}


def start_fabric() -> Fabric:
    """A GPU if there is one, else the CPU, one device per process that was launched; bf16 where it is native.

    LUSS_DEVICE (`cpu`, `cuda`, `mps`) and LUSS_PRECISION (`bf16`, `fp32`) overrule what is found.
    """
    with _without_torchmetrics():
        from lightning_fabric import Fabric  # slow to load, and inference needs none
        from lightning_fabric.strategies.ddp import DDPStrategy

    device = _choose("LUSS_DEVICE", ("cpu", "cuda", "mps"), "auto")
    precision = _choose("LUSS_PRECISION", tuple(_PRECISIONS), "bf16" if _has_bf16(device) else "fp32")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # It would also fill all memory before its first use, a tenth of a step; nothing here reads what it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    options: dict[str, Any] = {"accelerator": device, "devices": 1, "precision": _PRECISIONS[precision]}
    if inference_device().type == "cuda":
        _attend_in_one_order()
    elif inference_device().type == "cpu":
        keep_freed_memory()
    if not is_launched():
        return Fabric(**options)
    exit_with_parent()
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    # Gloo carries what processes agree on, beside NCCL's gradients: it does not make the GPU wait.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and device != "cpu" else "gloo"
    strategy = DDPStrategy(process_group_backend=backend, broadcast_buffers=False, find_unused_parameters=True)
    nodes = int(os.environ["WORLD_SIZE"]) // here
    fabric = Fabric(**options | {"devices": here, "num_nodes": nodes, "strategy": strategy})
    fabric.launch()
    return fabric


@contextmanager
def _without_torchmetrics() -> Iterator[None]:
    """Let torchmetrics be absent, which Fabric loads where it is installed, with SciPy and matplotlib, for its version.

    That takes 2.4 s, half of what a training needs to start, and nothing here uses it.
    """
    is_loaded = "torchmetrics" in sys.modules
    if not is_loaded:
        sys.modules["torchmetrics"] = None  # type: ignore[assignment]  # what `import` takes for absent
    try:
        yield
    finally:
        if not is_loaded:
            del sys.modules["torchmetrics"]


def _attend_in_one_order() -> None:
    """Let a GPU's attention be plain products of matrices: fused kernels add up gradients in any order.

    They can do otherwise, but only where torch stops at whatever has no such form instead of warning of it.
    """
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    torch.backends.cuda.enable_cudnn_sdp(False)


def seed_everything(seed: int) -> None:
    """Seed every generator of this process."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def inference_device() -> torch.device:
    """Device for inference: LUSS_DEVICE, else a GPU if there is one, else the CPU.

    Worker processes share several GPUs: each takes one, by its number.
    """
    device = _choose("LUSS_DEVICE", ("cpu", "cuda", "mps"), "auto")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and (number := worker_number()):
        return torch.device(device, number % torch.cuda.device_count())
    return torch.device(device)


def network_processes() -> int:
    """Processes of this machine that run a network side by side: one on each GPU; without a GPU one, with threads."""
    return torch.cuda.device_count() if inference_device().type == "cuda" else 1


def _choose(variable: str, valid: tuple[str, ...], default: str) -> str:
    given = os.environ.get(variable) or default
    if given not in (*valid, default):
        raise UserError(f"{variable}={given!r}: must be one of {', '.join(valid)}")
    if given == "cuda" and not torch.cuda.is_available():
        raise UserError(f"{variable}=cuda: torch finds no CUDA device")
    return given


def _has_bf16(device: str) -> bool:
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device != "mps" and bool(torch.cpu._is_avx512_bf16_supported())
