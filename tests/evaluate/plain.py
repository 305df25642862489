"""The evaluation as the published evaluators work, one id of one image at a time: what the benchmark is run beside."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from stages.evaluate.tools.pairing import Triple

IGNORE = 1000


def count_plainly(files: Sequence[Triple], classes: int) -> np.ndarray:
    """(2, 5, classes + 1, 3) intersection, predicted and true pixels: maps and boundaries, size groups and all."""
    totals = np.zeros((2, 5, classes + 1, 3), np.int64)
    match = {value: value for value in range(classes + 1)}
    for triple in files:
        true, raw = read_plainly(triple.mask), read_plainly(triple.prediction)
        pred = np.zeros_like(raw)
        for value in np.unique(raw):
            pred[raw == value] = match[int(value)]
        true_edge, pred_edge = boundary_plainly(true), boundary_plainly(pred)
        keep = true != IGNORE
        maps = [part[keep] for part in (true, pred, true_edge, pred_edge)]
        for slot, members in enumerate([*groups_plainly(maps[0]), None]):
            if members == []:
                continue
            chosen = select_plainly(maps, members)
            totals[0, slot] += areas_plainly(chosen[0], chosen[1], classes + 1)
            totals[1, slot] += areas_plainly(chosen[2], chosen[3], classes + 2)[1:]
    return totals


def read_plainly(path: Path) -> np.ndarray:
    rgb = np.array(Image.open(path)).astype(np.int64)
    return rgb[:, :, 1] * 256 + rgb[:, :, 0]


def boundary_plainly(ids: np.ndarray) -> np.ndarray:
    times = max(1, round(0.03 * np.sqrt(ids.shape[0] ** 2 + ids.shape[1] ** 2)))
    edges = np.zeros_like(ids)
    for value in np.unique(ids):
        mask = (ids == value).astype(np.uint8)
        padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=times)[1:-1, 1:-1]
        edges[(mask - inner) > 0] = value + 1
    return edges


def groups_plainly(true: np.ndarray) -> list[list[int]]:
    groups: list[list[int]] = [[], [], [], []]
    for value in np.unique(true):
        if value:
            share = np.ceil(np.float32(100) * np.float32((true == value).sum()) / np.float32(true.size))
            groups[int(np.searchsorted([5, 25, 50], share))].append(int(value))
    return groups


def select_plainly(maps: Sequence[np.ndarray], members: list[int] | None) -> list[np.ndarray]:
    if members is None:
        return list(maps)
    true = maps[0]
    return [np.concatenate([part[true == value] for value in [0, *members]]) for part in maps]


def areas_plainly(true: np.ndarray, pred: np.ndarray, ids: int) -> np.ndarray:
    counts = [np.histogram(part, ids, (0, ids - 1))[0] for part in (pred[pred == true], pred, true)]
    return np.stack(counts, 1)
