"""Counts pixels over a set of images in several processes, and reports all unusable image pairs at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from itertools import chain
from typing import NamedTuple, TypeVar

from stages.core.errors import UserError
from stages.core.metrics.counts import Counts
from stages.core.metrics.kernels import Histogram, Int64, UInt8, UInt16, histogram
from stages.core.processes import map_in_processes
from stages.core.progress import Progress
from stages.core.words import how_many

_CHUNK = 32
_FEW = 32 * _CHUNK
"""Fewer images are counted here and now: starting processes takes seconds."""
_LISTED = 100

Item = TypeVar("Item")
Counted = tuple[Counts, list[str]]


class MapPair(NamedTuple):
    """True and predicted label map of one image."""

    true: UInt16
    pred: UInt16
    ranks: UInt8 | None
    """Thresholds that each pixel's score reaches; None without scores."""
    true_name: str
    """File, for messages."""
    pred_name: str


class CountingSettings(NamedTuple):
    """Numbers of classes, clusters and thresholds that are counted, and the ignored id."""

    classes: int
    clusters: int
    ignore: int
    """True id whose pixels do not count; -1 for none."""
    levels: int = 1


def count_images(
    items: Sequence[Item],
    load: Callable[[Item], MapPair],
    settings: CountingSettings,
    label: str,
    known_problems: Sequence[str] = (),
) -> Counts:
    """Count a set of images; the result does not depend on the number of processes.

    Args:
        items: What stands for an image.
        load: Picklable; reads the maps of an item and names its files in the errors it raises.
        settings: Ids and thresholds.
        label: Name of the set in progress lines.
        known_problems: Images that are out already; they are listed with the others.

    Raises:
        UserError: All images that could not be used, with their number.
    """
    counts, unusable, done = Counts(settings.classes, settings.clusters, settings.levels), dict[int, list[str]](), 0
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    count = partial(_count_chunk, load, settings)
    results = (
        map_in_processes(count, chunks) if len(items) >= _FEW else (each for each in enumerate(map(count, chunks)))
    )
    with Progress(len(items), label) as progress, closing(results) as counted:
        for position, (part, unusable[position]) in counted:
            counts.merge(part)
            done += part.images + len(unusable[position])
            progress.update(done)
    if problems := [*known_problems, *chain.from_iterable(unusable[position] for position in sorted(unusable))]:
        total = how_many(len(items) + len(known_problems), "image")
        raise UserError(list_problems(problems, f"{len(problems)} of {total} cannot be scored"))
    return counts


def list_problems(problems: Sequence[str], heading: str) -> str:
    """One line per problem under a heading."""
    rest = [f"... and {len(problems) - _LISTED} more"] if len(problems) > _LISTED else []
    return "\n  ".join([f"{heading}:", *problems[:_LISTED], *rest])


def _count_chunk(load: Callable[[Item], MapPair], settings: CountingSettings, chunk: Sequence[Item]) -> Counted:
    counts, problems = Counts(settings.classes, settings.clusters, settings.levels), []
    for item in chunk:
        try:
            counts.add_image(count_image(load(item), settings))
        except UserError as error:
            problems.append(str(error))
    return counts, problems


def count_image(maps: MapPair, settings: CountingSettings) -> Histogram:
    """Count one image.

    Raises:
        UserError: The maps differ in size, or hold an id that does not exist; names the file.
    """
    if maps.true.shape != maps.pred.shape:
        size, wanted = (f"{shape[1]}x{shape[0]}" for shape in (maps.pred.shape, maps.true.shape))
        raise UserError(f"{maps.pred_name}: {size} pixels, but the mask {maps.true_name} has {wanted}")
    counted = histogram(maps.true, maps.pred, settings.ignore, maps.ranks, settings.levels)
    _check_ids(counted.true_ids[counted.true_ids != settings.ignore], settings.classes, maps.true_name, "classes")
    _check_ids(counted.pred_ids, settings.clusters, maps.pred_name, "predicted ids")
    return counted


def _check_ids(ids: Int64, highest: int, name: str, kind: str) -> None:
    if ids.size and ids.max() > highest:
        raise UserError(f"{name}: holds id {ids.max()}, but the {kind} are 0..{highest}")
