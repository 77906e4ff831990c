"""Paired differences as rows: a dot for each case, the mean, its interval as a bar, and zero; as wide as its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from monai_cl.report.statistics import PairedDifference
from monai_cl.report.tables import signed

_MIDDLE = 20  # pixels
# heights at which neighbouring dots lie, so that they do not hide each other
_LANES = (0, -7, 7, -3.5, 3.5)


@dataclass(frozen=True)
class ForestRow:
    """A difference and what it is of.

    Attributes:
        name: what is compared.
        detail: the values behind it, and how many.
        found: the difference; its mean is not None.
        group: heading over this row and those of the same group that follow; empty: none.
    """

    name: str
    detail: str
    found: PairedDifference
    group: str = ""


def verdict(found: PairedDifference) -> str:
    """What a difference shows, in a word or two."""
    if found.low is None or found.high is None:
        return "too few to say"
    if found.low > 0:
        return "better"
    return "worse" if found.high < 0 else "no difference shown"


def forest_html(rows: Sequence[ForestRow], *, quantity: str, compact: bool = False) -> str:
    """The rows over one axis.

    Args:
        rows: at least one.
        quantity: what the axis is, such as ``"difference of mean Dice"``.
        compact: names and means only, beside a table that holds the rest.
    """
    axis = _Axis(rows)
    ticks = "".join(
        f'<text class="mid" x="{axis.place(tick)}" y="14">{signed(tick) if tick else "0"}</text>' for tick in axis.ticks
    )
    zero = axis.place(0)
    body = ""
    for group, members in groupby(rows, key=lambda row: row.group):
        body += f"<h3>{escape(group)}</h3>\n" if group else ""
        body += "".join(_row(row, axis, compact) for row in members)
    sides = (
        f'<text class="end side" x="{zero}" y="31" dx="-10">← worse</text>'
        f'<text class="side" x="{zero}" y="31" dx="10">better →</text>'
    )
    return (
        f'<div class="forest{" compact" if compact else ""}">\n{body}'
        f'<div class="row scale"><div>{escape(quantity)}</div>'
        f'<svg class="line" width="100%" height="36" aria-hidden="true">{ticks}{sides}</svg><div></div></div>\n</div>\n'
    )


def _row(row: ForestRow, axis: _Axis, compact: bool) -> str:
    found, word = row.found, verdict(row.found)
    kind = {"better": "up", "worse": "down"}.get(word, "even")
    interval = "" if found.low is None else f"{signed(found.low)} to {signed(found.high)}"
    parts = [f'<line class="zero" x1="{axis.place(0)}" x2="{axis.place(0)}" y1="-60" y2="100"/>']
    parts += [
        f'<circle class="case" cx="{axis.place(value)}" cy="{_MIDDLE + _LANES[number % len(_LANES)]}" r="2.4"/>'
        for number, value in enumerate(sorted(found.differences))
    ]
    if found.low is not None:
        parts.append(f'<line class="bar" x1="{axis.place(found.low)}" x2="{axis.place(found.high)}" y1="20" y2="20"/>')
    parts.append(f'<circle class="mean" cx="{axis.place(found.mean)}" cy="{_MIDDLE}" r="6"/>')
    said = f"{row.group}{': ' if row.group else ''}{row.name}: difference {signed(found.mean)}" + (
        f", 95 % interval {interval}" if interval else ""
    )
    detail = "" if compact else f" <span>{escape(row.detail)}</span>"
    value = "" if compact else f' <span class="verdict">{word}</span>'
    value += f" <span>95 % interval {interval}</span>" if interval and not compact else ""
    return (
        f'<div class="row {kind}"><div class="what"><b>{escape(row.name)}</b>{detail}</div>'
        f'<svg class="line" width="100%" height="40" role="img" aria-label="{escape(said)}">{"".join(parts)}</svg>'
        f'<div class="value"><b>{signed(found.mean)}</b>{value}</div></div>\n'
    )


class _Axis:
    """Values to per cent of the width; zero has room for the words beside it."""

    def __init__(self, rows: Sequence[ForestRow]) -> None:
        from matplotlib.ticker import MaxNLocator

        values = [0.0]
        for found in (row.found for row in rows):
            values += [value for value in (found.mean, found.low, found.high, *found.differences) if value is not None]
        low, high = min(values), max(values)
        if low == high:
            low, high = -0.01, 0.01
        low, high = min(low, -0.3 * high), max(high, -0.3 * low)
        slack = 0.04 * (high - low)
        self.low, self.high = low - slack, high + slack
        ticks = MaxNLocator(nbins=4, steps=[1, 2, 5, 10]).tick_values(low, high)
        # three decimals are written
        self.ticks = [float(t) for t in ticks if low <= t <= high and round(float(t), 3) == round(float(t), 9)]

    def place(self, value: float | None) -> str:
        """Per cent of the width."""
        assert value is not None
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}%"
