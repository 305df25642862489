"""Retrieval: each object takes the class of the nearest object of the train split.

Source: MaskContrast, section 4.4, and its code: an object of the train split is of the class that most of its pixels
are of; with few classes, only objects of these are looked among, and only their pixels are scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.errors import UserError
from stages.evaluate import Config, ObjectProtocolConfig
from stages.evaluate.evaluators.objects import Float32, ObjectCounts, find_nearest, majority_class, score_retrieval
from stages.evaluate.inputs import Inputs


class Retrieval(NamedTuple):
    """Retrieval scores of one split, and nearest objects for the report."""

    miou: float | None
    """In percent; None where the class of an object of the train split is not known."""
    miou_among: float | None
    """Among the classes of `retrieval_classes`; None where none are named, too."""
    grid: list[tuple[str, list[str]]]
    """Ids of photographs with objects, and of those with the nearest ones of the train split."""


class SplitObjects(NamedTuple):
    """Ids and pixel counts of a split's objects."""

    ids: list[str]
    """Photographs, of which some may have no vector."""
    counts: ObjectCounts
    level: int
    """Score in hundredths from which on a predicted pixel is the object's."""


def retrieve(config: Config, inputs: Inputs, vectors: dict[str, Float32], queries: SplitObjects) -> Retrieval:
    """Look up every object of a split among those of the train split; photographs of the split itself are not there.

    Raises:
        UserError: `retrieval_classes` names what is no class.
    """
    rules = config.objects or ObjectProtocolConfig()
    train = inputs.images.in_splits("train").image_ids if inputs.images.has("train") else []
    bank = [image_id for image_id in train if image_id in vectors and image_id not in set(queries.ids)]
    known = [image_id for image_id in queries.ids if image_id in vectors]
    if not bank or not known:
        return Retrieval(None, None, [])
    every = tuple(number for number in inputs.labels.classes if number not in (0, config.ignore_id))
    if unknown := sorted(set(rules.retrieval_classes) - set(every)):
        raise UserError(f"evaluate.objects.retrieval_classes: {unknown} are no classes of this data set")

    def score(among: tuple[int, ...], only: tuple[int, ...]) -> float | None:
        classes = [_class_of(inputs, image_id, queries.level, among) for image_id in bank]
        return _score(vectors, queries, dict(zip(bank, classes, strict=True)), only)

    few = rules.retrieval_classes
    drawn = np.sort(np.random.default_rng(0).permutation(len(known))[: rules.pictured])
    shown = [known[row] for row in drawn]
    grid = []
    if shown:
        rows = _nearest(vectors, shown, bank, rules.neighbors)
        grid = [(image_id, [bank[each] for each in row]) for image_id, row in zip(shown, rows, strict=True)]
    return Retrieval(score(every, ()), score(few, few) if few else None, grid)


def _score(
    vectors: dict[str, Float32], queries: SplitObjects, bank: dict[str, int | None], only: tuple[int, ...]
) -> float | None:
    """MIoU in percent among the objects of the bank that are of any class; None if that is not known of one."""
    labelled = [(image_id, number) for image_id, number in bank.items() if number]
    if None in bank.values() or not labelled:
        return None
    found = [row for row, image_id in enumerate(queries.ids) if image_id in vectors]
    rows = _nearest(vectors, [queries.ids[row] for row in found], [image_id for image_id, _ in labelled], 1)
    nearest = np.zeros(len(queries.ids), np.int64)
    nearest[found] = [labelled[row][1] for row in rows[:, 0]]
    return score_retrieval(nearest, queries.counts, only)


def _nearest(vectors: dict[str, Float32], queries: list[str], bank: list[str], count: int) -> npt.NDArray[np.int64]:
    asked, known = (np.stack([vectors[each] for each in names]) for names in (queries, bank))
    return find_nearest(asked, known, count)


def _class_of(inputs: Inputs, image_id: str, level: int, among: Sequence[int]) -> int | None:
    """The class of most of an object's pixels, 0 for none; without a mask that of its folder, None if it has none.

    The object is what was predicted, or where the photograph was not segmented everything that the mask shows.
    """
    if inputs.labels.mask_path(image_id) is None:
        number_of = {name: number for number, name in inputs.labels.classes.items()}
        number = number_of.get(inputs.labels.class_name(image_id) or "")
        return number if number in among or number is None else 0
    true = inputs.labels.read_mask(image_id)
    return majority_class(true, object_mask(inputs, image_id, level, true.shape), among)


def object_mask(inputs: Inputs, image_id: str, level: int, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """(H, W) where a photograph was predicted to show an object; everywhere if it was not segmented."""
    if image_id not in inputs.predictions:
        return np.ones(shape, bool)
    predicted = inputs.predictions[image_id]
    mask: npt.NDArray[np.bool_] = np.asarray(predicted.map) > 0
    return mask if predicted.score is None else mask & (predicted.score >= level)
