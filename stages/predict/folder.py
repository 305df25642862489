"""Segment any folder of photographs: masks, overlays and a legend for people."""

import csv
import errno
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.models import read_model
from stages.core.artifacts.names import Naming, read_naming
from stages.core.artifacts.shards import write_atomically
from stages.core.data import IMAGE_SUFFIXES, Rejected
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.files import find_name_problem, image_id_of, list_files, name_fits, readable_name
from stages.core.image_files import UInt8, UnreadableImage, read_image
from stages.core.images.overlay import overlay
from stages.core.images.palette import category_colors, hex_color
from stages.core.nets.segmenter import Segmenter, restore_segmenter
from stages.core.outputs import make_output_folder
from stages.core.png_files import encode_png
from stages.core.progress import track
from stages.predict.legend import draw_legend

_MAX_PIXELS = 1_000_000
_PREVIEW_SIDE = 1600


def predict_folder(images: Path, out: Path) -> None:
    """Segment every photograph below a folder with `artifacts/finetune`.

    Writes `out/masks/NAME.png` (single-channel, id = cluster + 1, 0 background, of the photograph's own size after EXIF
    rotation), `out/overlays/NAME.png`, `out/legend.csv` (id, color, share of pixels) and `out/legend.png`. Files that
    are not usable photographs, by the rule of the stage `index`, are counted and listed in `out/rejected.csv`.

    Args:
        images: Folder, nested as you like.
        out: Folder; made if missing.

    Raises:
        UserError: No folder, nothing usable in it, `out` lies where photographs are read or cannot be written to, or no
            trained segmenter.
    """
    paths, rejected = _find_photographs(images, out)
    segmenter = restore_segmenter(*read_model("finetune", ["backbone", "head"])).to(inference_device())
    make_output_folder(out, "--out")
    naming = read_naming(segmenter.card.clusters)
    colors = category_colors(segmenter.card.clusters)
    areas, done = np.zeros(len(colors), np.int64), 0
    for path, target in track(paths.items(), len(paths), label="predict"):
        try:
            image = read_image(images / path)
            label = naming.apply(segment_photograph(segmenter, image))
            _write_pictures(out, target, image, label, colors)
        except UnreadableImage as error:
            rejected.append(Rejected(path, str(error).removeprefix(f"{images / path}: ")))
            continue
        areas += np.bincount(label.reshape(-1), minlength=len(colors))
        done += 1
    lines = sorted((readable_name(file.path), readable_name(file.reason)) for file in rejected)
    _write_csv(out / "rejected.csv", Rejected._fields, lines)
    if not done:
        raise UserError(f"{images}: none of its {len(rejected)} files is a usable photograph; see {out}/rejected.csv")
    _write_legend(out, areas, colors, naming)
    if naming.warning:
        print(f"predict: {naming.warning}", file=sys.stderr)
    print(f"{done} photographs segmented into {out}" + (f", {len(rejected)} rejected" * bool(rejected)))


def segment_photograph(segmenter: Segmenter, image: UInt8) -> npt.NDArray[np.uint16]:
    """Ids (H, W) of a photograph, 0 where the score lies below the segmenter's own threshold."""
    return segmenter.segment_photograph(image, _MAX_PIXELS).above(segmenter.card.threshold)


def _find_photographs(images: Path, out: Path) -> tuple[dict[str, str], list[Rejected]]:
    """Photographs with the names of their results, both relative; and the files that are not even opened."""
    if not images.is_dir():
        raise UserError(f"{images}: no such folder of photographs")
    if out.resolve() == images.resolve():
        raise UserError(f"{out}: the results cannot lie in the folder of photographs itself; name another one")
    found: dict[str, str] = {}
    taken, rejected = set(), []
    for path in _list_outside(images, out):
        target = _name_result(path)
        if problem := find_name_problem(path, IMAGE_SUFFIXES):
            rejected.append(Rejected(path, problem))
        elif target in taken:
            rejected.append(Rejected(path, f"its mask would take the name of another one, {target}; rename the file"))
        else:
            found[path] = target
            taken.add(target)
    if not found and not rejected:
        raise UserError(f"{images}: no photographs ({', '.join(IMAGE_SUFFIXES)}) in it")
    return found, rejected


def _list_outside(images: Path, out: Path) -> list[str]:
    """Files below `images`; results of an earlier run are not among them."""
    found, results = list_files(images), out.resolve()
    if not (out.exists() and results.is_relative_to(images.resolve())):
        return found
    return [path for path in found if not (images / path).resolve().is_relative_to(results)]


def _name_result(path: str) -> str:
    # The suffix stays in the name: a.jpg and a.png are two photographs.
    whole = f"{path}.png"
    return whole if name_fits(whole.rpartition("/")[2]) else f"{image_id_of(path)}.png"


def _write_pictures(out: Path, target: str, image: UInt8, label: npt.NDArray[np.uint16], colors: UInt8) -> None:
    narrow = label.astype(np.uint8) if len(colors) <= 256 else label
    step = max(1, -(-max(label.shape) // _PREVIEW_SIDE))
    shown = overlay(image[::step, ::step], label[::step, ::step], colors)
    try:
        write_atomically(out / "masks" / target, encode_png(narrow))
        write_atomically(out / "overlays" / target, encode_png(shown))
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise UnreadableImage("the path of its mask is longer than the system allows; name a shorter --out") from None


def _write_legend(out: Path, areas: npt.NDArray[np.int64], colors: UInt8, naming: Naming) -> None:
    shares = areas / max(int(areas.sum()), 1)
    legend = naming.legend.items()
    rows = [(number, name, hex_color(colors[number]), f"{shares[number]:.4f}") for number, name in legend]
    _write_csv(out / "legend.csv", ("id", "name", "color", "share_of_pixels"), rows)
    lines = [(f"{number:>3}  {name}  {100 * shares[number]:.1f} %", colors[number]) for number, name in legend]
    write_atomically(out / "legend.png", encode_png(draw_legend(lines)))


def _write_csv(path: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([head, *rows])
    write_atomically(path, text.getvalue().encode())
