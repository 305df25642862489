"""Whether a training step is left to chance on a GPU, found out on the CPU by what it calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stages.core.artifacts.image_index import ImageIndex
from stages.core.engine.method import TrainingMethod, TrainingProgress
from tests.methods import load_two_batches

UNORDERED: dict[str, Callable[[Any], bool]] = dict.fromkeys(
    (
        "_adaptive_avg_pool2d_backward",
        "_adaptive_avg_pool3d_backward",
        "_upsample_bicubic2d_aa_backward",
        "_upsample_bilinear2d_aa_backward",
        "adaptive_max_pool2d_backward",
        "avg_pool3d_backward",
        "fractional_max_pool2d_backward",
        "grid_sampler_2d_backward",
        "grid_sampler_3d_backward",
        "histc",
        "max_unpool2d",
        "put_",
        "reflection_pad2d_backward",
        "upsample_bicubic2d_backward",
    ),
    lambda args: True,
) | {
    "bincount": lambda args: len(args) > 1 and args[1] is not None,  # with weights
    "median": lambda args: len(args) > 1,  # with indices
    "nll_loss2d_forward": lambda args: args[3] != 0,  # summed or averaged
    "scatter_reduce": lambda args: args[4] == "prod",
}
"""What adds in any order on a GPU whatever torch is told, and for which arguments: the list of
`torch.use_deterministic_algorithms`, without bilinear enlargement, which torch then computes otherwise. Products with
sparse matrices, which the manual of cuSPARSE says it of, are found by their layout."""


class OperationsSeen(TorchDispatchMode):
    """Notes what of `UNORDERED` is called, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.unordered: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in UNORDERED and UNORDERED[name](args):
            self.unordered.add(name)
        if name.endswith("mm") and any(isinstance(each, Tensor) and each.is_sparse for each in args):
            self.unordered.add(f"sparse {name}")
        return func(*args, **kwargs or {})


def check_a_step_adds_in_one_order(method: TrainingMethod, index: ImageIndex) -> None:
    """Nothing in a step is left to chance on a GPU; on the CPU one sees it by what is called."""
    batch = load_two_batches(method, index)[0]
    with OperationsSeen() as seen:
        method.step(batch, TrainingProgress(0, 1, 0, 1)).total.backward()
    assert not seen.unordered
