"""Says what the stage sees in `data/`, without writing anything: splits, sizes, ids of the masks, what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from stages.core.artifacts.image_index import Photo
from stages.core.artifacts.labels import Label
from stages.core.config.splits import SPLITS
from stages.core.data import IGNORE_ID, Rejected
from stages.core.data_link import data_root
from stages.core.files import image_id_of, readable_name
from stages.core.words import how_many
from stages.index import Config
from stages.index.acceptance import Readings, accept_masks, accept_photographs
from stages.index.layout import Layout, require_data
from stages.index.reading import read_files

_SHOWN = 30
"""Classes and reasons that are listed; the rest is counted."""
_NAMES = {0: "background", IGNORE_ID: "void"}


class Survey(NamedTuple):
    """What the stage would write, and what it has read for that."""

    layout: Layout
    readings: Readings
    photos: list[Photo]
    labels: list[Label]
    rejected: list[Rejected]
    rejected_masks: list[Rejected]


def survey_data(config: Config, most: int | None = None) -> Survey:
    """Find the files of `data/` and read them as the stage does.

    Args:
        config: The layout.
        most: Photographs of each split that are read, evenly spread over it; None for all.

    Raises:
        UserError: There is no data, or the layout does not find what it needs.
    """
    require_data()
    layout = config.find() if most is None else _spread(config.find(), most)
    readings = read_files(config, layout)
    photos, rejected = accept_photographs(layout, readings)
    labels, rejected_masks = accept_masks(layout, readings, photos)
    return Survey(layout, readings, photos, labels, rejected, rejected_masks)


def _spread(layout: Layout, most: int) -> Layout:
    """The layout with `most` photographs of each split, or all where it has fewer, and their masks."""
    kept = []
    for split in SPLITS:
        found = [photo for photo in layout.photographs if photo.split == split]
        step = max(len(found) / most, 1)
        kept += [found[int(place * step)] for place in range(min(most, len(found)))]
    ids = {image_id_of(photo.path) for photo in kept}
    masks = {path: image_id for path, image_id in layout.masks.items() if image_id in ids}
    return layout._replace(photographs=sorted(kept), masks=masks)


def describe_survey(survey: Survey) -> Iterator[str]:
    """The lines that tell it."""
    masked = {label.image_id: label.mask_path for label in survey.labels if label.mask_path}
    for split in SPLITS:
        if photos := [photo for photo in survey.photos if photo.split == split]:
            with_mask = sum(photo.image_id in masked for photo in photos)
            yield f"{split}: {how_many(len(photos), 'photograph')} of {_sizes(photos)}, {with_mask:,} with a mask"
    yield from _describe_rejected("photographs", survey.rejected)
    yield from _describe_rejected("masks", survey.rejected_masks)
    yield from _describe_ids(survey)
    yield from _describe_classes(survey, masked)


def describe_bad_masks(survey: Survey) -> str:
    """The first file that cannot be used as a mask and what to do about it, in one line; empty if there is none."""
    if not survey.rejected_masks:
        return ""
    (path, reason), *others = survey.rejected_masks
    more = f", and {len(others):,} more as listed above" if others else ""
    return (
        f"{data_root() / readable_name(path)}: no usable mask ({readable_name(reason)}){more}; mend the file or move "
        "it away: `index` goes on, but its photograph is not scored"
    )


def _sizes(photos: Sequence[Photo]) -> str:
    sides = np.array([(photo.width, photo.height) for photo in photos])
    low, middle, high = sides.min(0), np.median(sides, 0).astype(int), sides.max(0)
    if (low == high).all():
        return f"{low[0]}x{low[1]} pixels"
    return f"{low[0]}x{low[1]} to {high[0]}x{high[1]} pixels (median {middle[0]}x{middle[1]})"


def _describe_rejected(kind: str, rejected: Sequence[Rejected]) -> Iterator[str]:
    if rejected:
        yield f"{how_many(len(rejected), 'file')} cannot be used as {kind}:"
        yield from (f"  {readable_name(path)}: {readable_name(reason)}" for path, reason in rejected[:_SHOWN])
        if len(rejected) > _SHOWN:
            yield f"  ... and {len(rejected) - _SHOWN:,} more"


def _describe_ids(survey: Survey) -> Iterator[str]:
    """Pixels by id over all masks that can be read, those that are rejected for their ids included."""
    areas: Counter[int] = Counter()
    first: dict[int, str] = {}
    for path in survey.layout.masks:
        reading = survey.readings[path]
        for each, area in zip(reading.ids, reading.areas, strict=True):
            areas[each] += area
            first.setdefault(each, path)
    if not areas:
        return
    total = areas.total()
    yield "ids of the masks, by their share of pixels:"
    for each, area in areas.most_common(_SHOWN):
        yield f"  {each}: {_name_of(each, survey.layout) or 'NO CLASS'}, {100 * area / total:.2f} %"
    if len(areas) > _SHOWN:
        yield f"  ... and {len(areas) - _SHOWN} ids more"
    if unknown := sorted(each for each in areas if not _name_of(each, survey.layout)):
        told = ", ".join(f"{each} (e.g. {readable_name(first[each])})" for each in unknown[:5])
        yield f"{len(unknown)} ids that are neither a class, background nor void: {told}"


def _name_of(stored: int, layout: Layout) -> str:
    if layout.mask_ids is not None and stored not in layout.mask_ids:
        return ""
    class_id = stored if layout.mask_ids is None else layout.mask_ids[stored]
    if class_id in _NAMES:
        return _NAMES[class_id]
    return layout.classes[class_id - 1] if class_id <= len(layout.classes) else ""


def _describe_classes(survey: Survey, masked: dict[str, str]) -> Iterator[str]:
    """Classes that train shows nothing of: by folder where photographs lie in folders, else by its masks."""
    train = {photo.image_id for photo in survey.photos if photo.split == "train"}
    filled = {label.class_name for label in survey.labels if label.image_id in train} - {None}
    if not filled:
        held = {each for image_id in train & set(masked) for each in survey.readings[masked[image_id]].ids}
        filled = {_name_of(each, survey.layout) for each in held}
    if filled and (empty := [name for name in survey.layout.classes if name not in filled]):
        more = " ..." if len(empty) > _SHOWN else ""
        yield f"{how_many(len(empty), 'class')} of which train shows nothing: {', '.join(empty[:_SHOWN])}{more}"
    if not train:
        yield f"{data_root()}: no usable photograph to train on"
