"""Line charts as SVG inside the page: their text and colours are the page's, in light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from monai_cl.report.figures.curves import SMOOTH_FROM, running_mean

_WIDTH, _HEIGHT = 420, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 12, 12, 40
# of the style sheet; together thirty lines that differ
_COLOURS, _DASHES = 6, 5
# more points than pixels would only make the page larger
_MOST_POINTS = 80
# from this many on, points are not marked
_MARKED = 13

Lines = Mapping[str, Sequence[np.ndarray]]


def line_chart(
    lines: Lines,
    *,
    title: str,
    x_label: str,
    labels: Sequence[str] | None = None,
    y_label: str = "",
    logarithmic: bool = False,
    unit_square: bool = False,
) -> str:
    """A figure: title, legend, and the chart.

    Args:
        lines: name -> curves (n, 2) that share colour and name; nan breaks a curve, a point alone is a dot.
        title: above the chart.
        x_label: below it.
        labels: all lines of a group of charts, in the order of their colours, see `chart_legend`; None: those of this
            one, which has its own legend.
        y_label: unit, above the vertical axis; of a unit square, beside it.
        logarithmic: of the vertical axis.
        unit_square: both axes from 0 to 1, with the diagonal, as for ROC curves; else the axes fit the data.
    """
    smooth = not unit_square
    points = np.concatenate([curve for curves in lines.values() for curve in curves])
    points = points[np.isfinite(points).all(axis=1)]
    margin = 0.0 if unit_square else 0.03
    x_axis = _Axis(np.array([0.0, 1.0]) if unit_square else points[:, 0], _LEFT, _WIDTH - _RIGHT, margin=margin)
    height = _WIDTH - _LEFT - _RIGHT + _TOP + _BOTTOM if unit_square else _HEIGHT
    values = np.array([0.0, 1.0]) if unit_square else points[:, 1]
    y_axis = _Axis(values, height - _BOTTOM, _TOP, logarithmic=logarithmic, margin=margin)
    parts = []
    for tick in y_axis.ticks:
        y = _number(y_axis.place(tick))
        parts.append(f'<path class="grid" d="M{_LEFT} {y}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="end" x="{_LEFT - 6}" y="{y}" dy=".33em">{_tick(tick)}</text>')
    for tick in x_axis.ticks:
        parts.append(f'<text class="mid" x="{_number(x_axis.place(tick))}" y="{height - 22}">{_tick(tick)}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {height - _BOTTOM}H{_WIDTH - _RIGHT}"/>')
    if unit_square:
        parts.append(f'<path class="grid" d="M{_LEFT} {height - _BOTTOM}L{_WIDTH - _RIGHT} {_TOP}"/>')
    middle = (_LEFT + _WIDTH - _RIGHT) // 2
    parts.append(f'<text class="mid name" x="{middle}" y="{height - 5}">{escape(x_label)}</text>')
    order = list(lines) if labels is None else list(labels)
    for label, curves in lines.items():
        for curve in curves:
            parts.append(_curve(curve, x_axis, y_axis, number=order.index(label), smooth=smooth))
    unit = f' <span class="unit">{escape(y_label)}</span>' if y_label and smooth else ""
    if unit_square:
        place = f"translate(13 {(height - _BOTTOM) // 2})rotate(-90)"
        parts.append(f'<text class="mid name" transform="{place}">{escape(y_label)}</text>')
    alt = f"{title} against {x_label}" + (f": {', '.join(lines)}" if len(lines) > 1 else "")
    return (
        f'<figure class="chart"><figcaption>{escape(title)}{unit}</figcaption>\n'
        f"{'' if labels is not None else chart_legend(order)}"
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(alt)}">{"".join(parts)}</svg></figure>\n'
    )


class _Axis:
    """Values to pixels, linear or logarithmic, with ticks at round numbers.

    Args:
        values: finite values that must fit.
        start, stop: pixels of the lowest and the highest value.
        logarithmic: whether equal ratios are equal distances.
        margin: room at both ends, as a share of the length.
    """

    def __init__(
        self, values: np.ndarray, start: float, stop: float, *, logarithmic: bool = False, margin: float = 0.0
    ) -> None:
        from matplotlib.ticker import LogLocator, MaxNLocator

        self._scale = np.log10 if logarithmic else np.asarray
        low, high = float(values.min()), float(values.max())
        if low == high:
            low, high = (
                (low / 2, high * 2) if logarithmic else (low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5))
            )
        locator = LogLocator(numticks=6) if logarithmic else MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10])
        ticks = locator.tick_values(low, high)
        self.low, self.high = (float(self._scale(edge)) for edge in (low, high))
        margin *= self.high - self.low
        self.low, self.high = self.low - margin, self.high + margin
        self._start, self._stop = start, stop
        slack = 1e-9 * (self.high - self.low)
        self.ticks = [float(tick) for tick in ticks if self.low - slack <= self._scale(tick) <= self.high + slack]

    def place(self, values: float | np.ndarray) -> np.ndarray:
        """Pixels of values."""
        share = (self._scale(values) - self.low) / (self.high - self.low)
        return self._start + share * (self._stop - self._start)


def _style(number: int) -> str:
    return f"s{number % _COLOURS} d{number % _DASHES}"


def _curve(points: np.ndarray, x_axis: _Axis, y_axis: _Axis, *, number: int, smooth: bool) -> str:
    style = _style(number)
    finite = np.isfinite(points[:, 1])
    alone = finite & ~np.append(finite[1:], False) & ~np.append(False, finite[:-1])
    marked = finite if finite.sum() < _MARKED and smooth else alone
    dots = "".join(
        f'<circle class="s{number % _COLOURS}" cx="{_number(x)}" cy="{_number(y)}" r="3.2"/>'
        for x, y in zip(x_axis.place(points[marked, 0]), y_axis.place(points[marked, 1]))
    )
    if not smooth or len(points) < SMOOTH_FROM:
        return f'<path class="{style}" d="{_path(points, x_axis, y_axis)}"/>{dots}'
    mean = np.column_stack([points[:, 0], running_mean(points[:, 1], half=len(points) // 40)])
    return (
        f'<path class="{style} faint" d="{_path(points, x_axis, y_axis)}"/>'
        f'<path class="{style}" d="{_path(mean, x_axis, y_axis)}"/>{dots}'
    )


def _path(points: np.ndarray, x_axis: _Axis, y_axis: _Axis) -> str:
    # first and last point are among them
    points = points[np.unique(np.linspace(0, len(points) - 1, min(len(points), _MOST_POINTS)).round().astype(int))]
    text, pen = [], "M"
    for (_, value), x, y in zip(points, x_axis.place(points[:, 0]), y_axis.place(points[:, 1])):
        if not np.isfinite(value):
            pen = "M"
            continue
        text.append(f"{pen}{round(float(x))} {_number(y)}")
        pen = "L" if pen == "M" else " "  # further pairs are lines too
    return "".join(text)


def chart_legend(names: Sequence[str]) -> str:
    """The lines of one chart, or of several that share their colours.

    Args:
        names: of the lines, in the order of their colours.
    """
    entries = "".join(
        f'<li><svg width="30" height="10" aria-hidden="true"><path class="{_style(number)}" d="M1 5H29"/></svg>'
        f"{escape(name)}</li>"
        for number, name in enumerate(names)
    )
    return f'<ul class="legend">{entries}</ul>\n'


def _number(value: float | np.ndarray) -> str:
    return f"{float(value):.1f}".removesuffix(".0")


def _tick(value: float) -> str:
    return f"{value:,.6g}".replace("-", "−")
