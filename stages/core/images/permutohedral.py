"""Gaussian filtering over points of several dimensions, on the permutohedral lattice.

Values are spread onto the corners of the simplices that points lie in, blurred along the lattice's directions, and read
back at the points; the work grows with the dimensions and not with 2 to their power, as on a grid of cubes.

Source: Adams, Baek and Davis, Fast High-Dimensional Filtering Using the Permutohedral Lattice, Eurographics 2010.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from stages.core.jit import kernel

Float32 = npt.NDArray[np.float32]


class Lattice:
    """The lattice of some points, for a Gaussian of standard deviation 1.

    Args:
        points: (N, d) in units of the Gaussian's deviation.
    """

    def __init__(self, points: Float32) -> None:
        size = points.shape[1]
        order = np.arange(1, size + 1)
        # Section 3.1: with it, spreading, blurring and reading together have the variance of the Gaussian asked for.
        scale = (size + 1) * np.sqrt(2 / 3) / np.sqrt(order * (order + 1))
        corners, self._shares = _embed(points, scale.astype(np.float32))
        table = np.full(1 << int(np.ceil(np.log2(2 * corners.shape[0] * corners.shape[1]))), -1, np.int32)
        keys, self._corners = _number_corners(corners, table)
        self._neighbors = _find_neighbors(keys, table)
        self._gain = np.float32(1 / (1 + 2.0**-size))

    def filter(self, values: Float32) -> Float32:
        """Sums (N, L) of the values (N, L) of all points, each weighed by the Gaussian of its distance."""
        return self._gain * np.asarray(_filter(values, self._corners, self._shares, self._neighbors), np.float32)


@kernel
def _embed(points: Any, scale: Any) -> Any:
    """Corners (N, d + 1, d) of every point's simplex and the point's barycentric coordinates (N, d + 1) in it.

    Of a corner's d + 1 coordinates, which sum to 0, all but the last are kept.
    """
    count, size = points.shape
    corners = np.empty((count, size + 1, size), np.int32)
    shares = np.empty((count, size + 1), np.float32)
    raised, nearest, rank = np.empty(size + 1), np.empty(size + 1, np.int64), np.empty(size + 1, np.int64)
    bary = np.empty(size + 2)
    for n in range(count):
        total = 0.0
        for j in range(size, 0, -1):  # onto the plane of coordinates that sum to 0
            scaled = points[n, j - 1] * scale[j - 1]
            raised[j] = total - j * scaled
            total += scaled
        raised[0] = total
        excess = 0
        for j in range(size + 1):  # the nearest lattice point whose coordinates are multiples of d + 1
            steps = int(np.floor(raised[j] / (size + 1) + 0.5))
            nearest[j], rank[j] = steps * (size + 1), 0
            excess += steps
        for i in range(size):
            for j in range(i + 1, size + 1):
                is_less = raised[i] - nearest[i] < raised[j] - nearest[j]
                rank[i if is_less else j] += 1
        for j in range(size + 1):  # rounding left the plane: the coordinates that rounding moved most go back
            rank[j] += excess
            if rank[j] < 0:
                rank[j] += size + 1
                nearest[j] += size + 1
            elif rank[j] > size:
                rank[j] -= size + 1
                nearest[j] -= size + 1
        bary[:] = 0
        for j in range(size + 1):
            part = (raised[j] - nearest[j]) / (size + 1)
            bary[size - rank[j]] += part
            bary[size - rank[j] + 1] -= part
        bary[0] += 1 + bary[size + 1]
        for k in range(size + 1):
            shares[n, k] = bary[k]
            for j in range(size):
                corners[n, k, j] = nearest[j] + k - (size + 1 if rank[j] > size - k else 0)
    return corners, shares


@kernel
def _slot(key: Any, keys: Any, table: Any) -> Any:
    """Where a corner stands in the table, or the empty slot where it would."""
    code = np.uint64(0)
    for each in key:
        code = (code + np.uint64(np.int64(each) + (1 << 31))) * np.uint64(0x9E3779B97F4A7C15)
        code ^= code >> np.uint64(29)
    last = len(table) - 1  # the table's length is a power of two
    slot = np.int64(code & np.uint64(last))
    while table[slot] >= 0:
        found = table[slot]
        is_equal = True
        for j in range(len(key)):
            if keys[found, j] != key[j]:
                is_equal = False
                break
        if is_equal:
            return slot
        slot = (slot + 1) & last
    return slot


@kernel
def _number_corners(corners: Any, table: Any) -> Any:
    """The M corners in use (M, d), and the number (N, d + 1) of each point's corners; fills the table."""
    count, each, size = corners.shape
    keys, numbers = np.empty((count * each, size), np.int32), np.empty((count, each), np.int32)
    used = 0
    for n in range(count):
        for k in range(each):
            slot = _slot(corners[n, k], keys, table)
            if table[slot] < 0:
                table[slot] = used
                keys[used] = corners[n, k]
                used += 1
            numbers[n, k] = table[slot]
    return keys[:used].copy(), numbers


@kernel
def _find_neighbors(keys: Any, table: Any) -> Any:
    """(d + 1, M, 2) the corners before and after each along every direction; M where there is none."""
    used, size = keys.shape
    neighbors = np.empty((size + 1, used, 2), np.int32)
    key = np.empty(size, np.int32)
    for axis in range(size + 1):
        for m in range(used):
            for side in range(2):
                step = 1 - 2 * side
                for j in range(size):
                    key[j] = keys[m, j] + step
                if axis < size:
                    key[axis] = keys[m, axis] - step * size
                found = table[_slot(key, keys, table)]
                neighbors[axis, m, side] = found if found >= 0 else used
    return neighbors


@kernel
def _filter(values: Any, corners: Any, shares: Any, neighbors: Any) -> Any:
    count, channels = values.shape
    directions, used = neighbors.shape[0], neighbors.shape[1]
    held, blurred = np.zeros((used + 1, channels), np.float32), np.zeros((used + 1, channels), np.float32)
    for n in range(count):
        for k in range(directions):
            corner, share = corners[n, k], shares[n, k]
            for c in range(channels):
                held[corner, c] += share * values[n, c]
    half = np.float32(0.5)
    for axis in range(directions):
        for m in range(used):
            before, after = neighbors[axis, m, 0], neighbors[axis, m, 1]
            for c in range(channels):
                blurred[m, c] = held[m, c] + half * (held[before, c] + held[after, c])
        held, blurred = blurred, held
    found = np.zeros((count, channels), np.float32)
    for n in range(count):
        for k in range(directions):
            corner, share = corners[n, k], shares[n, k]
            for c in range(channels):
                found[n, c] += share * held[corner, c]
    return found
