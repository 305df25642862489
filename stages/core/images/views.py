"""What a training method wants to see of a photograph, and drawing it: geometry here, colors on the device."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from stages.core.artifacts.models import InputCard
from stages.core.images.crops import Window, align, cut, cut_map, largest_reduction, sample_window, shrink
from stages.core.images.decode import UInt8
from stages.core.params import Params

PHOTOMETRIC_FIELDS = ("brightness", "contrast", "saturation", "hue", "order", "gray", "blur", "solarize")
"""Columns of the per-view photometric parameters; see `draw_photometric`."""

_JITTER_ORDERS = 24

Share = Annotated[float, Field(gt=0, le=1)]


class CropConfig(Params):
    """A group of random resized crops of one size."""

    count: int = Field(ge=1)
    """Views of this size per photograph."""
    size: int = Field(ge=8)
    """Side in pixels."""
    scale: tuple[Share, Share]
    """Smallest and largest share of the photograph's area."""

    @field_validator("scale")
    @classmethod
    def _is_ascending(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] > scale[1]:
            raise ValueError("the smallest share stands first")
        return scale


class CoverageConfig(Params):
    """How much of a view must lie inside the photograph's mask, so that it shows a part of the object.

    Source: MaskContrast, section 4.1; limits and tries from its code.
    """

    share: tuple[float, float] = (0.01, 0.99)
    """Between these shares of a view's pixels lie inside the mask. MaskContrast's code: 0.01 and 0.99; paper: more than
    0.1."""
    tries: int = Field(3, ge=1)
    """Windows drawn for a view before another photograph is taken. MaskContrast's code: 3."""

    @field_validator("share")
    @classmethod
    def _is_range(cls, share: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= share[0] < share[1] <= 1:
            raise ValueError("two shares between 0 and 1, the smaller one first")
        return share

    def accepts(self, mask: npt.NDArray[Any]) -> bool:
        """Whether a view's mask (size, size) of truth values lies within the limits."""
        return bool(self.share[0] < mask.mean() <= self.share[1])


class PhotometricConfig(Params):
    """Random changes of color, per view."""

    jitter: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 0.2)
    """Strengths of brightness, contrast, saturation and hue (torchvision's ColorJitter). SwAV, section A.1."""
    jitter_probability: float = Field(0.8, ge=0, le=1)
    """SwAV, section A.1."""
    gray_probability: float = Field(0.2, ge=0, le=1)
    """SwAV, section A.1."""
    blur_probability: float = Field(0.5, ge=0, le=1)
    """SwAV, section A.1."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Range of the Gaussian's standard deviation in pixels of the view. SwAV, section A.1."""
    solarize_probability: float = Field(0.0, ge=0, le=1)
    """Share of views whose bright half is inverted (BYOL's second view: 0.2)."""


class LazyPhoto(NamedTuple):
    """A photograph that is decoded once it is known how large it must be."""

    size: tuple[int, int]
    """Height and width, pixels."""
    read: Callable[[int], UInt8]
    """Decode it (H, W, 3), at 1/n of its height and width, rounded up, for n in `REDUCTIONS`."""


class ViewConfig(Params, ABC):
    """What a training method wants to see of a photograph: where views are cut, and what changes their colors."""

    flip: float = Field(0.5, ge=0, le=1)
    """Probability of mirroring a view."""
    photometric: PhotometricConfig | None = PhotometricConfig()
    """Color changes; null for none."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Channel means that are subtracted, of values in 0..1. ImageNet's."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Channel deviations that are divided by. ImageNet's."""

    @property
    @abstractmethod
    def sizes(self) -> list[int]:
        """Side of each view, in order."""

    @abstractmethod
    def draw(self, photo: LazyPhoto, rng: np.random.Generator) -> "list[View]":
        """Draw and cut all views of a photograph."""

    @property
    def input_card(self) -> InputCard:
        """What a network trained on these views expects to see."""
        return {"mean": list(self.mean), "std": list(self.std), "size": self.sizes[0]}


class MultiCropConfig(ViewConfig):
    """Random resized crops, in groups of one size (multi-crop)."""

    crops: tuple[CropConfig, ...] = Field(min_length=1)
    """Groups of crops; the first group holds the large views."""

    @property
    def sizes(self) -> list[int]:
        """Side of each view, in order."""
        return [crop.size for crop in self.crops for _ in range(crop.count)]

    def draw(self, photo: LazyPhoto, rng: np.random.Generator) -> "list[View]":
        """Draw and cut all views of a photograph."""
        return self.cut([sample_window(*photo.size, crop.scale, self.flip, rng) for crop in self.each], photo, rng)

    @property
    def each(self) -> Iterator[CropConfig]:
        """The group of each view, in order."""
        return chain.from_iterable(repeat(crop, crop.count) for crop in self.crops)

    def cut(self, windows: list[Window], photo: LazyPhoto, rng: np.random.Generator) -> "list[View]":
        """Cut the views at their windows, from a photograph that is decoded no larger than they need."""
        reduction = largest_reduction(zip(windows, self.sizes, strict=True))
        image, windows = photo.read(reduction), [align(window, reduction) for window in windows]
        return [
            View(window, cut(image, shrink(window, reduction), size), draw_photometric(self.photometric, rng))
            for window, size in zip(windows, self.sizes, strict=True)
        ]


class View(NamedTuple):
    """One view of one photograph as the loader cuts it."""

    window: Window
    pixels: UInt8
    """(size, size, 3), not yet mirrored or recolored."""
    photometric: npt.NDArray[np.float32]
    """One value per field of `PHOTOMETRIC_FIELDS`."""


def draw_covered_views(
    photo: LazyPhoto,
    mask: npt.NDArray[np.bool_],
    spec: MultiCropConfig,
    coverage: CoverageConfig,
    rng: np.random.Generator,
) -> list[View] | None:
    """Draw and cut all views of a photograph so that each shows enough of its mask; None if one cannot.

    The mask (h, w) may be smaller than the photograph.
    """
    chosen = []
    for crop in spec.each:
        windows = (sample_window(*photo.size, crop.scale, spec.flip, rng) for _ in range(coverage.tries))
        fitting = (each for each in windows if coverage.accepts(cut_map(mask, photo.size, each, crop.size)))
        if (window := next(fitting, None)) is None:
            return None
        chosen.append(window)
    return spec.cut(chosen, photo, rng)


def draw_photometric(spec: PhotometricConfig | None, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Draw the color changes of one view.

    Returns:
        Factors for brightness, contrast and saturation (1 = unchanged), shift of hue in turns (0 = unchanged), number
        of the order in which these four are applied (-1 = not at all), gray 0/1, blur's sigma (0 = none), solarize 0/1.
    """
    if spec is None:
        return np.array([1, 1, 1, 0, -1, 0, 0, 0], np.float32)
    *places, turn, order, jitter, gray, blur, width, solarize = rng.random(10).tolist()
    *strengths, hue = spec.jitter
    lowest = [max(0.0, 1 - strength) for strength in strengths]
    return np.array(
        [
            *(
                low + (1 + strength - low) * place
                for low, strength, place in zip(lowest, strengths, places, strict=True)
            ),
            hue * (2 * turn - 1),
            int(order * _JITTER_ORDERS) if jitter < spec.jitter_probability else -1,
            gray < spec.gray_probability,
            spec.blur_sigma[0] + (spec.blur_sigma[1] - spec.blur_sigma[0]) * width
            if blur < spec.blur_probability
            else 0,
            solarize < spec.solarize_probability,
        ],
        np.float32,
    )
