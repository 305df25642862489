"""Pairs predictions with masks of the same id, by the rule that `index` has for files and ids."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from stages.core.data import IMAGE_SUFFIXES
from stages.core.errors import UserError
from stages.core.files import find_name_problem, image_id_of, list_files, readable_name, suffix_of
from stages.core.metrics.counting import list_problems

_MASK, _SCORES = (".png",), (".npy",)


class Triple(NamedTuple):
    """Files of one image."""

    mask: Path
    prediction: Path
    scores: Path | None


class Pairing(NamedTuple):
    """Paired files of two folders, and those that could not be paired."""

    triples: list[Triple]
    problems: list[str]
    """A line for each name that cannot be scored."""
    left_out: list[str]
    """Files that are neither masks nor predictions."""


class _Listing(NamedTuple):
    """The files of a folder by their ids."""

    masks: dict[str, Path]
    scores: dict[str, Path]
    problems: list[str]
    left_out: list[str]


def pair_files(ground_truth: Path, predictions: Path, wants_scores: bool) -> Pairing:
    """Pair masks and predictions of one id; a.jpg.png, as `luss predict` names it, is a prediction of a.png too.

    Args:
        ground_truth: Folder of masks.
        predictions: Folder of predictions.
        wants_scores: Whether a .npy must lie beside each prediction.

    Raises:
        UserError: A folder is missing or empty, or nothing in them belongs together.
    """
    true, given = _list(ground_truth, ()), _list(predictions, _SCORES)
    if wants_scores and not given.scores:
        raise UserError(f"{predictions}: thresholds need scores, but there is no .npy beside the predictions")
    belongs, problems = _match_ids(true.masks, given.masks)
    problems = [*true.problems, *given.problems, *problems]
    taken = {belongs[name] for name in belongs}
    missing = [name for name in true.masks if name not in belongs]
    problems += [f"{true.masks[name]}: no prediction {predictions / name}.png" for name in missing]
    alone = [name for name in given.masks if name not in taken]
    problems += [f"{given.masks[name]}: no mask {ground_truth / name}.png" for name in alone]
    if wants_scores:
        without = {name: found for name, found in belongs.items() if found not in given.scores}
        problems += [f"{given.masks[found]}: no scores {found}.npy beside it" for found in without.values()]
        belongs = {name: found for name, found in belongs.items() if name not in without}
    if not belongs:
        below = predictions / "masks"
        hint = f"; {below} is a folder, did you mean --predictions {below}?" if below.is_dir() else ""
        raise UserError(list_problems(problems, f"no prediction has the name of a mask{hint}"))
    triples = [Triple(true.masks[name], given.masks[found], given.scores.get(found)) for name, found in belongs.items()]
    return Pairing(triples, problems, [*true.left_out, *given.left_out])


def _list(folder: Path, further: tuple[str, ...]) -> _Listing:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    found = _Listing({}, {}, [], [])
    for path in list_files(folder):
        kind = found.masks if suffix_of(path) in _MASK else found.scores if suffix_of(path) in further else None
        if kind is None:
            found.left_out.append(readable_name(str(folder / path)))
        elif problem := find_name_problem(path, _MASK + further):
            found.problems.append(f"{readable_name(str(folder / path))}: {problem}")
        elif (name := image_id_of(path)) in kind:
            found.problems.append(f"{folder / path}: same name but for the suffix as {kind[name]}")
        else:
            kind[name] = folder / path
    if not found.masks and not found.problems:
        raise UserError(f"{folder}: holds no PNG")
    return found


def _match_ids(masks: Iterable[str], predictions: Mapping[str, Path]) -> tuple[dict[str, str], list[str]]:
    """The prediction's id by the mask's, and a line for each mask that several belong to."""
    names = set(masks)
    candidates = defaultdict(list)
    for name in predictions:
        if name not in names and suffix_of(name) in IMAGE_SUFFIXES:
            candidates[image_id_of(name)].append(name)
    belongs, problems = {}, []
    for name in masks:
        found = [name] if name in predictions else candidates[name]
        if len(found) == 1:
            belongs[name] = found[0]
        elif found:
            both = " and ".join(str(predictions[one]) for one in found)
            problems.append(f"{name}.png: {both} are predictions of it; take out those of other photographs")
    return belongs, problems
