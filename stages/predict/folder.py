"""Segment photographs of any folder: masks, overlays, tables and a page for people."""

import errno
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.names import read_naming
from stages.core.artifacts.shards import ARTIFACTS, write_atomically
from stages.core.errors import UserError
from stages.core.image_files import UInt8
from stages.core.images.overlay import overlay
from stages.core.images.palette import category_colors
from stages.core.outputs import make_output_folder
from stages.core.png_files import encode_png
from stages.core.words import how_many
from stages.predict import load_segmenter
from stages.predict.photographs import Photographs, find_photographs
from stages.predict.results import Summary, claim_results, write_page, write_tables
from stages.predict.videos import Frames, is_video

_PREVIEW_SIDE = 1600
_TOLD = 10
"""Categories, or files that could not be read, that are printed."""


def predict_folder(images: Path, out: Path, only: Sequence[str] = (), min_score: float | None = None) -> int:
    """Segment photographs with `artifacts/finetune`, by the project's settings of `predict` and its `names.yaml`.

    Writes `out/masks/NAME.png` (single-channel, id = cluster + 1, 0 background, of the photograph's own size after EXIF
    rotation), `out/overlays/NAME.png`, `out/index.html` with the overlays, `out/summary.csv` (id, name, pixels, share
    of pixels, photographs), `out/legend.csv` (id, name, color, share of pixels) and `out/legend.png`. Files that are
    not usable photographs, by the rule of the stage `index`, are listed in `out/rejected.csv`.

    Args:
        images: Folder, file, pattern, or a video; see `find_photographs`.
        out: Folder; made if missing. What lies there and is not of an earlier run is never overwritten.
        only: Names or numbers of categories; all others become background. Empty for all.
        min_score: In 0..1: what scores less becomes background, in place of the segmenter's own threshold.

    Returns:
        How many photographs could not be read.

    Raises:
        UserError: No folder, nothing usable in it, `out` lies where photographs are read or cannot be written to, no
            such category, or no trained segmenter.
    """
    photographs = find_photographs(images, out)  # Of a video, too: what it says of `out` holds for both.
    if is_video(images):
        photographs = Frames(images)
    segmenter = load_segmenter(ARTIFACTS / "finetune")
    naming = read_naming(segmenter.clusters)
    summary = Summary(naming.only(only, "--only") if only else naming, photographs.noun)
    make_output_folder(out, "--out")
    claim_results(out, photographs.targets.values())
    colors, done = category_colors(segmenter.clusters), dict[str, str]()
    for path, target, image in photographs.read("predict"):
        mask = summary.naming.apply(segmenter(image, min_score))
        if _write_pictures(out, target, image, mask, colors):
            summary.add(mask)
            done[path] = target
        else:
            photographs.leave_out(path, "the path of its mask is longer than the system allows; name a shorter --out")
    write_tables(out, summary, photographs.all_rejected)
    if not done:
        rejected = photographs.all_rejected
        if len(rejected) == 1:
            raise UserError(f"{images}: no usable photograph: {': '.join(rejected[0])}")
        raise UserError(f"{images}: none of its {len(rejected)} files is a usable photograph; see {out}/rejected.csv")
    write_page(out, summary, done)
    _tell(out, summary, photographs, len(done))
    return len(photographs.unreadable)


def _write_pictures(out: Path, target: str, image: UInt8, mask: npt.NDArray[np.uint16], colors: UInt8) -> bool:
    """Whether they could be written; not where their path is too long."""
    narrow = mask.astype(np.uint8) if len(colors) <= 256 else mask
    step = max(1, -(-max(mask.shape) // _PREVIEW_SIDE))
    shown = overlay(image[::step, ::step], mask[::step, ::step], colors)
    try:
        write_atomically(out / "masks" / target, encode_png(narrow))
        write_atomically(out / "overlays" / target, encode_png(shown))
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False
    return True


def _tell(out: Path, summary: Summary, photographs: Photographs, done: int) -> None:
    lines, rejected = summary.lines(), photographs.all_rejected
    print(f"{how_many(done, photographs.noun)} segmented into {out}" + (f", {len(rejected)} rejected" * bool(rejected)))
    print("\n".join(f"  {line}" for line in lines[:_TOLD]) + ("\n  ..." * (len(lines) > _TOLD)))
    if summary.naming.warning:
        print(f"predict: {summary.naming.warning}", file=sys.stderr)
    if photographs.unreadable:
        told = "".join(f"\n  {file.path}: {file.reason}" for file in photographs.unreadable[:_TOLD])
        more = f"\n  ... all of them in {out}/rejected.csv" if len(photographs.unreadable) > _TOLD else ""
        count = how_many(len(photographs.unreadable), photographs.noun)
        print(f"predict: {count} cannot be read:{told}{more}", file=sys.stderr)
