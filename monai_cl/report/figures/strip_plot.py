"""Values of single scans in named rows, a colour for each data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from monai_cl.report.figures.curves import COLOURS
from monai_cl.report.figures.figure_files import new_figure, plain_axes, plain_legend, saved

_MOST_NAMED = 12  # data sets in the legend


def strip_plot(rows: Mapping[str, Mapping[str, Sequence[float]]], *, unit: str, logarithmic: bool = False) -> bytes:
    """A dot for each scan, and a line at the median of each row.

    Args:
        rows: name of a row, from above -> data set -> values.
        unit: of the values, below the axis.
        logarithmic: of the axis; all values are then above 0.

    Returns:
        the PNG's bytes.
    """
    groups = list(dict.fromkeys(group for row in rows.values() for group in row))
    figure = new_figure(5.6, 1.1 + 0.3 * len(rows))
    axes = figure.add_subplot()
    plain_axes(axes)
    spread = np.random.default_rng(0)
    for number, group in enumerate(groups):
        points = [(value, place) for place, row in enumerate(rows.values()) for value in row.get(group, ())]
        values, places = np.array(points, dtype=float).reshape(-1, 2).T
        label = None if number >= _MOST_NAMED else f" {group}" if group.startswith("_") else group
        colour = COLOURS[number % len(COLOURS)]
        places = places + spread.uniform(-0.22, 0.22, len(places))
        axes.scatter(values, places, s=12, color=colour, alpha=0.7, linewidths=0, label=label)
    for place, row in enumerate(rows.values()):
        if all_values := [value for values in row.values() for value in values]:
            axes.plot([np.median(all_values)] * 2, [place - 0.32, place + 0.32], color="black", linewidth=1.4)
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels(rows, fontsize=9, parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xlabel(unit, fontsize=9)
    if len(groups) > 1:
        plain_legend(axes, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return saved(figure)
