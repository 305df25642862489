"""Draws and cuts the random views of a photograph; their colors change later, on the device."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.config.views import (
    CenterViewConfig,
    CoverageConfig,
    MultiCropConfig,
    PhotometricConfig,
    ShareCropConfig,
)
from stages.core.image_files import UInt8
from stages.core.images.crops import (
    Window,
    align_window,
    crop_and_resize,
    crop_map,
    largest_reduction,
    reduce_window,
    sample_window,
)

PHOTOMETRIC_FIELDS = ("brightness", "contrast", "saturation", "hue", "order", "gray", "blur", "solarize")
"""Columns of the per-view photometric parameters; see `draw_photometric`."""

_JITTER_ORDERS = 24


class LazyPhoto(NamedTuple):
    """A photograph that is decoded lazily, at the size that its views need."""

    size: tuple[int, int]
    """Height and width, pixels."""
    read: Callable[[int], UInt8]
    """Decode it (H, W, 3), at 1/n of its height and width, rounded up, for n in `REDUCTIONS`."""


class View(NamedTuple):
    """One cropped view, with the parameters of its color changes."""

    window: Window
    pixels: UInt8
    """(size, size, 3), not yet mirrored or recolored."""
    photometric: npt.NDArray[np.float32]
    """One value per field of `PHOTOMETRIC_FIELDS`."""


def draw_multi_crop(photo: LazyPhoto, config: MultiCropConfig, rng: np.random.Generator) -> list[View]:
    """Draw random resized crops of a photograph and cut them."""
    windows = [sample_window(*photo.size, crop.scale, config.flip, rng) for crop in config.each]
    return _cut_views(windows, photo, _wanted_views(config), rng)


def draw_share_crop(photo: LazyPhoto, config: ShareCropConfig, rng: np.random.Generator) -> list[View]:
    """Draw a window of the photograph's own aspect and cut it; the only view."""
    share = config.shares[int(rng.integers(len(config.shares)))]
    (height, width), (top, left) = photo.size, rng.random(2).tolist()
    h, w = max(round(share * height), 1), max(round(share * width), 1)
    place = (int(left * (width - w + 1)), int(top * (height - h + 1)))
    window = Window(*place, w, h, bool(rng.random() < config.flip))
    return _cut_views([window], photo, [(config.size, config.photometric)], rng)


def draw_covered_views(
    photo: LazyPhoto,
    mask: npt.NDArray[np.bool_],
    config: MultiCropConfig,
    coverage: CoverageConfig,
    rng: np.random.Generator,
) -> list[View] | None:
    """Draw and cut all views of a photograph so that each shows enough of its mask; None if one cannot.

    The mask (h, w) may be smaller than the photograph.
    """
    chosen = []
    for crop in config.each:
        windows = (sample_window(*photo.size, crop.scale, config.flip, rng) for _ in range(coverage.tries))
        fitting = (each for each in windows if coverage.accepts(crop_map(mask, photo.size, each, crop.size)))
        if (window := next(fitting, None)) is None:
            return None
        chosen.append(window)
    return _cut_views(chosen, photo, _wanted_views(config), rng)


def _wanted_views(config: MultiCropConfig) -> list[tuple[int, PhotometricConfig | None]]:
    """Side and color changes of each view."""
    return [(crop.size, crop.photometric or config.photometric) for crop in config.each]


def cut_center(photo: LazyPhoto, config: CenterViewConfig) -> View:
    """The photograph's middle: a square of `size` of the `resize` pixels that its shorter side is brought to."""
    height, width = photo.size
    side = round(min(height, width) * min(config.size / config.resize, 1))
    window = Window((width - side) // 2, (height - side) // 2, side, side, False)
    reduction = largest_reduction([(window, config.size)])
    window = align_window(window, reduction)
    pixels = crop_and_resize(photo.read(reduction), reduce_window(window, reduction), config.size)
    return View(window, pixels, draw_photometric(None, np.random.default_rng(0)))


def _cut_views(
    windows: list[Window],
    photo: LazyPhoto,
    wanted: Sequence[tuple[int, PhotometricConfig | None]],
    rng: np.random.Generator,
) -> list[View]:
    """Cut the views at their windows, from a photograph that is decoded no larger than they need."""
    reduction = largest_reduction((window, size) for window, (size, _) in zip(windows, wanted, strict=True))
    image, windows = photo.read(reduction), [align_window(window, reduction) for window in windows]
    return [
        View(
            window,
            crop_and_resize(image, reduce_window(window, reduction), size),
            draw_photometric(photometric, rng),
        )
        for window, (size, photometric) in zip(windows, wanted, strict=True)
    ]


def draw_photometric(config: PhotometricConfig | None, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Draw the color changes of one view.

    Returns:
        Factors for brightness, contrast and saturation (1 = unchanged), shift of hue in turns (0 = unchanged), number
        of the order in which these four are applied (-1 = not at all), gray 0/1, blur's sigma (0 = none), solarize 0/1.
    """
    if config is None:
        return np.array([1, 1, 1, 0, -1, 0, 0, 0], np.float32)
    *places, turn, order, jitter, gray, blur, width, solarize = rng.random(10).tolist()
    *strengths, hue = config.jitter
    lowest = [max(0.0, 1 - strength) for strength in strengths]
    return np.array(
        [
            *(
                low + (1 + strength - low) * place
                for low, strength, place in zip(lowest, strengths, places, strict=True)
            ),
            hue * (2 * turn - 1),
            int(order * _JITTER_ORDERS) if jitter < config.jitter_probability else -1,
            gray < config.gray_probability,
            config.blur_sigma[0] + (config.blur_sigma[1] - config.blur_sigma[0]) * width
            if blur < config.blur_probability
            else 0,
            solarize < config.solarize_probability,
        ],
        np.float32,
    )
