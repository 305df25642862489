"""IIC: what two views say of a pixel's cluster tells as much as possible of each other.

Source: Ji et al., Invariant Information Clustering for Unsupervised Image Classification and Segmentation, ICCV 2019.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.engine.collapse import prototype_use
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.distributed import sum_with_gradient
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.images.paired_pixels import read_pairs
from stages.core.nets.features import build_features
from stages.core.nets.heads import PixelClassifier
from stages.pretrain.methods.iic.config import IICConfig
from stages.pretrain.multi_crop import map_views

_CAUSES = "views are so different that pixels tell nothing of each other, or decoder.last_norm: true is needed"
_HEADS = 2
_LEAST = 1e-12


class IIC(TrainingMethod):
    """The network of features, and two heads that are trained by turns."""

    def __init__(self, config: IICConfig) -> None:
        super().__init__()
        self.config, self.views = config, config.views
        self.expected = Expectation({"untold": 1.0}, causes=_CAUSES)
        self.features = build_features(config.backbone, config.decoder, config.weights)
        size = self.features.size
        self.heads = nn.ModuleList(PixelClassifier(size, each) for each in (config.clusters, config.overclusters))

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Minus the information that pixels at the same place give of each other; equations 3 and 5."""
        head = self.heads[progress.epoch % _HEADS]
        logits = [head(features) for features in map_views(self.features, batch.views)]
        pairs, _ = read_pairs(logits, batch.windows, self.config.points)
        first, second = pairs.softmax(2)  # (P, C, G, G) each
        information = mutual_information(joint_distribution(first, second, self.config.shift))
        clusters = first.shape[1]
        parts = {
            "untold": 1 - information / math.log(clusters),
            "prototype_use": prototype_use(first.movedim(1, -1).flatten(0, 2)),
        }
        return Losses(-information, parts)

    def export(self) -> dict[str, nn.Module]:
        """Backbone and decoder."""
        return self.features.parts


def joint_distribution(first: Tensor, second: Tensor, shift: int) -> Tensor:
    """How often (C, C) a pixel of the first view is of a cluster and one of the second of another, both ways alike.

    Args:
        first: (P, C, G, G) probabilities at the same places of all photographs as the second's.
        second: (P, C, G, G)
        shift: Places up to which a pixel is paired with its neighbors, in both directions.

    Returns:
        (C, C) over the photographs of all processes; sums to 1 where there is any.

    Source: equations 4 and 5.
    """
    with torch.autocast(first.device.type, enabled=False):
        ahead, behind = first.float().transpose(0, 1), second.float().transpose(0, 1)  # (C, P, G, G)
        padded = F.pad(ahead, [shift] * 4)
        side = first.shape[-1]
        joint = ahead.new_zeros(len(ahead), len(ahead))
        for down in range(2 * shift + 1):
            for across in range(2 * shift + 1):
                moved = padded[:, :, down : down + side, across : across + side]
                joint = joint + moved.flatten(1) @ behind.flatten(1).T
    joint = sum_with_gradient(joint)
    joint = (joint + joint.T) / 2
    return joint / joint.sum().clamp_min(_LEAST)


def mutual_information(joint: Tensor) -> Tensor:
    """Information in nats that two variables of a joint distribution (C, C) give of each other."""
    apart = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return (joint * (joint.clamp_min(_LEAST).log() - apart.clamp_min(_LEAST).log())).sum()
