"""DINO's head."""

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from stages.core.nets.precision import full_precision
from stages.pretrain.methods.dino.config import DINOHeadConfig


class DINOHead(nn.Module):
    """Three linear layers with GELU, unit vectors, and prototypes of unit length: embeddings (B, L) to scores (B, P).

    Source: appendix C; weights start as in the authors' code, with a normal distribution cut off at 2 and of 0.02.
    """

    def __init__(self, size: int, config: DINOHeadConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (size, config.hidden):
            norm = [nn.BatchNorm1d(config.hidden)] if config.batch_norm else []
            layers += [nn.Linear(inputs, config.hidden), *norm, nn.GELU()]
        self.layers = nn.Sequential(*layers, nn.Linear(config.hidden, config.bottleneck))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.last = weight_norm(nn.Linear(config.bottleneck, config.prototypes, bias=False))
        self.lengths.data.fill_(1)
        self.lengths.requires_grad = not config.norm_last_layer

    @property
    def lengths(self) -> nn.Parameter:
        """Length (P, 1) of every row of the last layer."""
        lengths: nn.Parameter = self.last.parametrizations.weight.original0
        return lengths

    def drop_last_gradient(self) -> None:
        """Forget the gradient of the last layer."""
        for parameter in self.last.parameters():
            parameter.grad = None

    @full_precision
    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, L) to scores (B, P)."""
        scores: Tensor = self.last(F.normalize(self.layers(embeddings), dim=1))
        return scores
