"""The segmenter: one self-contained model from a photograph to a category and a score for every pixel."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.models import Card, InputCard
from stages.core.images.crops import resize_short_side
from stages.core.images.decode import UInt8
from stages.core.images.inference import normalise
from stages.core.nets.backbones import restore_backbone
from stages.core.nets.heads import PixelClassifier

Score = Literal["softmax", "normalised_logit"]

_CLASSES_AT_ONCE = 64


class SegmenterCard(TypedDict):
    """What the card of a fine-tuned model says of the segmenter."""

    clusters: int
    """K"""
    short_side: int
    """Side in pixels that photographs are resized to."""
    score: Score
    """How certain a pixel is: the largest softmax, or the largest logit, scaled to 0..1 within the photograph."""
    background: Literal["threshold"]
    """A pixel whose score is below the threshold is background."""
    threshold: float
    threshold_source: Literal["fixed", "without_labels"]


class Segmentation(NamedTuple):
    """Categories of a photograph's pixels, before any threshold."""

    label: npt.NDArray[np.uint16]
    """(H, W) cluster_id + 1."""
    score: npt.NDArray[np.uint8]
    """(H, W) the score in hundredths, rounded down: `stored < 100 t` equals `score < t` for every t in hundredths."""


class Segmenter(nn.Module):
    """A backbone and a 1x1 classifier of its features."""

    def __init__(self, backbone: nn.Module, head: PixelClassifier, card: SegmenterCard, expects: InputCard) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.card, self.expects = card, expects

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised to logits (B, K, h, w)."""
        logits: Tensor = self.head(self.backbone(images))
        return logits

    def prepare(self, image: UInt8) -> UInt8:
        """Resize a photograph to the side that the segmenter works at."""
        return resize_short_side(image, self.card["short_side"])

    @torch.inference_mode()
    def segment(self, images: Tensor, size: tuple[int, int], max_pixels: int) -> Segmentation:
        """Segment one photograph at its own size.

        Args:
            images: (1, 3, h, w), prepared and normalised.
            size: Height and width of the result.
            max_pixels: Above this many, logits are enlarged to this many only and the labels from there by nearest
                neighbour. Source: PASS, step 4 (10^6, there with 1000 on the height; here the aspect is kept).
        """
        logits = self(images).float()
        scale = min(1.0, (max_pixels / (size[0] * size[1])) ** 0.5)
        inner = (max(int(size[0] * scale), 1), max(int(size[1] * scale), 1))
        label, score = _label_and_score(logits, inner, self.card["score"])
        if inner != size:
            label, score = (
                F.interpolate(each[None, None].float(), size, mode="nearest")[0, 0] for each in (label, score)
            )
        return Segmentation(label.cpu().numpy().astype(np.uint16), score.cpu().numpy().astype(np.uint8))

    def segment_photograph(self, image: UInt8, max_pixels: int) -> Segmentation:
        """Segment a decoded photograph (H, W, 3) on the network's device."""
        device = next(self.parameters()).device
        pixels = torch.from_numpy(np.ascontiguousarray(self.prepare(image).transpose(2, 0, 1)))[None]
        return self.segment(normalise(pixels.to(device), self.expects), (image.shape[0], image.shape[1]), max_pixels)


def restore_segmenter(card: Card, states: Mapping[str, Mapping[str, Tensor]]) -> Segmenter:
    """The segmenter of a model artifact; `states` holds its backbone and head."""
    segmenter: SegmenterCard = card["segmenter"]
    head = PixelClassifier(card["embedding_size"], segmenter["clusters"])
    head.load_state_dict(dict(states["head"]))
    return Segmenter(restore_backbone(card, states["backbone"]), head, segmenter, card["input"]).eval()


def _label_and_score(logits: Tensor, size: tuple[int, int], score: Score) -> tuple[Tensor, Tensor]:
    """Label and score in hundredths of every pixel, enlarging few classes at a time: 919 whole maps are 4 GB."""
    top = torch.full(size, -torch.inf, device=logits.device)
    label = torch.zeros(size, dtype=torch.int32, device=logits.device)
    mass = torch.full(size, -torch.inf, device=logits.device)
    for start in range(0, logits.shape[1], _CLASSES_AT_ONCE):
        part = F.interpolate(logits[:, start : start + _CLASSES_AT_ONCE], size, mode="bilinear", align_corners=False)[0]
        highest, which = part.max(0)
        label = torch.where(highest > top, which.int() + start + 1, label)
        top = torch.maximum(top, highest)
        mass = torch.logaddexp(mass, part.logsumexp(0))
    certain = torch.exp(top - mass) if score == "softmax" else _scale_to_unit(top)
    # By comparison with the hundredths themselves: 100 score, rounded in float32, can pass the next one.
    hundredths = torch.arange(101, dtype=torch.float32, device=certain.device) / 100
    return label, torch.bucketize(certain.clamp(0, 1), hundredths, right=True) - 1


def _scale_to_unit(values: Tensor) -> Tensor:
    low, high = values.min(), values.max()
    return (values - low) / (high - low).clamp_min(1e-12)
