"""The segmenter: a self-contained model that gives a category and a score for every pixel of a photograph."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.model_card import ModelCard
from stages.core.config.segmenter import Score, SegmenterCard
from stages.core.config.views import InputCard
from stages.core.errors import UserError
from stages.core.image_files import UInt8
from stages.core.images.crops import resize_short_side, squash
from stages.core.images.inference import normalize
from stages.core.nets.features import FeatureNetwork, restore_features
from stages.core.nets.heads import PixelClassifier, restore_classifier
from stages.core.nets.segmentation_heads import SegmentationHead, restore_head

_CLASSES_AT_ONCE = 64


class Segmentation(NamedTuple):
    """Categories of a photograph's pixels, before any threshold."""

    label: npt.NDArray[np.uint16]
    """(H, W) cluster_id + 1; 0 for background where it is a class of its own."""
    score: npt.NDArray[np.uint8]
    """(H, W) the score in hundredths, rounded down: `stored < 100 t` equals `score < t` for every t in hundredths."""

    def above(self, threshold: float | None) -> npt.NDArray[np.uint16]:
        """Labels (H, W), 0 where the score lies below a threshold in hundredths; None for no threshold."""
        return np.where(self.score < round(100 * (threshold or 0.0)), np.uint16(0), self.label)


class Probabilities(NamedTuple):
    """Probabilities of labels for the pixels of a photograph."""

    labels: list[int]
    """L categories, cluster_id + 1."""
    shares: Tensor
    """(L, H, W) how likely each is among them; sums to 1."""
    foreground: Tensor | None
    """(H, W) in 0..1, the score that tells the background; where that is a class, the probability of all others. None
    where no pixel is background."""


class _Seen(NamedTuple):
    """What the network says of a batch (B, 3, H, W), or of one photograph of it."""

    features: Tensor
    """(B, D, h, w)"""
    logits: Tensor
    """(B, K, h, w)"""
    attention: Tensor | None
    """(B, 1, h, w) in 0..1, where it tells the background."""

    def of(self, number: int) -> "_Seen":
        """What it says of one photograph, as a batch of one."""
        one = slice(number, number + 1)
        return _Seen(self.features[one], self.logits[one], None if self.attention is None else self.attention[one])


