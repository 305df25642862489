"""Binary masks from gray saliency maps."""

import cv2
import numpy as np
from numpy.typing import NDArray

_GRABCUT_ROUNDS = 3


def cut_mask(mask: NDArray[np.bool_], min_area: float) -> NDArray[np.bool_]:
    """Remove small salient spots.

    Args:
        mask: (H, W).
        min_area: Smallest 8-connected spot that stays, as a share of H * W.

    Source: MaskContrast removes contours under 1 % of the image; images left with nothing count as empty.
    """
    _, spots, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_area * mask.size
    keep[0] = False
    return np.asarray(keep[spots])


def refine_mask(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Refine a mask (H, W) by GrabCut on the image (H, W, 3) at half of its size.

    The mask is the first guess, its eroded core is taken as certain. Too small or too large masks stay as they are.

    Source: Rother et al., "GrabCut", SIGGRAPH 2004; started from saliency as in Cheng et al., TPAMI 2015, section 5.
    """
    height, width = mask.shape
    size = (max(1, width // 2), max(1, height // 2))
    guess = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    core = cv2.erode(guess, np.ones((7, 7), np.uint8))
    # GrabCut fits five colors to each side and fails without enough pixels.
    if not 25 <= int(guess.sum()) <= guess.size - 25:
        return mask
    labels = np.where(core > 0, cv2.GC_FGD, np.where(guess > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD)).astype(np.uint8)
    foreground, background = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    cv2.grabCut(small, labels, (0, 0, 0, 0), background, foreground, _GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    salient = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    return np.asarray(cv2.resize(salient, (width, height), interpolation=cv2.INTER_NEAREST) > 0)
