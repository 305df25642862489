"""Parameters of the views (augmented crops) that a network is trained on."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import chain, repeat
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from stages.core.config.params import Params

if TYPE_CHECKING:
    import numpy.typing as npt

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Share = Annotated[float, Field(gt=0, le=1)]


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


class CropConfig(Params):
    """A group of random resized crops of one size, as one part of multi-crop."""

    count: int = Field(ge=1)
    """Views of this size per photograph."""
    size: int = Field(ge=8)
    """Side in pixels."""
    scale: tuple[Share, Share]
    """Smallest and largest share of the photograph's area."""
    photometric: PhotometricConfig | None = None
    """Color changes of this group alone; null for those of all views. DINO and BYOL: other ones for each large view."""

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

    def accepts(self, mask: "npt.NDArray[Any]") -> bool:
        """Whether a view's mask (size, size) of truth values lies within the limits."""
        return bool(self.share[0] < mask.mean() <= self.share[1])


class InputCard(Params):
    """Input that a network expects: normalization statistics and image size."""

    mean: tuple[float, float, float]
    """Channel means that are subtracted, of values in 0..1."""
    std: tuple[float, float, float]
    """Channel deviations that are divided by."""
    size: int
    """Side in pixels of the views it was trained on."""


class ViewConfig(Params, ABC):
    """The views of a photograph that a training method asks for: geometry, and changes of color."""

    flip: float = Field(0.5, ge=0, le=1)
    """Probability of mirroring a view."""
    photometric: PhotometricConfig | None = PhotometricConfig()
    """Color changes; null for none."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Channel means that are subtracted, of values in 0..1. ImageNet's."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Channel deviations that are divided by. ImageNet's."""
    training_std: tuple[float, float, float] | None = None
    """What training divides by in their place; null for the same. SwAV's code, and after it PASS's: 0.228 for red."""

    @property
    @abstractmethod
    def sizes(self) -> list[int]:
        """Side of each view, in order."""

    @property
    def input_card(self) -> InputCard:
        """What a network trained on these views expects to see."""
        return InputCard(mean=self.mean, std=self.std, size=self.sizes[0])


class MultiCropConfig(ViewConfig):
    """Random resized crops, in groups of one size (multi-crop)."""

    crops: tuple[CropConfig, ...] = Field(min_length=1)
    """Groups of crops; the large views come first."""

    @property
    def sizes(self) -> list[int]:
        """Side of each view, in order."""
        return [crop.size for crop in self.crops for _ in range(crop.count)]

    @property
    def each(self) -> Iterator[CropConfig]:
        """The group of each view, in order."""
        return chain.from_iterable(repeat(crop, crop.count) for crop in self.crops)


class CenterViewConfig(ViewConfig):
    """The middle of a photograph, always the same."""

    flip: float = 0.0
    photometric: PhotometricConfig | None = None
    resize: int = Field(256, ge=8)
    """The photograph's shorter side is brought to so many pixels."""
    size: int = Field(224, ge=8)
    """Side of the square in its middle, in pixels."""

    @property
    def sizes(self) -> list[int]:
        """Side of the one view."""
        return [self.size]


class SectorViewConfig(ViewConfig):
    """Square views of one size and several zooms that all contain a common point (ViCE).

    Source: ViCE, section 3.2; the distributions from its code at revision 96d328b.
    """

    count: int = Field(5, ge=2)
    """M, views per photograph. ViCE, section 4: 5."""
    size: int = Field(256, ge=8)
    """Side of a view in pixels. ViCE, section 4: 256 at low, 512 at high resolution."""
    zoom: tuple[float, float] = (0.5, 1.5)
    """Range of the part that is cut, as a multiple of `size`. ViCE, section 4: 0.5-2; its code: 0.5-1.5."""
    frame: Literal["square", "whole"] = "square"
    """The part of the photograph that views are cut from: the central square (ViCE at low resolution), or all of it."""
    side: tuple[int, int] = (320, 320)
    """The frame's longer side is scaled into this range of pixels before. ViCE at low resolution: 320; high: 500 to
    2048."""

    @field_validator("zoom", "side")
    @classmethod
    def _is_range(cls, pair: tuple[float, float]) -> tuple[float, float]:
        if not 0 < pair[0] <= pair[1]:
            raise ValueError("two positive numbers, the smaller one first")
        return pair

    @property
    def sizes(self) -> list[int]:
        """Side of each view, in order."""
        return [self.size] * self.count


class ShareCropConfig(ViewConfig):
    """One view of the photograph's own aspect, squashed to a square.

    Source: TransFGU, section 4.2; the shares from its code.
    """

    size: int = Field(160, ge=8)
    """Side of the view in pixels. TransFGU: half of the 320 that photographs are squashed to."""
    shares: tuple[Share, ...] = Field((0.4, 0.5, 0.6, 0.7, 0.8, 0.9), min_length=1)
    """One of them is drawn: the share that is cut of the photograph's height and of its width."""

    @property
    def sizes(self) -> list[int]:
        """Side of the only view."""
        return [self.size]
