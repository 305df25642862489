"""A picture of how the clusters of a smaller number split into those of a larger one: columns of bars, and bands."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from markupsafe import Markup, escape

from stages.core.metrics.kernels import Int64

_WIDTH, _BAR, _GAP, _TOP = 900, 14, 3, 22
_LEAST = 0.05
"""Share of both clusters below which a band is left out."""
_MOST_BARS = 100
"""A number with more clusters is not drawn."""


class Level(NamedTuple):
    """The clusters of one number."""

    k: int
    cluster_ids: Int64
    """(N,) of the same N members at every level."""
    colors: Sequence[str]
    """(k,) of each cluster's bar."""
    names: Sequence[str]
    """(k,) shown where the pointer rests."""


class _Bars(NamedTuple):
    x: float
    tops: Sequence[float]
    heights: Sequence[float]


def draw_tree(levels: Sequence[Level]) -> Markup:
    """Draw the levels, which ascend by their number, from left to right; nothing of a single one."""
    shown = [level for level in levels if level.k <= _MOST_BARS]
    if len(shown) < 2:
        return Markup("")
    height = max(300, 15 * max(level.k for level in shown))
    step = (_WIDTH - _BAR - 60) / (len(shown) - 1)
    sizes = [np.bincount(level.cluster_ids, minlength=level.k) for level in shown]
    bars = [_stack(30, sizes[0], np.arange(shown[0].k), height)]
    parts = []
    for number, (before, level) in enumerate(pairwise(shown), 1):
        shared = overlap(before, level)
        bars.append(_stack(30 + number * step, sizes[number], _follow(bars[-1].tops, shared), height))
        parts.append(_bands(shared, bars[-2], bars[-1], before.colors))
    parts += map(_draw_bars, shown, bars, sizes)
    return Markup(
        f'<svg class="tree" viewBox="0 0 {_WIDTH} {height + _TOP + 8}" role="img" '
        f'aria-label="which clusters split into which">{"".join(parts)}</svg>'
    )


def overlap(first: Level, second: Level) -> Int64:
    """(k of the first, k of the second) members that are in both."""
    return np.bincount(first.cluster_ids * second.k + second.cluster_ids, minlength=first.k * second.k).reshape(
        first.k, second.k
    )


def _follow(tops: Sequence[float], shared: Int64) -> Int64:
    """The order in which bands cross least: by the mean place of the clusters that members come from."""
    places = (shared * np.asarray(tops)[:, None]).sum(0) / np.maximum(shared.sum(0), 1)
    return np.argsort(places, kind="stable")


def _stack(x: float, sizes: Int64, order: Int64, height: float) -> _Bars:
    room = height - _GAP * (len(sizes) - 1)
    heights = sizes / max(sizes.sum(), 1) * room
    starts = np.concatenate([[0], np.cumsum(heights[order] + _GAP)[:-1]])
    tops = np.empty(len(sizes))
    tops[order] = _TOP + starts
    return _Bars(x, tops.tolist(), heights.tolist())


def _draw_bars(level: Level, bars: _Bars, sizes: Int64) -> str:
    drawn = [f'<text x="{bars.x + _BAR / 2:.1f}" y="14" text-anchor="middle">k = {level.k}</text>']
    for cluster in range(level.k):
        title = f"<title>{escape(level.names[cluster])}: {sizes[cluster]} members</title>"
        drawn.append(
            f'<rect x="{bars.x:.1f}" y="{bars.tops[cluster]:.1f}" width="{_BAR}" '
            f'height="{max(bars.heights[cluster], 0.5):.1f}" fill="{level.colors[cluster]}">{title}</rect>'
        )
    return "".join(drawn)


def _bands(shared: Int64, left: _Bars, right: _Bars, colors: Sequence[str]) -> str:
    """One band for each pair of clusters that share members, as thick as these are many on either side."""
    drawn, outs, ins = [], list(left.tops), list(right.tops)
    sizes, others = np.maximum(shared.sum(1), 1), np.maximum(shared.sum(0), 1)
    for row in np.argsort(left.tops, kind="stable"):
        for column in np.argsort(right.tops, kind="stable"):
            count = int(shared[row, column])
            thick, thin = left.heights[row] * count / sizes[row], right.heights[column] * count / others[column]
            if count and max(count / sizes[row], count / others[column]) >= _LEAST:
                drawn.append(_band((left.x + _BAR, outs[row], thick), (right.x, ins[column], thin), colors[row]))
            outs[row], ins[column] = outs[row] + thick, ins[column] + thin
    return "".join(drawn)


def _band(start: tuple[float, float, float], end: tuple[float, float, float], color: str) -> str:
    (x, y, thick), (to_x, to_y, thin) = start, end
    middle = (x + to_x) / 2
    return (
        f'<path fill="{color}" fill-opacity="0.35" d="M{x:.1f} {y:.1f}C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} '
        f"{to_x:.1f} {to_y:.1f}V{to_y + thin:.1f}C{middle:.1f} {to_y + thin:.1f} {middle:.1f} {y + thick:.1f} "
        f'{x:.1f} {y + thick:.1f}Z"/>'
    )
