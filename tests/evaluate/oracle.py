"""The ImageNet-S evaluation written down point by point: one class and one threshold at a time, slow and plain."""

import numpy as np

IGNORE = 1000


def apply_match(pred, match):
    mapped = np.full(pred.shape, -1, np.int64)
    for pred_id, true_id in match.items():
        mapped[pred == pred_id] = true_id
    return mapped


def threshold_map(pred, score, threshold):
    return pred if score is None else np.where(score < threshold, 0, pred)


def erode_once(mask):
    padded = np.pad(mask, 1)
    height, width = mask.shape
    out = np.ones_like(mask)
    for dy in range(3):
        for dx in range(3):
            out &= padded[dy : dy + height, dx : dx + width]
    return out


def boundary_map(ids):
    """v + 1 on the boundary of id v, 0 elsewhere."""
    height, width = ids.shape
    times = max(1, round(0.03 * np.sqrt(height**2 + width**2)))
    out = np.zeros(ids.shape, np.int64)
    for value in np.unique(ids):
        mask = ids == value
        inner = mask
        for _ in range(times):
            inner = erode_once(inner)
        out[mask & ~inner] = value + 1
    return out


def areas(true, pred, classes):
    """(classes + 1, 3) intersection, predicted and true pixels; ids above the classes drop out of the areas."""
    rows = []
    for value in range(classes + 1):
        rows.append([np.sum((true == value) & (pred == value)), np.sum(pred == value), np.sum(true == value)])
    return np.array(rows, np.int64)


def size_groups(true):
    """Class ids of each of the four size groups of one image without ignored pixels."""
    groups = [[], [], [], []]
    for value in np.unique(true):
        if value != 0:
            share = np.ceil(np.float32(100) * np.float32(np.sum(true == value)) / np.float32(true.size))
            groups[0 if share <= 5 else 1 if share <= 25 else 2 if share <= 50 else 3].append(value)
    return groups


def f_measure(true, pred):
    shared, found, there = np.sum((true > 0) & (pred > 0)), np.sum(pred > 0), np.sum(true > 0)
    if shared == 0:
        return 0.0
    precision, recall = shared / found, shared / there
    return 1.3 * precision * recall / (0.3 * precision + recall)


def count_set(images, match, classes, threshold=0.0):
    """All counts of a set of (true, pred, score); the last of the five groups is everything."""
    counts, edges = np.zeros((5, classes + 1, 3), np.int64), np.zeros((5, classes + 1, 3), np.int64)
    f, correct = 0.0, 0
    for true, pred, score in images:
        mapped = apply_match(threshold_map(pred, score, threshold), match)
        true_edge, pred_edge = boundary_map(true), boundary_map(mapped)
        keep = true != IGNORE
        true, mapped, true_edge, pred_edge = true[keep], mapped[keep], true_edge[keep], pred_edge[keep]
        for slot, members in enumerate([*size_groups(true), None]):
            if members == []:
                continue
            chosen = np.ones(true.shape, bool) if members is None else np.isin(true, [0, *members])
            counts[slot] += areas(true[chosen], mapped[chosen], classes)
            edges[slot] += areas(true_edge[chosen] - 1, pred_edge[chosen] - 1, classes)
        f += f_measure(true, mapped)
        found = [np.sum(mapped == value) for value in range(1, classes + 1)]
        if found and max(found) > 0:
            correct += int(np.any(true == int(np.argmax(found)) + 1))
    return counts, edges, f / len(images), correct / len(images)


def cooccurrence(images, clusters, classes, threshold=0.0):
    matrix = np.zeros((clusters, classes), np.int64)
    for true, pred, score in images:
        keep = true != IGNORE
        pred_ids = set(np.unique(threshold_map(pred, score, threshold)[keep]).tolist()) - {0}
        for pred_id in pred_ids:
            for true_id in set(np.unique(true[keep]).tolist()) - {0}:
                matrix[pred_id - 1, true_id - 1] += 1
    return matrix


def mean_iou(counts, group=4, skip_absent=False):
    values = []
    for shared, pred, true in counts[group]:
        if true > 0 or not skip_absent:
            values.append(shared / (pred + true - shared + 1e-10))
    return 100 * float(np.mean(values)) if values else None
