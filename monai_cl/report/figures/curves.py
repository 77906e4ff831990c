"""One figure per recorded quantity, runs of all initialisations on one axis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from monai_cl.report.comparison import labelled_scans
from monai_cl.report.figures.figure_files import new_figure, plain_axes, plain_legend, saved
from monai_cl.report.figures.quantities import quantity_title, quantity_unit
from monai_cl.report.runs import Run
from monai_cl.report.starts import start_labels

# Okabe and Ito's colours, dark enough on white and distinguishable for colour-blind readers; the dash pattern repeats
# the information.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#7A5C00", "#444444")
DASHES = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
# from this many points on a curve is drawn faint under its running mean
SMOOTH_FROM = 60


def curve_names(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """(kind, quantity) of every curve that has at least one finite value, in the order recorded.

    Args:
        runs: runs of all kinds.
    """
    found: dict[tuple[str, str], None] = {}
    for run in runs:
        for name, points in run.results["curves"].items():
            if any(value is not None for _, value in points):
                found[run.kind, name] = None
    return list(found)


def curve_figure(runs: Sequence[Run], *, kind: str, name: str) -> bytes:
    """The quantity ``name`` of the runs of ``kind`` against the iteration, as a PNG.

    Runs with the same meaning (their seeds and folds) share a colour and one legend entry. Missing values (null) break
    the line. The axis is logarithmic when all values are positive and span more than a factor of 300.

    Args:
        runs: runs of all kinds; one line for each that has the curve.
        kind: kind of the runs to draw, such as ``pretraining``.
        name: the recorded quantity.

    Raises:
        ValueError: when no run of that kind has such a curve.
    """
    lines = curve_lines(runs, kind=kind, name=name)
    # small on purpose: the page scales it, and its letters must stay legible on a phone
    figure = new_figure(4.6, 3.0)
    axes = figure.add_subplot()
    for number, (label, curves) in enumerate(lines.items()):
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}
        for count, points in enumerate(curves):
            _draw(axes, points, label=label if count == 0 else None, style=style)
    if is_wide(lines):
        axes.set_yscale("log")
    axes.set_title(_short(quantity_title(name)), fontsize=10.5, loc="left", fontweight="bold", parse_math=False)
    axes.set_xlabel("iteration", fontsize=9)
    axes.set_ylabel(quantity_unit(name), fontsize=9)
    plain_axes(axes)
    if len(lines) > 1:
        plain_legend(axes, handlelength=2.6)
    return saved(figure)


def curve_lines(runs: Sequence[Run], *, kind: str, name: str) -> dict[str, list[np.ndarray]]:
    """What the line is called -> for each of its runs (n, 2) iterations and values, nan where one is missing.

    Args:
        runs: runs of all kinds.
        kind: of the runs that are taken.
        name: the recorded quantity.

    Raises:
        ValueError: no run of that kind has such a curve.
    """
    lines: dict[str, list[np.ndarray]] = defaultdict(list)
    for label, run in zip(line_labels(runs), runs, strict=True):
        points = run.results["curves"].get(name, [])
        if run.kind == kind and points:
            lines[label].append(np.array(points, dtype=np.float64))  # None becomes nan
    if not lines:
        raise ValueError(f"name must be a curve of the {kind} runs, got {name!r}")
    return lines


def is_wide(lines: Mapping[str, Sequence[np.ndarray]]) -> bool:
    """Whether all values are positive and span more than a factor of 300: an axis for them is logarithmic."""
    values = np.concatenate([points[:, 1] for curves in lines.values() for points in curves])
    values = values[np.isfinite(values)]
    return len(values) > 0 and bool(values.min() > 0 and values.max() > 300 * values.min())


def line_labels(runs: Sequence[Run]) -> list[str]:
    """What a run is called in a legend: its start for segmentation (with data and label share where these differ
    between the runs), its name for pre-training."""
    starts = start_labels([run for run in runs if run.kind == "segmentation"])
    segmentations = [run for run in runs if run.kind == "segmentation"]
    many_data = len({run.data_name for run in segmentations}) > 1
    labelled = {
        run.data_key: labelled_scans([other for other in segmentations if other.data_key == run.data_key])
        for run in segmentations
    }
    many_shares = len({run.data_key for run in segmentations}) > len({run.data_name for run in segmentations})
    labels = []
    for run in runs:
        if run.kind != "segmentation":
            labels.append(run.name)
            continue
        parts = [starts[run.initialisation]]
        parts += [run.data_name] if many_data else []
        parts += [labelled[run.data_key]] if many_shares and labelled[run.data_key] else []
        labels.append(", ".join(parts))
    return labels


def _draw(axes, points: np.ndarray, *, label: str | None, style: dict) -> None:
    iterations, values = points.T
    if label is not None:
        label = _short(label)
        # matplotlib leaves labels with a leading underscore out of the legend
        label = f" {label}" if label.startswith("_") else label
    finite = np.isfinite(values)
    # between missing values a line of one point is invisible
    alone = finite & ~np.append(finite[1:], False) & ~np.append(False, finite[:-1])
    if alone.any():
        axes.plot(iterations[alone], values[alone], marker="o", markersize=4, linestyle="none", color=style["color"])
    if len(values) < SMOOTH_FROM:
        axes.plot(iterations, values, linewidth=1.6, label=label, **style)
    else:
        axes.plot(iterations, values, linewidth=0.6, alpha=0.3, color=style["color"])
        axes.plot(iterations, running_mean(values, half=len(values) // 40), linewidth=1.8, label=label, **style)


def running_mean(values: np.ndarray, *, half: int) -> np.ndarray:
    """Mean of the finite values at most ``half`` points away; nan where there are none."""
    finite = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(finite)])
    start = np.clip(np.arange(len(values)) - half, 0, None)
    stop = np.clip(np.arange(len(values)) + half + 1, None, len(values))
    inside = count[stop] - count[start]
    mean = (total[stop] - total[start]) / np.maximum(inside, 1)
    return np.where(inside > 0, mean, np.nan)


def _short(text: str, limit: int = 44) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else "…" + text[-(limit - 1) :]
