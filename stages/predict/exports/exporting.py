"""Brings predictions to a writer: of photographs in a folder, or those that the stage `predict` has stored."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.label_maps import LabelMaps, open_label_maps
from stages.core.artifacts.models import read_model_card
from stages.core.artifacts.names import read_naming
from stages.core.artifacts.shards import ARTIFACTS
from stages.core.data_link import data_root
from stages.core.errors import UserError
from stages.core.image_files import UnreadableImage, read_image
from stages.core.outputs import make_output_folder
from stages.core.progress import track
from stages.core.words import how_many
from stages.predict.exports import find_writer
from stages.predict.exports.writer import Segmented
from stages.predict.photographs import Photographs, find_photographs
from stages.predict.videos import is_video


def export_masks(kind: str, images: Path | None, out: Path) -> int:
    """Write predictions in a format that other tools read.

    Args:
        kind: One of `FORMATS`.
        images: Folder, file or pattern of photographs, which are segmented now; None for the photographs of the splits
            that the stage `predict` has segmented.
        out: Folder, which must be empty or new.

    Returns:
        How many photographs could not be read.

    Raises:
        UserError: No such format, `out` holds something, a category does not fit into the format, or there is nothing
            to export.
    """
    writer_type = find_writer(kind)
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"--out {out}: holds files already; name an empty or a new folder")
    if images and is_video(images):
        raise UserError(f"{images}: is a video; luss predict segments its frames, export takes photographs")
    photographs = find_photographs(images, out) if images else None
    card = read_model_card("finetune").segmenter
    if card is None:
        raise UserError("artifacts/finetune: its model is no segmenter")
    naming = read_naming(card.clusters)
    found = _segment(photographs) if photographs else _stored(open_label_maps("predict"), card.threshold)
    make_output_folder(out, "--out")
    writer, count = writer_type(out, naming), 0
    for one in found:
        writer.add(one._replace(mask=naming.apply(one.mask)))
        count += 1
    if not count:
        raise UserError(f"{images}: none of its files is a usable photograph")
    print(f"{how_many(count, 'photograph')} written to {out}: {writer.finish()}")
    if naming.warning:
        print(f"export: {naming.warning}", file=sys.stderr)
    unreadable = photographs.unreadable if photographs else []
    for file in unreadable:
        print(f"export: {file.path}: {file.reason}", file=sys.stderr)
    return len(unreadable)


def _segment(photographs: Photographs) -> Iterator[Segmented]:
    from stages.predict import load_segmenter

    segmenter = load_segmenter(ARTIFACTS / "finetune")
    for path, _, image in photographs.read("export"):
        yield Segmented(path, photographs.root, image, segmenter(image))


def _stored(maps: LabelMaps, threshold: float | None) -> Iterator[Segmented]:
    """The predictions of the stage at the segmenter's own threshold."""
    from stages.core.nets.segmenter import Segmentation

    index, root = read_images(), data_root()
    places = {image_id: number for number, image_id in enumerate(index.image_ids)}
    for found in track(maps, len(maps), label="export"):
        path = index[places[found.image_id]].path
        try:
            image = read_image(root / path)
        except UnreadableImage as error:
            raise UserError(f"{error}; the photographs have changed since `dvc repro` segmented them") from None
        assert found.score is not None
        label = found.map.astype("uint16")
        yield Segmented(path, root, image, Segmentation(label, found.score).above(threshold))
