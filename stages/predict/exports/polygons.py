"""Outlines of components along the edges of their pixels, so that a polygon holds exactly the component's pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Point = tuple[int, int]
_RIGHT, _DOWN, _LEFT, _UP = (1, 0), (0, 1), (-1, 0), (0, -1)


def outline(component: npt.NDArray[np.bool_], corner: Point = (0, 0)) -> list[int]:
    """Trace one component whose pixels hang together by their sides.

    Holes are joined to the outline by a line there and back, which encloses nothing, so that one polygon says it all:
    COCO's polygons know no holes.

    Args:
        component: (h, w)
        corner: Where its upper left corner lies, x and y.

    Returns:
        x, y, x, y ... of the corners, in pixels.
    """
    if component.all():  # As most specks are.
        (left, top), (height, width) = corner, component.shape
        return [left, top, left + width, top, left + width, top + height, left, top + height]
    loops = _trace(component)
    outer = max(loops, key=_area)
    points = [*outer]
    for hole in loops:
        if hole is not outer:
            points += [outer[0], *hole, hole[0]]
    return [place + shift for point in points for place, shift in zip(point, corner, strict=True)]


def _trace(component: npt.NDArray[np.bool_]) -> list[list[Point]]:
    """Closed loops of corners; the pixels of the component lie to the right of each."""
    ways = _edges(component)
    loops = []
    while ways:
        start = next(iter(ways))
        heading = next(iter(ways[start]))
        first, point, loop = (start, heading), start, list[Point]()
        came: Point | None = None
        while True:
            if heading != came:
                loop.append(point)
            ways[point].discard(heading)
            if not ways[point]:
                del ways[point]
            point, came = (point[0] + heading[0], point[1] + heading[1]), heading
            if point == first[0] and (point not in ways or not _turns(came) & ways[point]):
                break
            heading = _next(came, ways[point])
        loops.append(loop[1:] if came == first[1] else loop)
    return loops


def _edges(component: npt.NDArray[np.bool_]) -> dict[Point, set[Point]]:
    """The sides of pixels at the border, as corner and heading, with the component to the right."""
    padded = np.pad(component, 1).astype(np.int8)
    ways: dict[Point, set[Point]] = {}
    across, down = np.diff(padded, axis=0)[:, 1:-1], np.diff(padded, axis=1)[1:-1]
    for (y, x), value in zip(np.argwhere(across).tolist(), across[across != 0].tolist(), strict=True):
        corner, heading = ((x, y), _RIGHT) if value > 0 else ((x + 1, y), _LEFT)
        ways.setdefault(corner, set()).add(heading)
    for (y, x), value in zip(np.argwhere(down).tolist(), down[down != 0].tolist(), strict=True):
        corner, heading = ((x, y + 1), _UP) if value > 0 else ((x, y), _DOWN)
        ways.setdefault(corner, set()).add(heading)
    return ways


def _turns(came: Point) -> set[Point]:
    return {(-came[1], came[0]), came, (came[1], -came[0])}


def _next(came: Point, ways: set[Point]) -> Point:
    """Turn right where two ways part: pixels that touch at a corner alone are kept apart."""
    right = (-came[1], came[0])
    return next(way for way in (right, came, (came[1], -came[0])) if way in ways)


def _area(loop: list[Point]) -> int:
    """Twice the enclosed area; negative for a hole."""
    ends = zip(loop, [*loop[1:], loop[0]], strict=True)
    return sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in ends)
