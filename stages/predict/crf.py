"""Dense conditional random field: labels that follow the photograph's edges.

Source: Krähenbühl and Koltun, Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials, NeurIPS 2011.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import Field

from stages.core.config.params import Params
from stages.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from stages.core.image_files import UInt8
    from stages.core.nets.segmenter import Segmentation, Segmenter

Float32 = npt.NDArray[np.float32]


class CRFConfig(Params):
    """Strengths of the pairwise terms. The defaults are those of MaskContrast's and STEGO's code."""

    iterations: int = Field(10, ge=1)
    """Of mean field."""
    near: float = Field(1.0, gt=0)
    """Reach of the term that smooths, in pixels."""
    near_weight: float = Field(3.0, ge=0)
    """Of that term."""
    alike: float = Field(67.0, gt=0)
    """Reach of the term between pixels of like color, in pixels."""
    alike_color: float = Field(3.0, gt=0)
    """How much colors may differ in it, of 255."""
    alike_weight: float = Field(4.0, ge=0)
    """Of that term."""
    labels: int = Field(20, ge=1)
    """Most categories that compete in a photograph: those of the largest mean probability."""


def segment_by_crf(segmenter: "Segmenter", images: "Tensor", photograph: "UInt8", config: CRFConfig) -> "Segmentation":
    """Segment one photograph and refine its labels, of which the background is one wherever it can be.

    The score is what it is without refinement: below the segmenter's threshold where the background is more likely than
    all categories together. Where the background is a class, or there is none, it is the probability of the label.

    Args:
        segmenter: What tells the labels.
        images: (1, 3, h, w), prepared and normalized.
        photograph: (H, W, 3) as it is.
        config: Strengths.
    """
    from stages.core.nets.segmenter import Segmentation

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


def _hundredths(score: Float32) -> "UInt8":
    """Rounded down; what is a whole hundredth stays it."""
    return np.floor(100 * np.clip(score.astype(np.float64), 0, 1) + 1e-4).astype(np.uint8)


def refine(image: "UInt8", probabilities: Float32, config: CRFConfig) -> Float32:
    """Probabilities (L, H, W) after mean field inference on a photograph.

    Args:
        image: (H, W, 3) RGB.
        probabilities: (L, H, W), summing to 1 over L.
        config: Strengths.

    Raises:
        UserError: The extra `crf` is not installed.
    """
    try:
        from pydensecrf.densecrf import DenseCRF2D
    except ImportError:
        raise UserError("predict.crf: needs pydensecrf; pip install 'luss[crf]', or set predict.crf to null") from None
    count, height, width = probabilities.shape
    if count < 2:
        return probabilities
    field = DenseCRF2D(width, height, count)
    unary = -np.log(np.clip(probabilities, 1e-5, 1)).reshape(count, -1)
    field.setUnaryEnergy(np.ascontiguousarray(unary, np.float32))
    field.addPairwiseGaussian(sxy=config.near, compat=config.near_weight)
    field.addPairwiseBilateral(
        sxy=config.alike, srgb=config.alike_color, rgbim=np.array(image, order="C"), compat=config.alike_weight
    )
    return np.asarray(field.inference(config.iterations), np.float32).reshape(count, height, width)
