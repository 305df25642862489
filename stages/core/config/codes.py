"""Parameters of SwAV's online clustering: prototypes, Sinkhorn codes and queue."""

import math

from pydantic import Field

from stages.core.config.params import Params


class CodesConfig(Params):
    """Prototypes, codes and queue. The defaults are SwAV's for 256 photographs a batch."""

    prototypes: int = Field(3000, ge=2)
    """P. SwAV, section A.1: 3000."""
    temperature: float = Field(0.1, gt=0)
    """Of the softmax. SwAV, equation 2."""
    epsilon: float = Field(0.05, gt=0)
    """Smoothness of the codes. SwAV, equation 3."""
    queue: int = Field(0, ge=0)
    """Embeddings of earlier batches that help to assign codes; 0 for none. SwAV, section 4.1: 3840 for small
    batches."""
    queue_start_epoch: int = Field(15, ge=0)
    """Epoch from which the queue fills, counted from 0. SwAV, section 4.1: 15."""
    queue_start_iteration: int = Field(0, ge=0)
    """Iteration from which it fills, where that is later, counted from 0."""
    freeze_prototypes: int = Field(313, ge=0)
    """Iterations before the prototypes learn. SwAV's code: 313 (5005 for small batches)."""

    @property
    def chance(self) -> float:
        """The loss while every prototype is as likely as any other, ln P."""
        return math.log(self.prototypes)
