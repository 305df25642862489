"""Online clustering: codes by Sinkhorn, the SwAV loss and its queue."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.engine.distributed import gather, local_rows, max_over_processes, mean_over_rows, sum_over_processes

_SINKHORN_ROUNDS = 3


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float) -> Tensor:
    """Soft codes that use all prototypes equally over the batch of all processes.

    Args:
        scores: (B, P) cosines of this process's embeddings and the prototypes; B may differ, and may be 0.
        epsilon: Smoothness; small values give hard codes.

    Returns:
        (B, P) float32, each row sums to 1.

    Source: SwAV, section 3.1 and A.1 (3 rounds). The largest score is subtracted first, which leaves the result and
    avoids overflow.
    """
    scores = scores.float()
    top = max_over_processes(scores.max() if len(scores) else scores.new_tensor(-torch.inf))
    codes = torch.exp((scores - top) / epsilon)  # (B, P)
    # Pixels may be more on one process than on another.
    batch = sum_over_processes(codes.new_tensor(float(codes.shape[0])))
    codes /= sum_over_processes(codes.sum())
    for _ in range(_SINKHORN_ROUNDS):
        codes /= sum_over_processes(codes.sum(0)) * codes.shape[1]
        codes /= codes.sum(1, keepdim=True) * batch
    return codes * batch


def swav_loss(scores: Sequence[Tensor], codes: Sequence[Tensor], temperature: float) -> Tensor:
    """Predict the codes of each assigned view from every other view.

    Args:
        scores: One (B, P) per view; the first `len(codes)` views are those with codes. Means are over the rows of all
            processes.
        codes: One (B, P) per assigned view.
        temperature: T of the softmax.

    Source: SwAV, equation 2 and section 3.2 (multi-crop).
    """
    predictions = [F.log_softmax(score.float() / temperature, dim=1) for score in scores]
    terms = [
        mean_over_rows(-(code * prediction).sum(1))
        for assigned, code in enumerate(codes)
        for view, prediction in enumerate(predictions)
        if view != assigned
    ]
    return torch.stack(terms).mean()


class Queue(nn.Module):
    """First-in first-out queue of embeddings from earlier batches, one per assigned view.

    Used only once it is full: a queue of zeros or noise is what makes SwAV stall when it starts. Lives in buffers, so
    a checkpoint holds it.

    Source: the official form of SwAV's queue (zeros at the start, used once its last row is not zero).
    """

    embeddings: Tensor

    def __init__(self, views: int, length: int, size: int) -> None:
        super().__init__()
        self.register_buffer("embeddings", torch.zeros(views, length, size))

    @property
    def is_full(self) -> bool:
        """Whether every row has been filled."""
        return bool((self.embeddings[:, -1] != 0).any(1).all()) if self.embeddings.shape[1] else False

    def share(self, view: int) -> Tensor:
        """This process's share of a view's queue."""
        return local_rows(self.embeddings[view])

    def written(self, view: int) -> Tensor:
        """The rows (R, D) of this process's share that have been written so far."""
        rows = self.share(view)
        return rows[(rows != 0).any(1)]

    @torch.no_grad()
    def push(self, view: int, z: Tensor) -> None:
        """Put the (B, D) unit vectors of all processes in front and drop the oldest."""
        z = gather(z)
        count = min(len(z), self.embeddings.shape[1])
        self.embeddings[view] = torch.cat(
            [z[:count].float(), self.embeddings[view, : self.embeddings.shape[1] - count]]
        )
