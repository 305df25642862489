"""The few colors of an image: histogram-based contrast works on them instead of on pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.jit import kernel
from stages.saliency.gray_maps import Map, stretch

_BINS = 12
_DROPPED = 0.05
_FEWEST, _MOST = 10, 256


class Palette(NamedTuple):
    """Colors of an image, the most frequent first."""

    color_index: NDArray[np.uint8]
    """(H, W) color of every pixel."""
    sizes: NDArray[np.int64]
    """(P,) pixels of every color."""
    distances: NDArray[np.float32]
    """(P, P) Lab distance between colors, L in 0..100."""

    @property
    def frequencies(self) -> NDArray[np.float32]:
        """(P,) share of the pixels."""
        return np.asarray(self.sizes / self.sizes.sum(), np.float32)


def find_palette(image: NDArray[np.uint8]) -> Palette:
    """Quantize an RGB image (H, W, 3) to at most 256 colors.

    12 bins a channel; the most frequent bins stay so that at most 5 % of the pixels are dropped, at least 10 and at
    most 256; a dropped bin joins the nearest that stays; a color is the mean of its pixels.

    Source: Cheng et al., "Global Contrast Based Salient Region Detection", TPAMI 2015, section 3.2.
    """
    levels = np.minimum(np.arange(256) / 255 * (_BINS - 0.0001), _BINS - 1).astype(np.int32)
    counts, sums = _count_bins(image, levels)
    used = np.flatnonzero(counts)
    order = used[np.argsort(-counts[used], kind="stable")]
    covered = np.cumsum(counts[order])
    enough = int(np.searchsorted(covered, (1 - _DROPPED) * covered[-1])) + 1
    kept = order[: min(max(enough, _FEWEST), _MOST)]
    color_of_bin = np.zeros(_BINS**3, np.uint8)
    color_of_bin[order] = _nearest(order, kept)
    merged = np.zeros((len(kept), 4))
    np.add.at(merged, color_of_bin[order], np.column_stack([counts[order], sums[order]]))
    colors = (merged[:, 1:] / merged[:, :1] / 255).astype(np.float32)
    lab = cv2.cvtColor(colors[None], cv2.COLOR_RGB2LAB)[0]
    distances = np.sqrt(np.square(lab[:, None] - lab[None]).sum(axis=2))
    return Palette(_paint_bins(image, levels, color_of_bin), merged[:, 0].astype(np.int64), distances)


def smooth_colors(values: Map, palette: Palette, weights: Map, share: float) -> Map:
    """Average the value of every color with those of its nearest colors, then stretch to 0..1.

    Args:
        values: (P,) saliency of the colors.
        palette: The colors.
        weights: (P,) say of each color.
        share: Nearest colors that take part, itself included, as a share of P; at least 2.

    Source: Cheng et al., TPAMI 2015, equation 4.
    """
    distances = palette.distances
    near = min(max(round(share * len(values)), 2), len(values))
    limit = np.partition(distances, near - 1, axis=1)[:, near - 1 : near]
    among = distances <= limit
    total = np.where(among, distances, 0).sum(axis=1)
    say = np.where(among, total[:, None] - distances, 0) * weights
    norm = total * (among @ weights)
    smooth = np.divide(say @ values, norm, out=values.astype(np.float32), where=norm > 0)
    return stretch(smooth)


def _nearest(bins: NDArray[np.int64], kept: NDArray[np.int64]) -> NDArray[np.intp]:
    """Position in `kept` (P,) of the nearest bin for each of `bins` (N,), by distance of bin indices."""
    a, b = (np.stack(np.unravel_index(numbers, (_BINS,) * 3), axis=1).astype(np.float32) for numbers in (bins, kept))
    squared = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    return np.asarray(np.argmin(squared, axis=1))


@kernel
def _count_bins(image: Any, levels: Any) -> Any:
    """Pixels (B,) and color sums (B, 3) of every bin."""
    counts, sums = np.zeros(_BINS**3, np.int64), np.zeros((_BINS**3, 3), np.int64)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            r, g, b = image[y, x, 0], image[y, x, 1], image[y, x, 2]
            k = (levels[r] * _BINS + levels[g]) * _BINS + levels[b]
            counts[k] += 1
            sums[k, 0] += r
            sums[k, 1] += g
            sums[k, 2] += b
    return counts, sums


@kernel
def _paint_bins(image: Any, levels: Any, color_of_bin: Any) -> Any:
    """Color (H, W) of every pixel."""
    index = np.empty(image.shape[:2], np.uint8)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            r, g, b = image[y, x, 0], image[y, x, 1], image[y, x, 2]
            index[y, x] = color_of_bin[(levels[r] * _BINS + levels[g]) * _BINS + levels[b]]
    return index
