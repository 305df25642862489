"""Accepts or rejects the files that were read, with reasons."""

from collections.abc import Mapping

from stages.core.artifacts.image_index import Photo
from stages.core.artifacts.labels import Label
from stages.core.data import IGNORE_ID, Rejected
from stages.core.files import image_id_of
from stages.index.layout import Layout
from stages.index.reading import Reading

Readings = Mapping[str, Reading]


def accept_photographs(layout: Layout, readings: Readings) -> tuple[list[Photo], list[Rejected]]:
    """Sort the photographs into those that can be used and the others.

    Of several files with one id the first that can be used is taken.
    """
    photos: dict[str, Photo] = {}
    rejected = list(layout.rejected)
    for candidate in layout.photographs:
        reading, image_id = readings[candidate.path], image_id_of(candidate.path)
        if reading.problem:
            rejected.append(Rejected(candidate.path, reading.problem))
        elif image_id in photos:
            rejected.append(Rejected(candidate.path, f"same name but for the suffix as {photos[image_id].path}"))
        else:
            size = (reading.height, reading.width, reading.bytes, reading.content_hash)
            photos[image_id] = Photo(image_id, candidate.split, candidate.path, *size)
    return list(photos.values()), rejected


def accept_masks(layout: Layout, readings: Readings, photos: list[Photo]) -> tuple[list[Label], list[Rejected]]:
    """Give every photograph its category and, where there is one that can be used, its mask."""
    by_id = {photo.image_id: photo for photo in photos}
    found = {image_id_of(candidate.path): candidate.class_name for candidate in layout.photographs}
    masks: dict[str, str] = {}
    rejected = list(layout.rejected_masks)
    for path, image_id in layout.masks.items():
        if image_id not in by_id:
            problem = "its photograph cannot be used" if image_id in found else f"no photograph {image_id}.*"
        else:
            problem = _problem_of_mask(readings[path], by_id[image_id], layout)
        if not problem and image_id in masks:
            problem = f"same name but for the suffix as {masks[image_id]}"
        if problem:
            rejected.append(Rejected(path, problem))
        else:
            masks[image_id] = path
    if not layout.classes:
        return [], rejected
    hashes = {image_id: readings[path].content_hash for image_id, path in masks.items()}
    return [Label(key, masks.get(key), hashes.get(key), found[key]) for key in by_id], rejected


def _problem_of_mask(reading: Reading, photo: Photo, layout: Layout) -> str:
    if reading.problem:
        return reading.problem
    if (reading.height, reading.width) != (photo.height, photo.width):
        size = f"{reading.width}x{reading.height}"
        return f"{size} pixels, but the photograph has {photo.width}x{photo.height} (after EXIF rotation)"
    return _problem_of_ids(set(reading.ids), layout)


def _problem_of_ids(ids: set[int], layout: Layout) -> str:
    if layout.mask_ids is not None:
        unknown = sorted(ids - set(layout.mask_ids))
        return (
            f"id {', '.join(map(str, unknown[:5]))}, which is neither a class, background nor void" if unknown else ""
        )
    largest, classes = max(ids - {IGNORE_ID}, default=0), len(layout.classes)
    return f"id {largest}, but there are {classes} categories ({IGNORE_ID} is ignore)" if largest > classes else ""
