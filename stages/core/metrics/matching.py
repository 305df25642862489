"""Matching of cluster ids with classes (Hungarian, greedy, by IoU, by images), and files of matches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.core.errors import UserError
from stages.core.files import read_text

Int64 = npt.NDArray[np.int64]
Match = npt.NDArray[np.int64]
"""(clusters + 1,) class of every predicted id, -1 for none; the first entry belongs to the background."""

UNMATCHED = -1


def assign(gain: npt.NDArray[np.floating] | Int64) -> Int64:
    """Find the one-to-one assignment of rows to columns with the largest sum.

    Optimal assignments are not unique. Among equal sums this takes the one that SciPy's solver ends in, which depends
    on the matrix alone; rows without any gain receive left-over columns in that order too. Another solver may pair
    such rows otherwise and then score otherwise: compare programs with a given match.

    Args:
        gain: (R, C) matrix.

    Returns:
        (R,) column of each row, -1 where R > C leaves a row without one.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(gain, maximize=True)
    assigned = np.full(gain.shape[0], UNMATCHED, np.int64)
    assigned[rows] = columns
    return assigned


def contingency_matrix(clusters: Int64, classes: Int64, shape: tuple[int, int]) -> Int64:
    """Count how often a cluster and a class meet.

    Args:
        clusters: (N,) cluster of each observation, from 0.
        classes: (N,) class of each observation, from 0.
        shape: Numbers of clusters and of classes.

    Returns:
        (clusters, classes) counts.
    """
    return np.bincount(clusters * shape[1] + classes, minlength=shape[0] * shape[1]).reshape(shape)


def match_images(cooccurrence: Int64) -> Match:
    """Match clusters to classes by the images that hold both; background stays background.

    Args:
        cooccurrence: (clusters, classes) numbers of images.

    Source: the ImageNet-S benchmark; pixel counts play no role in it.
    """
    found = assign(cooccurrence)
    return np.concatenate([[0], np.where(found == UNMATCHED, UNMATCHED, found + 1)])


def match_pixels(confusion: Int64) -> Match:
    """Match all ids, background included, one to one by shared pixels; clusters left over belong to nothing.

    Args:
        confusion: (clusters + 1, classes + 1) pixels.

    Source: TransFGU's and PiCIE's evaluation; ViCE's "optimal" assignment.
    """
    return assign(confusion)


def match_iou(confusion: Int64) -> Match:
    """Match all ids, background included, by intersection over union.

    One to one as long as there are no more predicted than true ids; with more, each takes the class of largest IoU.

    Args:
        confusion: (clusters + 1, classes + 1) pixels.

    Source: MaskContrast's evaluation and its over-clustering.
    """
    union = confusion.sum(1, keepdims=True) + confusion.sum(0, keepdims=True) - confusion
    iou = confusion / np.maximum(union, 1)
    return assign(iou) if len(iou) <= iou.shape[1] else iou.argmax(1)


def match_greedily(confusion: Int64) -> Match:
    """Give every predicted id, background included, the true id that it shares most pixels with; the lowest on ties.

    Args:
        confusion: (clusters + 1, classes + 1) pixels.

    Source: ViCE's majority assignment.
    """
    return np.where(confusion.sum(1) > 0, confusion.argmax(1), UNMATCHED)


def without_background(match: Callable[[Int64], Match], confusion: Int64) -> Match:
    """A match of clusters and classes alone: neither the truth nor the prediction knows a background.

    Args:
        match: What matches the rest, (clusters, classes) pixels.
        confusion: (clusters + 1, classes + 1) pixels.
    """
    found = match(confusion[1:, 1:])
    return np.concatenate([[UNMATCHED], np.where(found == UNMATCHED, UNMATCHED, found + 1)])


def match_identity(clusters: int, classes: int) -> Match:
    """Predicted ids are class ids already; ids above the classes belong to nothing."""
    ids = np.arange(clusters + 1)
    return np.where(ids <= classes, ids, UNMATCHED)


def write_match(match: Match) -> dict[str, int]:
    """The pairs of a match as they stand in a JSON file: predicted id to true id, clusters without a class left out."""
    return {str(pred): int(true) for pred, true in enumerate(match) if true != UNMATCHED}


def read_match(path: Path, clusters: int, classes: int) -> Match:
    """Read a match file: a JSON object of predicted id to true id, or one that holds such an object under `match`.

    Ids that the file does not name belong to nothing; background stays background if it is not named.

    Raises:
        UserError: Not such a file, or ids out of range.
    """
    try:
        content = json.loads(read_text(path))
        pairs = content.get("match", content)
        items = [(int(pred), int(true)) for pred, true in pairs.items()]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, AttributeError, TypeError, OSError) as error:
        raise UserError(f"{path}: a match file is a JSON object of predicted id to true id ({error})") from None
    match = np.full(clusters + 1, UNMATCHED, np.int64)
    match[0] = 0
    for pred, true in items:
        if pred == true == 1000:  # The benchmark's own files carry the ignored id along.
            continue
        if not (0 <= pred <= clusters and 0 <= true <= classes):
            raise UserError(
                f"{path}: pair {pred}: {true} is out of range (predicted ids 0..{clusters}, true ids 0..{classes})"
            )
        match[pred] = true
    return match
