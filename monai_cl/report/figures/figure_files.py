"""Figures of the report: their common look, and bytes that are the same for the same figure."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure in inches, drawn without pyplot."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes) -> None:
    """Small ticks, a light grid behind the data, no frame above and on the right."""
    axes.tick_params(labelsize=8.5, length=3)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def plain_legend(axes: Axes, **options: Any) -> None:
    """A legend that shows names as they are, not as mathematics."""
    legend = axes.legend(fontsize=8.5, framealpha=0.85, edgecolor="none", **options)
    for text in legend.get_texts():
        text.set_parse_math(False)


def saved(figure: Figure) -> bytes:
    """A figure as a PNG without the name of its writer, so that equal figures are equal files."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()
