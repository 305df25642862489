"""Region contrast: how far a region's colors lie from those of large, near regions."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.images.segmentation import segment_photo
from stages.saliency.global_contrast.palette import Palette, find_palette, smooth_colors
from stages.saliency.global_contrast.region_statistics import RegionStatistics, measure_regions, paint_regions
from stages.saliency.gray_maps import Image, Map, stretch

_CENTER_WEIGHT = 9.0
_BORDER_SHARE = 0.4
_SMOOTHING = 0.1


class RegionContrastSettings(NamedTuple):
    """See `stages.saliency.methods.rc.RCConfig`."""

    k: float = 50.0
    min_size: int = 200
    sigma: float = 0.5
    sigma_space: float = 0.4


def score_region_contrast(image: Image, settings: RegionContrastSettings) -> Map:
    """Saliency (H, W) in 0..1 of an RGB image (H, W, 3).

    Source: Cheng et al., "Global Contrast Based Salient Region Detection", TPAMI 2015, section 4, with the border prior
    and color smoothing of its authors' code.
    """
    palette = find_palette(image)
    if len(palette.sizes) <= 2:
        # One color has no contrast; of two, the rarer stands out.
        return _blur((palette.color_index == 1).astype(np.float32))
    regions = segment_photo(image, settings.k, settings.min_size, settings.sigma)
    statistics = measure_regions(regions, palette.color_index, len(palette.sizes))
    saliency = contrast_regions(statistics, palette, settings.sigma_space)
    inside = ~_find_border(statistics)
    smooth = _smooth_over_colors(saliency * inside, statistics, palette) * inside
    return _blur(paint_regions(regions, smooth.astype(np.float32), statistics.margin))


def contrast_regions(regions: RegionStatistics, palette: Palette, sigma_space: float) -> Map:
    """Saliency (R,) of the regions, stretched to 0..1. Source: equations 5 to 7."""
    shares = regions.colors / regions.sizes[:, None]
    color = shares @ palette.distances @ shares.T
    near = np.exp(-np.square(regions.centroids[:, None] - regions.centroids[None]).sum(axis=2) / sigma_space)
    np.fill_diagonal(near, 0)
    centered = np.exp(-_CENTER_WEIGHT * np.square(regions.offsets).sum(axis=1))
    return stretch((centered * ((near * color) @ regions.sizes)).astype(np.float32))


def _find_border(regions: RegionStatistics) -> NDArray[np.bool_]:
    """Regions (R,) that fill much of the image's margin for their spread."""
    gap_x, gap_y = regions.margin
    at_sides, at_ends = regions.margin_pixels[:, 0], regions.margin_pixels[:, 1]
    spread_x, spread_y = np.maximum(regions.spreads, 1e-6).T
    share = at_sides / (4 * gap_y * spread_y) + at_ends / (4 * gap_x * spread_x)
    return np.asarray(share > _BORDER_SHARE)


def _smooth_over_colors(saliency: Map, regions: RegionStatistics, palette: Palette) -> Map:
    """Saliency (R,) after every color took the mean over its pixels and was smoothed with its nearest colors."""
    counts = palette.sizes.astype(np.float32)
    total = saliency @ (regions.colors - regions.margin_colors)
    of_color = stretch(np.asarray(total / counts, np.float32))
    smooth = smooth_colors(of_color, palette, counts, _SMOOTHING)
    return stretch(np.asarray(regions.colors @ smooth / regions.sizes, np.float32))


def _blur(values: Map) -> Map:
    return np.asarray(cv2.GaussianBlur(values, (3, 3), 0), np.float32)
