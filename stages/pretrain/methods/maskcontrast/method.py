"""MaskContrast: pixels of an object are drawn to its mean in another view, away from other photographs' objects.

Source: Van Gansbeke et al., Unsupervised Semantic Segmentation by Contrasting Object Mask Proposals, ICCV 2021; what
the paper leaves open, and the defaults, from its code at revision dfd5fa0.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import SALIENT, open_label_maps
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.distributed import (
    gather,
    mean_over_processes,
    mean_over_rows,
    rank,
    sum_over_processes,
    weighted_mean_over_rows,
)
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.momentum import MomentumCopy, restore_order, shuffle_batch
from stages.core.engine.online_clustering import Queue
from stages.core.errors import UserError
from stages.core.images.dataset import Batch
from stages.core.nets.features import build_features
from stages.core.nets.heads import PixelClassifier
from stages.core.progress import track
from stages.pretrain.methods.maskcontrast.config import MaskContrastConfig

_CAUSES = "temperature is too high, momentum.value too near to 1 for so few steps, or the masks show no objects"


class MaskContrast(TrainingMethod):
    """Network, embedding and saliency head, the key network that follows them, and the queue of objects.

    The saliency head has a bias, which the code's lacks.
    """

    maps = ("saliency",)

    def __init__(self, config: MaskContrastConfig) -> None:
        super().__init__()
        self.config, self.views, self.coverage = config, config.views, config.coverage
        self.expected = self._expect(config.training.batch_size)
        self.features = build_features(config.backbone, config.decoder, config.weights)
        self.embedding = PixelClassifier(self.features.size, config.embedding_size)
        self.saliency = PixelClassifier(self.features.size, 1)
        self.keys = MomentumCopy(nn.Sequential(self.features, self.embedding), buffers="own")
        self.queue = Queue(1, config.queue, config.embedding_size)
        self.queue.push(0, F.normalize(torch.randn(config.queue, config.embedding_size), dim=1))
        for name, parameter in self.features.backbone.named_parameters():
            parameter.requires_grad_(name.partition(".")[0] not in config.frozen)

    def select_photos(self, index: ImageIndex) -> ImageIndex:
        """The photographs whose mask is large enough."""
        maps, least = open_label_maps("saliency"), self.config.min_mask
        known = [image_id for image_id in index.image_ids if image_id in maps]
        shares = (np.mean(np.asarray(maps[image_id].map) >= SALIENT) for image_id in track(known, label="masks"))
        kept = [image_id for image_id, share in zip(known, shares, strict=True) if share >= least]
        if not kept:
            raise UserError(
                f"artifacts/saliency: no photograph has a mask of at least {least} of its area; lower "
                "saliency.threshold or choose another saliency method"
            )
        self.expected = self._expect(min(self.config.training.batch_size, len(kept)))
        return index.with_ids(kept)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Contrast the query's salient pixels with the objects of the keys and the queue; learn the masks beside."""
        masks = [each >= SALIENT for each in batch.maps["saliency"]]
        prototypes = self._describe_keys(batch.views[-1], masks[-1])
        features = self.features(batch.views[0])
        embeddings, salient = _enlarge(self.embedding(features), masks[0]), _enlarge(self.saliency(features), masks[0])
        pixels, owners = gather_pixels(embeddings, masks[0])
        owners = owners + rank() * len(prototypes)
        objects = torch.cat([gather(prototypes), self.queue.embeddings[0]])  # (B + K, D), B of all processes
        with torch.autocast(pixels.device.type, enabled=False):  # Cosines want more digits than bf16 has.
            contrast, accuracy = contrast_objects(
                pixels, owners, objects, self.config.temperature, self.config.class_weights
            )
        saliency = balanced_cross_entropy(salient[:, 0], masks[0])
        self.queue.push(0, prototypes)
        return Losses(contrast + saliency, {"contrast": contrast, "saliency": saliency, "accuracy": accuracy})

    def after_step(self, progress: TrainingProgress) -> None:
        """Let the key network follow."""
        self.keys.update(nn.Sequential(self.features, self.embedding), self.config.momentum.at(progress))

    def export(self) -> dict[str, nn.Module]:
        """Backbone, decoder, embedding and saliency head."""
        return {**self.features.parts, "embedding": self.embedding, "saliency": self.saliency}

    def _expect(self, photographs: int) -> Expectation:
        """While nothing is learnt, a pixel is as near to its own object as to the others of a step and the queue."""
        objects = photographs + self.config.queue
        return Expectation({"contrast": math.log(objects)} if objects > 1 else {}, causes=_CAUSES)

    @torch.no_grad()
    def _describe_keys(self, images: Tensor, masks: Tensor) -> Tensor:
        """Prototypes (B, D) of the objects in the keys."""
        shuffled, order = shuffle_batch(images, self.config.shuffle_groups)
        parts = [self.keys(part) for part in shuffled.tensor_split(self.config.shuffle_groups)]
        return average_objects(_enlarge(restore_order(torch.cat(parts), order), masks), masks)


