"""A segmenter that sees several categories in one photograph; random weights alone see one."""

from __future__ import annotations

import numpy as np
import torch

from stages.core.artifacts.models import describe_parts, read_model, write_model
from stages.core.images.inference import normalize
from stages.core.nets.segmenter import restore_segmenter
from tests.fabricate import fabricate_segmenter


def draw_blocks(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A photograph (H, W, 3) of even squares."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 10 + 1, width // 10 + 1, 3), np.uint8)
    return np.kron(coarse, np.ones((10, 10, 1), np.uint8))[:height, :width]


def fabricate_varied_segmenter(clusters: int = 4, threshold: float = 0.0, short_side: int = 160) -> None:
    """Write `artifacts/finetune`: `fabricate_segmenter` at a larger side, all categories equally likely."""
    backbone, head = fabricate_segmenter(clusters, threshold)
    card, states = read_model("finetune")
    assert card.segmenter
    card = card.model_copy(update={"segmenter": card.segmenter.model_copy(update={"short_side": short_side})})
    segmenter = restore_segmenter(card, states)
    pixels = torch.from_numpy(segmenter.prepare(draw_blocks(60, 80)).transpose(2, 0, 1).copy())[None]
    with torch.no_grad():
        logits = segmenter(normalize(pixels, card.input))
        scale = 3 / logits.std((0, 2, 3))
        weight, bias = head.parameters()
        weight *= scale.view(-1, *[1] * (weight.ndim - 1))
        bias.copy_(scale * (bias - logits.mean((0, 2, 3))))
    parts = {"backbone": backbone, "head": head}
    write_model("finetune", parts, card.model_copy(update={"parts": describe_parts(parts)}), [])
