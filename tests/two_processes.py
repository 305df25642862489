"""Two processes on this machine that train together."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist
from torch import multiprocessing


def in_two_processes(function: Callable[[], dict[str, Any]], folder: Path | None = None) -> list[dict[str, Any]]:
    """What a function of a module returns in each of two processes that know each other.

    Args:
        function: Is called in both.
        folder: Where they meet; by default the current one.
    """
    folder = folder or Path.cwd()
    multiprocessing.spawn(_join, (function, folder), nprocs=2)
    return [torch.load(folder / f"result{rank}.pt") for rank in range(2)]


def _join(rank: int, function: Callable[[], dict[str, Any]], folder: Path) -> None:
    os.chdir(folder)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.manual_seed(0)
    torch.save(function(), folder / f"result{rank}.pt")
    dist.destroy_process_group()