def gather_pixels(embeddings: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """The unit embeddings (P, D) of the pixels inside the masks, and the row (P,) of each pixel's photograph.

    Args:
        embeddings: (B, D, H, W), of any length.
        masks: (B, H, W) bool.
    """
    return F.normalize(embeddings.movedim(1, -1)[masks], dim=1), masks.nonzero()[:, 0]


def average_objects(embeddings: Tensor, masks: Tensor) -> Tensor:
    """The direction of the mean of each object's unit pixel embeddings.

    Args:
        embeddings: (B, D, H, W), of any length.
        masks: (B, H, W) bool.

    Returns:
        (B, D), of length 1; zero where a mask is empty.

    Source: equation 2; brought to length 1 as in the code.
    """
    pixels, owners = gather_pixels(embeddings, masks)
    return F.normalize(pixels.new_zeros(embeddings.shape[:2]).index_add(0, owners, pixels), dim=1)


def contrast_objects(
    pixels: Tensor, owners: Tensor, objects: Tensor, temperature: float, weighted: bool
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of telling each pixel's object among all objects, averaged over the pixels of all processes.

    Args:
        pixels: (P, D) unit vectors.
        owners: (P,) row of each pixel's own object.
        objects: (B + K, D) unit vectors.
        temperature: Of the softmax.
        weighted: Weigh pixels by their object's share of them, the small ones more.

    Returns:
        The loss and, without gradient, the share of pixels nearest to their own object.

    Source: equation 3; the weights from the code, which contrasts with the objects of the same GPU's photographs and
    the queue; here with those of all GPUs, so that their number changes nothing.
    """
    logits = pixels @ (objects / temperature).T  # (P, B + K), by far the largest tensor here
    losses = F.cross_entropy(logits, owners, reduction="none")
    accuracy = mean_over_rows((logits.detach().argmax(1) == owners).float())
    if not weighted:
        return mean_over_rows(losses), accuracy
    areas = sum_over_processes(torch.bincount(owners, minlength=len(objects)).float())
    weights = 1 / torch.log(1.02 + areas / areas.sum().clamp_min(1))
    return weighted_mean_over_rows(losses, weights[owners]), accuracy


def balanced_cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy in which ones and zeros of the batch of all processes weigh the same.

    Args:
        logits: (B, H, W)
        masks: (B, H, W) bool.

    Source: the code's auxiliary loss, section 3.3: ones are weighted by the share of zeros and the other way round.
    """
    zeros = 1 - mean_over_processes(masks.float().flatten())
    weights = torch.where(masks, zeros, 1 - zeros)
    return F.binary_cross_entropy_with_logits(logits, masks.float(), weights)


def _enlarge(maps: Tensor, masks: Tensor) -> Tensor:
    """(B, C, h, w) to float32 at the size of the masks (B, H, W)."""
    return F.interpolate(maps.float(), masks.shape[-2:], mode="bilinear", align_corners=False)
