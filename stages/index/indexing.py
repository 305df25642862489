"""Indexes the files below `data/` into the two artifacts of the stage."""

from collections import Counter

from stages.core.artifacts.image_index import IMAGES, Photo, write_images
from stages.core.artifacts.labels import LABELS, Label, write_labels
from stages.core.config.splits import SPLITS
from stages.core.data import IMAGE_SUFFIXES, Rejected
from stages.core.data_link import data_root
from stages.core.errors import UserError
from stages.core.files import readable_name
from stages.core.words import how_many
from stages.index import Config
from stages.index.acceptance import accept_masks, accept_photographs
from stages.index.layout import Layout, require_data
from stages.index.reading import read_files


def index_data(config: Config) -> None:
    """Read every file of `data/` once and write what can be used.

    Raises:
        UserError: There is nothing to train on.
    """
    require_data()
    layout = config.find()
    readings = read_files(config, layout)
    photos, rejected = accept_photographs(layout, readings)
    if not any(photo.split == "train" for photo in photos):
        raise UserError(_describe_nothing(config.explain(), rejected))
    labels, rejected_masks = accept_masks(layout, readings, photos)
    write_images(photos, rejected, config.method)
    classes = dict(enumerate(layout.classes, start=1))
    write_labels(labels, classes, rejected_masks, config.method, layout.mask_ids)
    _report(photos, labels)
    _report_empty_categories(layout)
    _report_rejected(len(rejected), len(rejected_masks))


def _describe_nothing(where: str, rejected: list[Rejected]) -> str:
    found = f"; {how_many(len(rejected), 'file')} cannot be used:" if rejected else ""
    lines = [f"  {readable_name(file.path)}: {file.reason}" for file in rejected[:5]]
    return "\n".join(
        [
            f"{data_root()}: no usable photograph to train on{found}",
            *lines,
            f"Photographs ({' '.join(IMAGE_SUFFIXES)}) are looked for {where}. "
            "Put some there, write the built-in set with `luss sample`, or choose another layout with `luss use`",
        ]
    )


def _report(photos: list[Photo], labels: list[Label]) -> None:
    per_split = Counter(photo.split for photo in photos)
    masks = sum(label.mask_path is not None for label in labels)
    found = ", ".join(f"{split} {per_split[split]}" for split in SPLITS)
    print(f"index: {found} photographs, {how_many(masks, 'mask')}")
    _report_unmasked(photos, labels)


def _report_unmasked(photos: list[Photo], labels: list[Label]) -> None:
    """Say how many photographs of a split are not scored where others of it are."""
    masked = {label.image_id for label in labels if label.mask_path is not None}
    for split in SPLITS:
        ids = [photo.image_id for photo in photos if photo.split == split]
        without = [image_id for image_id in ids if image_id not in masked]
        if 0 < len(without) < len(ids):
            all_of_it = f"{how_many(len(ids), 'photograph')} of split {split}"
            print(f"index: no mask for {len(without)} of {all_of_it}, e.g. {without[0]}")


def _report_empty_categories(layout: Layout) -> None:
    filled = {photo.class_name for photo in layout.photographs}
    if filled != {None} and (empty := [name for name in layout.classes if name not in filled]):
        print(
            f"index: {len(empty)} of {len(layout.classes)} category folders hold no photograph, and keep their ids: "
            f"{', '.join(empty[:5])}{' ...' if len(empty) > 5 else ''}"
        )


def _report_rejected(photographs: int, masks: int) -> None:
    """Say at the end, where it is seen, what was left out."""
    for count, kind, out in ((photographs, "photographs", IMAGES), (masks, "masks", LABELS)):
        if count:
            print(f"index: {how_many(count, 'file')} cannot be used as {kind}: see {out / 'rejected.csv'}")
