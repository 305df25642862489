"""Whether predictions tell photographs apart: what the loss alone does not say.

An untrained student's loss is far above ln P where the bottleneck is small, since few values make sharp scores, and
near it where the bottleneck is large. Ranks depend on neither, nor on temperatures.
"""

import torch
from torch import Tensor

from stages.core.engine.distributed import mean_over_processes

CHANCE = 0.5
"""The confusion of predictions that say nothing of their photographs."""


@torch.no_grad()
def confusion(scores: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Share of the batch's photographs whose targets a prediction fits better than those of its own photograph.

    What fits equally well counts half, the own one too. Photographs are compared within a process.

    Args:
        scores: (B, P) of a view by the student.
        targets: (B, P) of another view of the same photographs by the teacher; rows sum to 1.
        temperature: Of the student's softmax.

    Returns:
        Scalar: 1 / 2B where every prediction fits its own photograph best, 0.5 by chance and after a collapse.
    """
    fits = (scores.float() / temperature).log_softmax(1) @ targets.T  # (B, B), prediction by target
    own = fits.diagonal()[:, None]
    better, equal = (fits > own).float(), (fits == own).float()
    return mean_over_processes((better + equal / 2).mean(1))
