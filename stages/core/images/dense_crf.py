"""Dense conditional random field: labels that follow the photograph's edges.

Source: Krähenbühl and Koltun, Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials, NeurIPS 2011.
"""

import numpy as np
import numpy.typing as npt

from stages.core.config.crf import CRFConfig
from stages.core.image_files import UInt8
from stages.core.images.permutohedral import Lattice

Float32 = npt.NDArray[np.float32]

_LEAST = 1e-5
"""Probabilities count at least this much, so that no label is excluded for good."""


def refine(image: UInt8, probabilities: Float32, config: CRFConfig) -> Float32:
    """Probabilities (L, H, W) after mean field inference on a photograph.

    By pydensecrf where the extra `crf` is installed, else by `infer_mean_field`: labels agree but for single pixels.

    Args:
        image: (H, W, 3) RGB.
        probabilities: (L, H, W), summing to 1 over L.
        config: Strengths.
    """
    if len(probabilities) < 2:
        return probabilities
    try:
        from pydensecrf.densecrf import DenseCRF2D
    except ImportError:
        return infer_mean_field(image, probabilities, config)
    count, height, width = probabilities.shape
    field = DenseCRF2D(width, height, count)
    unary = -np.log(np.clip(probabilities, _LEAST, 1)).reshape(count, -1)
    field.setUnaryEnergy(np.ascontiguousarray(unary, np.float32))
    field.addPairwiseGaussian(sxy=config.near, compat=config.near_weight)
    field.addPairwiseBilateral(
        sxy=config.alike, srgb=config.alike_color, rgbim=np.array(image, order="C"), compat=config.alike_weight
    )
    return np.asarray(field.inference(config.iterations), np.float32).reshape(count, height, width)


def infer_mean_field(image: UInt8, probabilities: Float32, config: CRFConfig) -> Float32:
    """As `refine`, by this project's own code.

    Labels that differ cost the weight of each kernel (Potts). Kernels are normalized symmetrically, by the square roots
    of both pixels' sums, and a pixel counts as its own neighbor, as in the authors' code.
    """
    count, height, width = probabilities.shape
    places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 2).astype(np.float32)
    colors = image.reshape(-1, 3).astype(np.float32)
    alike = np.concatenate([places / config.alike, colors / config.alike_color], 1)
    terms = [
        (weight, lattice, _inverse_roots(lattice, len(places)))
        for weight, lattice in (
            (config.near_weight, Lattice(places / config.near)),
            (config.alike_weight, Lattice(alike.astype(np.float32))),
        )
        if weight
    ]
    log_unary = np.log(np.clip(probabilities, _LEAST, 1)).reshape(count, -1).T.astype(np.float32)  # (N, L)
    belief = _softmax(log_unary)
    for _ in range(config.iterations):
        energy = log_unary.copy()
        for weight, lattice, roots in terms:
            energy += np.float32(weight) * roots * lattice.filter(roots * belief)
        belief = _softmax(energy)
    return np.ascontiguousarray(belief.T).reshape(count, height, width)


def _inverse_roots(lattice: Lattice, pixels: int) -> Float32:
    sums = lattice.filter(np.ones((pixels, 1), np.float32))
    return np.asarray(1 / np.sqrt(sums + 1e-20), np.float32)


def _softmax(energy: Float32) -> Float32:
    shifted = np.exp(energy - energy.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True), np.float32)
