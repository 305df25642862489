"""Saliency maps made elsewhere, from a folder."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from stages.core.config.params import Params
from stages.core.errors import UserError
from stages.core.hashing import hash_folder
from stages.saliency.maps import SaliencyMethod, StoredMapConfig

if TYPE_CHECKING:
    from stages.core.artifacts.image_index import ImageIndex, Photo
    from stages.core.artifacts.label_maps import LabelMap

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif")
_SHAPE_TOLERANCE = 0.1


class MapsFolderConfig(Params):
    """A folder from outside, pinned by its content."""

    path: str
    """Folder with one gray image per photograph, at `<path>/<image_id>.png` (or another common suffix)."""

    sha256: str | None = None
    """Of all files' relative paths and hashes, see `hash_folder`; a run with null fails and names the right one."""


class ExternalConfig(SaliencyMethod, StoredMapConfig):
    """Copies maps into the artifact; photographs without a map are named and left out."""

    method: Literal["external"] = "external"

    supervision: Literal["images", "labels"] = "images"  # type: ignore[assignment]
    """`labels` if whatever made the maps has seen labels, of this data set or of another; forces `strict: false`."""

    maps: MapsFolderConfig = Field(MapsFolderConfig(path="maps"))
    """Where the maps lie."""

    def write_maps(self, index: "ImageIndex") -> None:
        """Copy the maps of all photographs.

        Raises:
            UserError: The folder is missing, has other content than `sha256` says, or holds no map of any photograph.
        """
        from stages.core.artifacts.label_maps import write_label_maps

        folder = _open_folder(self.maps)
        paths = {image_id: path for image_id in index.image_ids if (path := _find_map(folder, image_id))}
        if not paths and len(index):
            raise UserError(f"saliency.maps.path = '{folder}': no map of any photograph, as {index[0].image_id}.png")
        write_label_maps("saliency", self.method, self._read_all(index, paths))

    def _read_all(self, index: "ImageIndex", paths: dict[str, Path]) -> "Iterator[LabelMap]":
        from stages.core.progress import track

        for position in track(range(len(index)), label="maps"):
            photo = index[position]
            try:
                yield self._read(index, position, paths.get(photo.image_id))
            except UserError as error:
                print(f"skipped: {error}", file=sys.stderr, flush=True)

    def _read(self, index: "ImageIndex", position: int, path: Path | None) -> "LabelMap":
        import cv2

        from stages.core.artifacts.label_maps import LabelMap
        from stages.core.image_files import read_image
        from stages.core.images.working_size import shrink

        photo = index[position]
        if path is None:
            raise UserError(f"{photo.image_id}: no map")
        gray = shrink(read_image(path), self.max_side)
        height, width = gray.shape[:2]
        _check_shape(path, (height, width), photo)
        image = (
            cv2.resize(index.read(position), (width, height), interpolation=cv2.INTER_AREA) if self.grabcut else gray
        )
        saliency = gray[..., 0].astype(np.float32) / np.float32(255)
        return LabelMap(
            photo.image_id, photo.height, photo.width, self.to_stored_map(np.asarray(image, np.uint8), saliency)
        )


def _open_folder(maps: MapsFolderConfig) -> Path:
    folder = Path(maps.path).expanduser()
    if not folder.is_dir():
        raise UserError(f"saliency.maps.path = '{maps.path}': no such folder")
    if (found := hash_folder(folder)) != maps.sha256:
        raise UserError(
            f"saliency.maps.sha256 = {maps.sha256}: the content of '{maps.path}' is {found}; "
            "write that value if these are the maps you mean"
        )
    return folder


def _find_map(folder: Path, image_id: str) -> Path | None:
    # Ids may hold dots: the suffix is appended, not replaced.
    paths = (folder / f"{image_id}{suffix}" for suffix in _SUFFIXES)
    return next((path for path in paths if os.path.isfile(path)), None)  # Path's own raises where a name is too long.


def _check_shape(path: Path, shape: tuple[int, int], photo: "Photo") -> None:
    drift = (shape[1] / shape[0]) / (photo.width / photo.height)
    if not 1 - _SHAPE_TOLERANCE < drift < 1 + _SHAPE_TOLERANCE and min(shape) > 1:
        raise UserError(
            f"{path}: {shape[1]}x{shape[0]} is not the shape of its photograph ({photo.width}x{photo.height})"
        )
