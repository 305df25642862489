"""Rules by which class activation maps become labels of pixels.

Source: RCA's code; Wei et al., Object Region Mining with Adversarial Erasing, CVPR 2017, for saliency as background.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.label_maps import IGNORE
from stages.core.config.crf import CRFConfig
from stages.core.image_files import UInt8
from stages.core.images.dense_crf import refine
from stages.pseudolabel.activation.config import LabelRules

Float32 = npt.NDArray[np.float32]
_LEAST = 1e-5


class Seen(NamedTuple):
    """What is known of a photograph before it is labelled."""

    maps: Float32
    """(T, H, W) of its categories, in 0..1."""
    ids: npt.NDArray[np.int64]
    """(T,) which categories these are."""
    saliency: Float32 | None = None
    """(H, W) in 0..1, where it says what is background."""


def weigh(seen: Seen, rules: LabelRules, threshold: float) -> Float32:
    """How strong the background and the categories are at each pixel: (1 + T, H, W).

    Where saliency is the background, it is `power` until `make_labels`: a CRF moves maps by what they say themselves.

    Args:
        seen: Of the photograph.
        rules: See `LabelRules`.
        threshold: Strength of the background where that is a constant.
    """
    strongest = seen.maps.max(0, keepdims=True)
    is_constant = rules.background == "threshold"
    background = np.full_like(strongest, threshold) if is_constant else (1 - strongest) ** rules.alpha
    return np.concatenate([background, seen.maps]).astype(np.float32)


def follow_edges(strengths: Float32, photograph: UInt8, crf: CRFConfig) -> Float32:
    """Strengths (1 + T, H, W) as probabilities after a dense CRF on the photograph (H, W, 3)."""
    shares = strengths + np.float32(_LEAST)
    return refine(photograph, (shares / shares.sum(0)).astype(np.float32), crf)


def make_labels(strengths: Float32, seen: Seen, rules: LabelRules) -> npt.NDArray[np.uint16]:
    """Labels (H, W): 0 background, category + 1, or `IGNORE`.

    Args:
        strengths: (1 + T, H, W) of the background and of the photograph's categories.
        seen: Of the photograph.
        rules: See `LabelRules`.
    """
    if seen.saliency is not None:
        strengths = np.concatenate([1 - seen.saliency[None], strengths[1:]])
    strongest = strengths.argmax(0)
    found: npt.NDArray[np.uint16] = np.insert(seen.ids + 1, 0, 0).astype(np.uint16)[strongest]
    uncertain = (strengths > rules.clash).sum(0) > 1
    if seen.saliency is not None:
        doubtful = (seen.saliency >= rules.salient) | (strengths[1:].max(0) > rules.attended)
        uncertain |= (strongest == 0) & doubtful
    found[uncertain] = IGNORE
    is_foreground = (found != 0) & (found != IGNORE)
    if is_foreground.mean() < rules.min_foreground:
        found[:] = IGNORE
    return found
