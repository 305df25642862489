"""Parameters of training: epochs, batch size, optimizer, learning rate schedule, momentum of a teacher."""

import math
from typing import Any, Literal, Protocol

from pydantic import Field, model_validator

from stages.core.config.params import Params


class OptimizerConfig(Params):
    """Optimizer and learning rate; the rate warms up linearly and then falls."""

    kind: Literal["larc", "lars", "sgd", "adam", "adamw"] = "larc"
    """LARC on SGD with momentum (SwAV), LARS (LARC that leaves biases and norms unscaled), plain SGD with momentum,
    Adam (weight decay as a part of the gradient), or AdamW."""
    base_lr: float = Field(0.6, gt=0)
    """Learning rate for 256 photographs a batch; used is base_lr * batch_size / 256. SwAV: 0.6."""
    final_lr: float = Field(0.0006, ge=0)
    """Learning rate at the end, for 256 photographs a batch. SwAV: 0.0006."""
    schedule: Literal["cosine", "poly", "step", "constant"] = "cosine"
    """Way from base_lr to final_lr; `step`: at once after two thirds. SwAV: cosine; MaskContrast: poly; probe: step."""
    power: float = Field(0.9, gt=0)
    """Of `poly`. DeepLab and MaskContrast: 0.9."""
    lr_step: Literal["iteration", "epoch"] = "iteration"
    """How often the rate falls. SwAV: every iteration; MaskContrast: every epoch."""
    warmup_epochs: float = Field(0.0, ge=0)
    """Epochs of linear warm-up. SwAV at small batches: none."""
    warmup_lr: float = Field(0.0, ge=0)
    """Learning rate that the warm-up starts from, for 256 photographs a batch. SwAV: 0.3 at batches of 4096, as 0.01875
    for 256."""
    weight_decay: float = Field(1e-6, ge=0)
    """SwAV: 1e-6."""
    final_weight_decay: float | None = Field(None, ge=0)
    """Weight decay at the end, approached along a cosine; null where it stays. DINO: from 0.04 to 0.4."""
    decay_norm_and_bias: bool = True
    """Whether biases and norms decay too. SwAV's LARC: yes; usual for LARS and AdamW: no."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Of SGD; Adam's and AdamW's first beta. SwAV: 0.9."""
    clip_norm: float = Field(0.0, ge=0)
    """Norm of the gradients above which they are scaled down; 0 for none. SwAV: none; DINO: 3."""
    clip_each: bool = False
    """Whether every parameter's gradient is scaled down by its own norm, and not all by their common one. DINO: yes."""
    lr_scales: dict[str, float] = Field({})
    """Factors of the learning rate by the beginning of parameters' names, as {backbone: 0.1}; the longest counts."""


class TrainingConfig(Params):
    """Epochs, batch size, seed and optimizer of a training."""

    epochs: int = Field(ge=1)
    """Passes over the training photographs."""
    batch_size: int = Field(256, ge=1)
    """Photographs per step, over all devices."""
    norm_group: int = Field(0, ge=0)
    """Photographs whose views share the statistics of batch norm, as on one GPU or on those that synchronize; however
    many there are here. What is left over joins the last group; 0 for all photographs of a step."""
    seed: int = Field(0, ge=0)
    """Of weights, order and views."""
    optimizer: OptimizerConfig = OptimizerConfig()

    @property
    def at_once(self) -> int:
        """Photographs of a step that a process computes in one pass; 0 for all of its share."""
        return 0

    @model_validator(mode="before")
    @classmethod
    def _divides_nothing_else(cls, values: Any) -> Any:
        if isinstance(values, dict) and "micro_batch" in values and "micro_batch" not in cls.model_fields:
            raise ValueError(
                "micro_batch: this method's loss is no mean over photographs, each of which could be computed apart; "
                "leave it out, and lower batch_size or train on more GPUs where a step does not fit"
            )
        return values


class DivisibleTrainingConfig(TrainingConfig):
    """Training whose loss is a mean over photographs, or their pixels, so that a step may be computed in parts."""

    micro_batch: int = Field(0, ge=0)
    """Photographs of a step that a process computes at once; gradients add up to those of the whole step, in less
    memory. Batch norm that trains then wants `norm_group`, and dropout draws other numbers. 0 for all."""

    @property
    def at_once(self) -> int:
        """See `TrainingConfig.at_once`."""
        return self.micro_batch


class HasIterations(Protocol):
    """Anything that knows the current and the total number of iterations."""

    @property
    def iteration(self) -> int:
        """From 0."""

    @property
    def iterations(self) -> int:
        """Of the whole training."""


class MomentumConfig(Params):
    """Momentum of the moving average by which a copy (teacher, key encoder) follows its network."""

    value: float = Field(0.999, ge=0, le=1)
    """Share of the copy that an update keeps. MoCo: 0.999; BYOL and DINO: 0.996."""
    schedule: Literal["fixed", "cosine"] = "fixed"
    """`cosine`: grows from `value` to 1 at the end of training. MoCo: fixed; BYOL and DINO: cosine."""

    def at(self, progress: HasIterations) -> float:
        """The momentum of an iteration.

        Source: BYOL, section 3.3: 1 - (1 - value)(cos(pi k / K) + 1) / 2.
        """
        if self.schedule == "fixed":
            return self.value
        return 1 - (1 - self.value) * (math.cos(math.pi * progress.iteration / progress.iterations) + 1) / 2