class Segmenter(nn.Module):
    """A network of features, a head that classifies them, and a saliency head where that tells the background."""

    def __init__(
        self,
        features: FeatureNetwork,
        head: SegmentationHead,
        card: SegmenterCard,
        expects: InputCard,
        saliency: PixelClassifier | None = None,
    ) -> None:
        super().__init__()
        self.features, self.head, self.saliency = features, head, saliency
        self.card, self.expects = card, expects

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Its modules by part of the model artifact."""
        return {**self.features.parts, **self.heads}

    @property
    def heads(self) -> dict[str, nn.Module]:
        """Its classifiers by part of the model artifact."""
        heads: dict[str, nn.Module] = {"head": self.head}
        return heads | ({"saliency": self.saliency} if self.saliency else {})

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalized to logits (B, K, h, w)."""
        return self._look(images).logits

    def _look(self, images: Tensor) -> _Seen:
        if self.card.background == "attention":
            features, weights = self.features.attend(images)
            return _Seen(features, self.head(features), weights.mean(1, keepdim=True))
        features = self.features(images)
        return _Seen(features, self.head(features), None)

    def prepare(self, image: UInt8) -> UInt8:
        """Resize a photograph to the size that the segmenter works at."""
        if self.card.size:
            return squash(image, self.card.size)
        return resize_short_side(image, self.card.short_side)

    def segment(self, images: Tensor, size: tuple[int, int], max_pixels: int) -> Segmentation:
        """Segment one photograph (1, 3, h, w) at its own size; see `segment_batch`."""
        return self.segment_batch(images, [size], max_pixels)[0]

    @torch.inference_mode()
    def segment_batch(self, images: Tensor, sizes: Sequence[tuple[int, int]], max_pixels: int) -> list[Segmentation]:
        """Segment photographs, each at its own size; the network sees them together.

        Args:
            images: (B, 3, h, w), prepared and normalized.
            sizes: Height and width of each result.
            max_pixels: Above this many, logits are enlarged to this many only and the labels from there by nearest
                neighbor. Source: PASS, step 4 (10^6, there with 1000 on the height; here the aspect is kept).
        """
        seen = self._look(images)
        return [self._segment_seen(seen.of(number), size, max_pixels) for number, size in enumerate(sizes)]

    def _segment_seen(self, seen: _Seen, size: tuple[int, int], max_pixels: int) -> Segmentation:
        logits = seen.logits.float()
        scale = min(1.0, (max_pixels / (size[0] * size[1])) ** 0.5)
        inner = (max(int(size[0] * scale), 1), max(int(size[1] * scale), 1))
        label, score = _label_and_score(logits, inner, self.card.score)
        if self.card.background == "class_0":
            label = label - 1
        if self.saliency or seen.attention is not None:
            score = _hundredths(self._foreground(seen, logits, inner))
        if inner != size:
            label, score = (
                F.interpolate(each[None, None].float(), size, mode="nearest")[0, 0] for each in (label, score)
            )
        return Segmentation(label.cpu().numpy().astype(np.uint16), score.cpu().numpy().astype(np.uint8))

    @torch.inference_mode()
    def probabilities(self, images: Tensor, size: tuple[int, int], most: int) -> Probabilities:
        """Probabilities of each label for the pixels of one photograph, for refinement by a CRF.

        Args:
            images: (1, 3, h, w), prepared and normalized.
            size: Height and width of the result.
            most: Categories; those of the largest mean probability.
        """
        seen = self._look(images)
        logits = seen.logits.float()
        first = int(self.card.background == "class_0" or self.card.score == "foreground")  # of the categories
        means = logits.softmax(1).mean((0, 2, 3))[first:]
        kept = means.topk(min(most, len(means))).indices.sort().values
        shares = _enlarge(logits[:, first + kept], size).softmax(0)
        score = self._foreground(seen, logits, size) if self.card.predicts_background else None
        return Probabilities([int(number) + 1 for number in kept], shares, score)

    def _foreground(self, seen: _Seen, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """(H, W) what tells the background, not yet rounded."""
        if self.saliency:
            return torch.sigmoid(_enlarge(self.saliency(seen.features).float(), size)[0])
        if seen.attention is not None:
            return _enlarge(seen.attention.float(), size)[0]
        is_class = self.card.background == "class_0"
        return _label_and_exact_score(logits, size, "foreground" if is_class else self.card.score)[1]

    def segment_photograph(self, image: UInt8, max_pixels: int) -> Segmentation:
        """Segment a decoded photograph (H, W, 3) on the network's device."""
        device = next(self.parameters()).device
        pixels = torch.from_numpy(np.ascontiguousarray(self.prepare(image).transpose(2, 0, 1)))[None]
        return self.segment(normalize(pixels.to(device), self.expects), (image.shape[0], image.shape[1]), max_pixels)


def restore_segmenter(card: ModelCard, states: Mapping[str, Mapping[str, Tensor]]) -> Segmenter:
    """The segmenter of a model artifact.

    Args:
        card: The model's card.
        states: Its tensors by part: backbone, head, and decoder, attention and saliency where it has them.

    Raises:
        UserError: The model is no segmenter.
    """
    parts = card.parts
    if card.segmenter is None or parts.head is None:
        raise UserError(f"the model of {card.method} is no segmenter; take artifacts/finetune")
    features = restore_features(card, states, is_attended=True)
    head = restore_head(features.size, parts.head, states["head"])
    saliency = restore_classifier(features.size, parts.saliency, states["saliency"]) if parts.saliency else None
    return Segmenter(features, head, card.segmenter, card.input, saliency).eval()


def _label_and_score(logits: Tensor, size: tuple[int, int], score: Score) -> tuple[Tensor, Tensor]:
    """Label and score in hundredths of every pixel."""
    label, exact = _label_and_exact_score(logits, size, score)
    return label, _hundredths(exact)


def _label_and_exact_score(logits: Tensor, size: tuple[int, int], score: Score) -> tuple[Tensor, Tensor]:
    """Label and score in 0..1 of every pixel, enlarging few classes at a time: 919 whole maps are 4 GB."""
    top = torch.full(size, -torch.inf, device=logits.device)
    label = torch.zeros(size, dtype=torch.int32, device=logits.device)
    mass = torch.full(size, -torch.inf, device=logits.device)
    background = logits[:, :1] if score == "foreground" else logits[:, :0]
    logits = logits[:, background.shape[1] :]
    for start in range(0, logits.shape[1], _CLASSES_AT_ONCE):
        part = _enlarge(logits[:, start : start + _CLASSES_AT_ONCE], size)
        highest, which = part.max(0)
        label = torch.where(highest > top, which.int() + start + 1, label)
        top = torch.maximum(top, highest)
        mass = torch.logaddexp(mass, part.logsumexp(0))
    if score == "foreground":
        return label, torch.sigmoid(mass - _enlarge(background, size)[0])
    return label, torch.exp(top - mass) if score == "softmax" else _scale_to_unit(top)


def _enlarge(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, K, h, w) to (K, H, W)."""
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)[0]


def _hundredths(score: Tensor) -> Tensor:
    """Rounded down, by comparison with the hundredths themselves: 100 score in float32 can pass the next one."""
    hundredths = torch.arange(101, dtype=torch.float32, device=score.device) / 100
    return torch.bucketize(score.clamp(0, 1), hundredths, right=True) - 1


def _scale_to_unit(values: Tensor) -> Tensor:
    low, high = values.min(), values.max()
    return (values - low) / (high - low).clamp_min(1e-12)
