"""Charts as inline SVG: a few shapes, sized for a phone, colored by the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 360, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 10, 12, 30


class Line(NamedTuple):
    """One line of a chart."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def line_chart(
    lines: Sequence[Line], x_label: str, mark: tuple[float, str] | None = None, low: float | None = None
) -> Markup:
    """Lines over a common x axis; `mark` draws an upright line with a name at one x, `low` belongs on the y axis."""
    points = [(x, y) for line in lines for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
    if not points:
        return Markup("")
    marked = [mark[0]] if mark else []
    low_x, high_x = _span([x for x, _ in points] + marked)
    low_y, high_y = _nice_span([y for _, y in points] + ([] if low is None else [low]))
    place = _Place(low_x, high_x, low_y, high_y)
    parts = [_axes(place, x_label), *(_path(place, line, number) for number, line in enumerate(lines))]
    if mark:
        x = place.x(mark[0])
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
        anchor = "end" if x > _WIDTH / 2 else "start"
        parts.append(
            f'<text class="marked" x="{x + (-5 if anchor == "end" else 5):.1f}" y="{_TOP + 10}" '
            f'text-anchor="{anchor}">{escape(mark[1])}</text>'
        )
    return _svg(parts, ", ".join(line.name for line in lines) + f" by {x_label}")


def grouped_bars(groups: Sequence[str], bars: Sequence[Line], y_label: str) -> Markup:
    """Bars side by side: each `Line` is one series with a value per group (x is not used)."""
    values = [value for bar in bars for value in bar.y if math.isfinite(value)]
    if not values:
        return Markup("")
    place = _Place(0, len(groups), 0, _nice_span([0, *values])[1])
    parts = [_grid(place)]
    for number, bar in enumerate(bars):
        parts += [
            _bar(place, group, value, number, len(bars)) for group, value in enumerate(bar.y) if math.isfinite(value)
        ]
    parts += [
        f'<text x="{place.x(group + 0.5):.1f}" y="{_HEIGHT - 12}" text-anchor="middle">{escape(name)}</text>'
        for group, name in enumerate(groups)
    ]
    return _svg(parts, y_label)


class _Place(NamedTuple):
    """From values to positions in the drawing."""

    low_x: float
    high_x: float
    low_y: float
    high_y: float

    def x(self, value: float) -> float:
        return _LEFT + (value - self.low_x) / (self.high_x - self.low_x) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - self.low_y) / (self.high_y - self.low_y) * (_HEIGHT - _TOP - _BOTTOM)


def _svg(parts: Sequence[str], title: str) -> Markup:
    return Markup(
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _path(place: _Place, line: Line, number: int) -> str:
    points = [(place.x(x), place.y(y)) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
    if len(points) == 1:
        return f'<circle class="s{number}" cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="3"/>'
    return f'<polyline class="s{number}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def _bar(place: _Place, group: int, value: float, number: int, count: int) -> str:
    left, width = place.x(group + 0.12 + 0.76 * number / count), place.x(0.76 / count) - place.x(0) - 1.5
    top, bottom = place.y(value), place.y(0)
    label = f'<text class="value" x="{left + width / 2:.1f}" y="{top - 3:.1f}" text-anchor="middle">{value:.1f}</text>'
    size = f'width="{width:.1f}" height="{max(bottom - top, 0.5):.1f}"'
    return f'<rect class="s{number}" x="{left:.1f}" y="{top:.1f}" {size} rx="1.5"/>{label}'


def _axes(place: _Place, x_label: str) -> str:
    ticks = "".join(
        f'<text x="{place.x(value):.1f}" y="{_HEIGHT - 16}" text-anchor="middle">{_number(value)}</text>'
        for value in _ticks(place.low_x, place.high_x)
    )
    return (
        _grid(place)
        + ticks
        + f'<text class="axis" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 3}" text-anchor="end">{escape(x_label)}</text>'
    )


def _grid(place: _Place) -> str:
    return "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{place.y(value):.1f}" y2="{place.y(value):.1f}"/>'
        f'<text x="{_LEFT - 5}" y="{place.y(value) + 3.5:.1f}" text-anchor="end">{_number(value)}</text>'
        for value in _ticks(place.low_y, place.high_y)
    )


def _ticks(low: float, high: float) -> list[float]:
    step = _nice_step((high - low) / 4)
    first = math.ceil(low / step - 1e-9)
    return [step * number for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _nice_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _nice_span(values: Sequence[float]) -> tuple[float, float]:
    low, high = _span(values)
    step = _nice_step((high - low) / 4)
    return step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)


def _number(value: float) -> str:
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{round(value, 6):g}"
