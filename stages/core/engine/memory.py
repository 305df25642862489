"""A memory with one row per photograph, and groups of photographs; both live in buffers, so a checkpoint holds them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.engine.distributed import gather


class Memory(nn.Module):
    """One unit vector per photograph, random at first: a moving average of what was last made of it.

    Args:
        photographs: N, rows.
        size: D
        kept: Share of a row that an update keeps.

    Source: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, CVPR 2018, section 3.1;
    with the moving average of OpenSelfSup's NPID and ODC.
    """

    rows: Tensor

    def __init__(self, photographs: int, size: int, kept: float) -> None:
        super().__init__()
        self._kept = kept
        self.register_buffer("rows", F.normalize(torch.randn(photographs, size), dim=1))

    @torch.no_grad()
    def update(self, positions: Tensor, z: Tensor) -> None:
        """Move the rows of the photographs (B,) of all processes towards (B, D) unit vectors."""
        positions, z = gather(positions), gather(z.float())
        moved = self._kept * self.rows[positions] + (1 - self._kept) * z
        self.rows[positions] = F.normalize(moved, dim=1)

    @torch.no_grad()
    def fill(self, z: Tensor) -> None:
        """Take unit vectors (N, D) in place of all rows."""
        self.rows.copy_(z)


def group_use(groups: Tensor, count: int) -> Tensor:
    """Entropy of the sizes of `count` groups (N,), as a share of the largest possible: 0 where one takes all."""
    shares = torch.bincount(groups, minlength=count).float() / len(groups)
    return -(shares * shares.clamp_min(1e-12).log()).sum() / torch.log(torch.tensor(float(count)))
