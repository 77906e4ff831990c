"""Paired differences drawn: one point per case in the order of its difference, the mean with its bootstrap interval."""

from __future__ import annotations

from monai_cl.report.columns import MEAN, column_difference
from monai_cl.report.comparison import Comparison
from monai_cl.report.figures.curves import COLOURS
from monai_cl.report.figures.figure_files import new_figure, plain_axes, plain_legend, saved
from monai_cl.report.tables import row_name

MARKERS = ("o", "s", "^", "D", "v", "P")


def pairs_figure(comparison: Comparison, *, organ: str = MEAN) -> bytes:
    """Dice of every other column less that of the first, case by case; without names of cases.

    Args:
        comparison: runs that may be compared.
        organ: one of its organs, or the mean over them.

    Returns:
        the PNG's bytes; the same comparison gives the same bytes.

    Raises:
        ValueError: a single column, an unknown organ.
    """
    reference, *others = comparison.columns
    if not others:
        raise ValueError(f"comparison must have at least two columns, got {reference.label!r} alone")
    if organ not in (*comparison.organs, MEAN):
        raise ValueError(f"organ must be one of {', '.join((*comparison.organs, MEAN))}, got {organ!r}")
    figure = new_figure(4.6, 3.0)
    axes = figure.add_subplot()
    axes.axhline(0, color="#555555", linewidth=1)
    for number, column in enumerate(others):
        found = column_difference(reference, column, organ)
        differences = sorted(found.differences)
        if not differences:
            continue
        # first colour of the curves is the reference's
        colour = COLOURS[(number + 1) % len(COLOURS)]
        label = f"{column.label}: mean {found.mean:+.3f}"
        if found.low is not None:
            label += f" [{found.low:+.3f}, {found.high:+.3f}]"
            axes.axhspan(found.low, found.high, color=colour, alpha=0.15, linewidth=0)
        axes.axhline(found.mean, color=colour, linewidth=1.2, linestyle=(0, (5, 1.5)))
        # a label with a leading underscore would be left out of the legend
        axes.plot(
            range(1, len(differences) + 1), differences, linestyle="none", marker=MARKERS[number % len(MARKERS)],
            markersize=4.5, color=colour, label=f" {label}" if label.startswith("_") else label,
        )  # fmt: skip
    title = f"{row_name(organ)}, less {reference.label}"
    axes.set_title(title[:48], fontsize=10.5, loc="left", fontweight="bold", parse_math=False)
    axes.set_ylabel("difference of Dice", fontsize=9)
    axes.set_xlabel("cases in the order of their difference", fontsize=9)
    axes.xaxis.get_major_locator().set_params(integer=True)
    plain_axes(axes)
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        plain_legend(axes, loc="upper left", handletextpad=0.3)
    return saved(figure)
