"""Segment any folder of photographs: masks, overlays and a legend for people."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.models import read_model
from stages.core.artifacts.shards import write_atomically
from stages.core.data import IMAGE_SUFFIXES
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.image_files import UInt8, UnreadableImage, encode_png, read_image
from stages.core.images.overlay import overlay
from stages.core.images.palette import category_colors
from stages.core.nets.segmenter import Segmenter, restore_segmenter
from stages.core.progress import track

_MAX_PIXELS = 1_000_000
_PREVIEW_SIDE = 1600


def predict_folder(images: Path, out: Path) -> None:
    """Segment every photograph below a folder with `artifacts/finetune`.

    Writes `out/masks/NAME.png` (single-channel, id = cluster + 1, 0 background, of the photograph's own size after EXIF
    rotation), `out/overlays/NAME.png`, `out/legend.csv` (id, color, share of pixels) and `out/legend.png`. Files that
    are not usable photographs are listed in `out/rejected.csv`.

    Args:
        images: Folder, nested as you like.
        out: Folder; made if missing.

    Raises:
        UserError: No folder, nothing usable in it, `out` lies where photographs are read, or no trained segmenter.
    """
    paths = _find_photographs(images, out)
    segmenter = restore_segmenter(*read_model("finetune", ["backbone", "head"])).to(inference_device())
    colors = category_colors(segmenter.card.clusters)
    areas = np.zeros(len(colors), np.int64)
    rejected = []
    for path in track(paths, label="predict"):
        try:
            image = read_image(path)
        except UnreadableImage as error:
            rejected.append((path.relative_to(images).as_posix(), str(error).removeprefix(f"{path}: ")))
            continue
        label = segment_photograph(segmenter, image)
        areas += np.bincount(label.reshape(-1), minlength=len(colors))
        _write_pictures(out, path.relative_to(images), image, label, colors)
    _write_csv(out / "rejected.csv", ("path", "reason"), rejected)
    if len(rejected) == len(paths):
        raise UserError(f"{images}: none of its {len(paths)} files is a usable photograph; see {out / 'rejected.csv'}")
    _write_legend(out, areas, colors)
    print(
        f"{len(paths) - len(rejected)} photographs segmented into {out}"
        + (f", {len(rejected)} rejected" * bool(rejected))
    )


def segment_photograph(segmenter: Segmenter, image: UInt8) -> npt.NDArray[np.uint16]:
    """Ids (H, W) of a photograph, 0 where the score lies below the segmenter's own threshold."""
    found = segmenter.segment_photograph(image, _MAX_PIXELS)
    below = found.score < round(100 * (segmenter.card.threshold or 0.0))
    return np.where(below, 0, found.label).astype(np.uint16)


def _find_photographs(images: Path, out: Path) -> list[Path]:
    if not images.is_dir():
        raise UserError(f"{images}: no such folder of photographs")
    if out.resolve() == images.resolve():
        raise UserError(f"{out}: the results cannot lie in the folder of photographs itself; name another one")
    inside = out.resolve().is_relative_to(images.resolve()) and out.exists()
    found = sorted(path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    found = [path for path in found if not (inside and path.resolve().is_relative_to(out.resolve()))]
    if not found:
        raise UserError(f"{images}: no photographs ({', '.join(IMAGE_SUFFIXES)}) in it")
    return found


def _write_pictures(out: Path, name: Path, image: UInt8, label: npt.NDArray[np.uint16], colors: UInt8) -> None:
    # The suffix stays in the name: a.jpg and a.png are two photographs.
    target = name.with_name(f"{name.name}.png")
    narrow = label.astype(np.uint8) if len(colors) <= 256 else label
    write_atomically(out / "masks" / target, encode_png(narrow))
    step = max(1, -(-max(label.shape) // _PREVIEW_SIDE))
    write_atomically(
        out / "overlays" / target, encode_png(overlay(image[::step, ::step], label[::step, ::step], colors))
    )


def _write_legend(out: Path, areas: npt.NDArray[np.int64], colors: UInt8) -> None:
    shares = areas / max(int(areas.sum()), 1)
    rows = [
        (
            number,
            "background" if number == 0 else f"category {number}",
            "#{:02x}{:02x}{:02x}".format(*colors[number]),
            f"{share:.4f}",
        )
        for number, share in enumerate(shares)
    ]
    _write_csv(out / "legend.csv", ("id", "name", "color", "share_of_pixels"), rows)
    write_atomically(out / "legend.png", encode_png(_draw_legend(colors, shares)))


def _draw_legend(colors: UInt8, shares: npt.NDArray[np.float64]) -> UInt8:
    from PIL import Image, ImageDraw

    row, width = 24, 260
    picture = Image.new("RGB", (width, row * len(colors) + 8), "white")
    draw = ImageDraw.Draw(picture)
    for number, color in enumerate(colors):
        top = 4 + number * row
        draw.rectangle((8, top + 4, 40, top + row - 4), fill=tuple(int(part) for part in color))
        name = "background" if number == 0 else f"category {number}"
        draw.text((52, top + 6), f"{number:>3}  {name}  {100 * shares[number]:.1f} %", fill="black")
    return np.asarray(picture)


def _write_csv(path: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([head, *rows])
    write_atomically(path, text.getvalue().encode())
