"""Segments photographs with labels that follow their edges, by a dense CRF."""

import numpy as np
from torch import Tensor

from stages.core.config.crf import CRFConfig
from stages.core.image_files import UInt8
from stages.core.images.dense_crf import Float32, refine
from stages.core.nets.segmenter import Segmentation, Segmenter
from stages.core.network_mapping import turn


def segment_by_crf(segmenter: Segmenter, images: Tensor, photograph: UInt8, config: CRFConfig) -> Segmentation:
    """Segment one photograph and refine its labels, of which the background is one wherever it can be.

    The score is what it is without refinement: below the segmenter's threshold where the background is more likely than
    all categories together. Where the background is a class, or there is none, it is the probability of the label.

    Args:
        segmenter: What tells the labels.
        images: (1, 3, h, w), prepared and normalized.
        photograph: (H, W, 3) as it is.
        config: Strengths.
    """
    with turn():
        found = segmenter.probabilities(images, (photograph.shape[0], photograph.shape[1]), config.labels)
    labels, shares = np.array(found.labels, np.uint16), found.shares.cpu().numpy()
    if found.foreground is None:
        refined = refine(photograph, shares, config)
        return Segmentation(labels[refined.argmax(0)], _hundredths(refined.max(0)))
    threshold = segmenter.card.threshold or 0.5
    foreground = center_threshold(found.foreground.cpu().numpy(), threshold)
    refined = refine(photograph, np.concatenate([1 - foreground[None], shares * foreground]), config)
    if segmenter.card.background == "class_0":
        return Segmentation(np.insert(labels, 0, 0)[refined.argmax(0)], _hundredths(refined.max(0)))
    score = uncenter_threshold(1 - refined[0], threshold)
    return Segmentation(labels[refined[1:].argmax(0)], _hundredths(score))


def center_threshold(score: Float32, threshold: float) -> Float32:
    """Map scores in 0..1 to probabilities, piecewise linearly, so that the threshold becomes 1/2."""
    return np.interp(score, (0, threshold, 1), (0, 0.5, 1)).astype(np.float32)


def uncenter_threshold(probability: Float32, threshold: float) -> Float32:
    """Undo `center_threshold`."""
    return np.interp(probability, (0, 0.5, 1), (0, threshold, 1)).astype(np.float32)


def _hundredths(score: Float32) -> UInt8:
    """Rounded down; what is a whole hundredth stays it."""
    return np.floor(100 * np.clip(score.astype(np.float64), 0, 1) + 1e-4).astype(np.uint8)
