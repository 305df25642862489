"""Measures of collapse (std of embeddings, use of prototypes) that methods log and the loop monitors."""

import math

import torch
from torch import Tensor

from stages.core.engine.distributed import mean_over_processes, mean_over_rows


@torch.no_grad()
def embedding_std(z: Tensor) -> Tensor:
    """Standard deviation of embeddings around their mean, over the batch of all processes.

    Args:
        z: (B, D) unit vectors.

    Returns:
        Scalar: 1 where they point everywhere, 0 where all are the same.
    """
    z = z.detach().float()
    apart = z - mean_over_processes(z)
    return mean_over_processes(apart.square().sum(1)).sqrt()


@torch.no_grad()
def prototype_use(probabilities: Tensor) -> Tensor:
    """Entropy of the mean prediction, as a share of the largest possible.

    Args:
        probabilities: (B, P), rows sum to 1.

    Returns:
        Scalar: 1 where all prototypes are used alike, 0 where one takes everything.
    """
    return mean_entropy(mean_over_processes(probabilities.detach().float())) / math.log(probabilities.shape[1])


def mean_entropy(probabilities: Tensor) -> Tensor:
    """Mean entropy in nats of distributions (B, P), or the entropy of one (P,)."""
    return mean_over_rows(-(probabilities * probabilities.clamp_min(1e-12).log()).sum(-1).reshape(-1))
