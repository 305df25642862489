"""Losses that pull two views of a photograph together: contrastive ones push others away, regression does not."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.core.engine.distributed import gather_with_gradient, mean_over_rows, rank


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding each view's partner among all other views of the batch of all processes.

    Args:
        first: (B, D) unit vectors of one view of this process's photographs.
        second: (B, D) of the other view.
        temperature: Of the softmax.

    Returns:
        Scalar; ln(2 N - 1) of N photographs in all processes where all cosines are equal.

    Source: SimCLR, equation 1 and algorithm 1.
    """
    with torch.autocast(first.device.type, enabled=False):
        own = torch.cat([first, second]).float()  # (2 B, D)
        everything = torch.cat([gather_with_gradient(first), gather_with_gradient(second)]).float()  # (2 N, D)
        logits = own @ everything.T / temperature
    photographs, start = len(everything) // 2, rank() * len(first)
    rows = torch.arange(start, start + len(first), device=own.device)
    itself = torch.cat([rows, rows + photographs])
    logits = logits.masked_fill(F.one_hot(itself, len(everything)).bool(), -torch.inf)
    return F.cross_entropy(logits, itself.roll(len(first)))


def info_nce(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy of telling each query's own key from the negatives.

    Args:
        queries: (B, D) unit vectors.
        keys: (B, D), row for row those of the queries.
        negatives: (K, D) that all queries share.
        temperature: Of the softmax.

    Returns:
        The loss over all processes, ln(K + 1) where all cosines are equal, and without gradient the share of queries
        that are nearest to their own key.

    Source: MoCo, equation 1.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, keys = queries.float(), keys.float()
        logits = torch.cat([(queries * keys).sum(1, keepdim=True), queries @ negatives.float().T], 1) / temperature
    target = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    accuracy = mean_over_rows((logits.detach().argmax(1) == target).float())
    return F.cross_entropy(logits, target), accuracy


def regression_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean squared distance of unit vectors, 2 - 2 cosine: 0 where a prediction points at its target, 2 at chance.

    Args:
        predictions: (B, D), of any length.
        targets: (B, D), of any length; they get no gradient.

    Source: BYOL, equation 2.
    """
    return 2 - 2 * F.cosine_similarity(predictions.float(), targets.detach().float()).mean()


def draw_others(rows: int, wanted: int, key: list[int]) -> Tensor | None:
    """Some rows of a bank, to be told from; None for all of them where there are no more.

    Args:
        rows: Of the bank.
        wanted: Rows to draw.
        key: What the draw depends on, as seed and iteration; all processes draw the same.
    """
    if wanted >= rows - 1:
        return None
    return torch.from_numpy(np.random.default_rng(key).choice(rows, wanted, replace=False))


def contrast_rows(
    queries: Tensor, bank: Tensor, own: Tensor, others: Tensor | None, temperature: float | Tensor
) -> Tensor:
    """Cross-entropy of telling each query's own row of a bank from other rows.

    Args:
        queries: (B, D) unit vectors.
        bank: (N, D) unit vectors.
        own: (B,) row of each query.
        others: (R,) rows that all queries share, a query's own left out; None for all.
        temperature: Of the softmax, or (N,) one for each row.

    Returns:
        Scalar; ln N where all cosines are equal and no rows are drawn.

    Source: NPID, equation 2; PCL, equation 11.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, bank = (
            queries.float(),
            bank / (temperature[:, None] if isinstance(temperature, Tensor) else temperature),
        )
        if others is None:
            return F.cross_entropy(queries @ bank.T, own)
        others = others.to(own.device)
        logits = (queries @ bank[others].T).masked_fill(others == own[:, None], -torch.inf)
        logits = torch.cat([(queries * bank[own]).sum(1, keepdim=True), logits], 1)
    return F.cross_entropy(logits, torch.zeros_like(own))
