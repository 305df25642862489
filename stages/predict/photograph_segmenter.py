"""The segmenter for use from Python: photographs as files, Pillow images or arrays, one or many, in; masks out."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, cast, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from stages.core.artifacts.models import read_model
from stages.core.artifacts.shards import ARTIFACTS
from stages.core.config.params import PARAMS_FILE, load_section
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.image_colors import is_srgb
from stages.core.image_files import UInt8, decode_image, is_upright, read_image
from stages.core.images.inference import normalize
from stages.core.nets.segmenter import Segmentation, Segmenter, restore_segmenter
from stages.predict import Config
from stages.predict.crf import segment_by_crf

_BATCH = 16
"""Most photographs that the network sees at once; they are of one size after resizing."""

Photograph = str | os.PathLike[str] | Image.Image | npt.NDArray[np.uint8]
"""A file, a Pillow image, or an array (H, W, 3) in RGB or (H, W) in gray."""
Mask = npt.NDArray[np.uint16]
"""(H, W) ids: 0 background, otherwise cluster + 1."""


class _Waiting(NamedTuple):
    """A photograph on its way to the network."""

    position: int
    pixels: UInt8
    """(h, w, 3) as the network takes it."""
    size: tuple[int, int]
    """Height and width of the photograph itself."""


class PhotographSegmenter:
    """A segmenter that takes photographs; `stages.predict.load_segmenter` makes one."""

    def __init__(self, segmenter: Segmenter, config: Config) -> None:
        self.segmenter, self.config = segmenter, config

    @classmethod
    def load(cls, folder: Path, config: Config | None = None) -> PhotographSegmenter:
        """See `stages.predict.load_segmenter`."""
        folder = folder if folder.name else folder.resolve()
        model = read_model(folder.name, ["backbone", "head"], folder.parent)
        return cls(restore_segmenter(*model).to(inference_device()), config or _find_config(folder))

    @property
    def clusters(self) -> int:
        """K: the ids in masks are 0 for background, and 1..K."""
        return self.segmenter.card.clusters

    @overload
    def __call__(  # type: ignore[overload-overlap]  # A str is iterable, too.
        self, images: Photograph, min_score: float | None = None
    ) -> Mask: ...
    @overload
    def __call__(self, images: Iterable[Photograph], min_score: float | None = None) -> list[Mask]: ...
    def __call__(self, images: Photograph | Iterable[Photograph], min_score: float | None = None) -> Mask | list[Mask]:
        """Segment one photograph, or many.

        Args:
            images: A file, a Pillow image or an array, or several of them, of any sizes. Files and Pillow images are
                turned as their EXIF says, and transparency is laid on white.
            min_score: In 0..1, in place of the segmenter's own threshold.

        Returns:
            For each a mask of its own height and width: 0 where the score lies below the threshold, otherwise
            cluster + 1.

        Raises:
            UserError: A file cannot be read as a photograph, or something else than a photograph was given.
        """
        threshold = self.segmenter.card.threshold if min_score is None else min_score
        found = self.segment(images)
        return found.above(threshold) if isinstance(found, Segmentation) else [one.above(threshold) for one in found]

    @overload
    def segment(self, images: Photograph) -> Segmentation: ...  # type: ignore[overload-overlap]  # As above.
    @overload
    def segment(self, images: Iterable[Photograph]) -> list[Segmentation]: ...
    def segment(self, images: Photograph | Iterable[Photograph]) -> Segmentation | list[Segmentation]:
        """The category of every pixel before any threshold, and its score in hundredths; else as `__call__`."""
        if _is_one(images):
            return self.segment([cast(Photograph, images)])[0]
        several = cast(Iterable[Photograph], images)
        pictures = (_to_pixels(image, f"photograph {number}") for number, image in enumerate(several))
        if self.config.crf:
            return [self._refine(image) for image in pictures]
        found: dict[int, Segmentation] = {}
        for batch in _batches(pictures, self.segmenter):
            seen = self._normalize([waiting.pixels for waiting in batch])
            sizes = [waiting.size for waiting in batch]
            results = self.segmenter.segment_batch(seen, sizes, self.config.max_pixels)
            found |= zip((waiting.position for waiting in batch), results, strict=True)
        return [found[position] for position in range(len(found))]

    def _refine(self, image: UInt8) -> Segmentation:
        assert self.config.crf is not None
        return segment_by_crf(self.segmenter, self._normalize([self.segmenter.prepare(image)]), image, self.config.crf)

    def _normalize(self, pixels: list[UInt8]) -> torch.Tensor:
        device = next(self.segmenter.parameters()).device
        stacked = torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2).copy())
        return normalize(stacked.to(device), self.segmenter.expects)


def _find_config(folder: Path) -> Config:
    """The section `predict` of the project that a model lies in; the defaults where there is none."""
    artifacts = folder.resolve().parent
    params = artifacts.parent / PARAMS_FILE
    is_project = artifacts.name == ARTIFACTS.name and params.is_file()
    return load_section("predict", Config, params) if is_project else Config()


def _batches(images: Iterable[UInt8], segmenter: Segmenter) -> Iterator[list[_Waiting]]:
    """Photographs that are of one size as the network takes them, in batches."""
    waiting: dict[tuple[int, ...], list[_Waiting]] = {}
    for position, image in enumerate(images):
        pixels = segmenter.prepare(image)
        batch = waiting.setdefault(pixels.shape, [])
        batch.append(_Waiting(position, pixels, (image.shape[0], image.shape[1])))
        if len(batch) == _BATCH:
            yield waiting.pop(pixels.shape)
    yield from waiting.values()


def _is_one(images: Photograph | Iterable[Photograph]) -> bool:
    """Whether it is one photograph; an array of four axes holds many."""
    is_many = isinstance(images, np.ndarray) and images.ndim > 3
    return isinstance(images, str | os.PathLike | Image.Image | np.ndarray) and not is_many


def _to_pixels(image: Photograph, name: str) -> UInt8:
    """(H, W, 3) RGB."""
    if isinstance(image, str | os.PathLike):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        is_plain = image.mode == "RGB" and not image.has_transparency_data and is_upright(image) and is_srgb(image)
        return np.asarray(image) if is_plain else decode_image(_encode(image), name)
    if not isinstance(image, np.ndarray):
        raise UserError(f"{name}: give a path, a Pillow image or an array, found {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or not image.size:
        raise UserError(f"{name}: arrays are (H, W, 3) or (H, W) of uint8, found {image.shape} of {image.dtype}")
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)


def _encode(image: Image.Image) -> bytes:
    """As a file, so that colors, depth and orientation are read by the one rule there is for files."""
    data, kind = io.BytesIO(), "TIFF" if image.mode in ("CMYK", "LAB", "F", "YCbCr", "HSV") else "PNG"
    image.save(data, kind, exif=image.getexif(), icc_profile=image.info.get("icc_profile"))
    return data.getvalue()
