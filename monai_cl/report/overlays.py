"""Pictures of one case: image, truth, prediction and their difference side by side, in radiological view."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from monai_cl.report.slices import PLANE_AXIS, as_labels, busiest_slice, radiological_slice, same_shape

# bright on grey, neighbours in the list far apart in hue; repeats after that many organs
PALETTE = (
    "#E69F00", "#56B4E9", "#00C48C", "#F0E442", "#FF5A36", "#CC79A7", "#4C7DFF", "#B6F000",
    "#FF9DA7", "#9C6BFF", "#00D5D5", "#C49A6C", "#FF3DBB", "#8FD694", "#FFD9A0", "#A0B4FF",
)  # fmt: skip
# where truth and prediction disagree
MISSED, WRONG = "#56B4E9", "#FF5A36"
# text chunk of the PNG: where its panels are and what the colours mean, for a page that shows them one by one
PANELS_CHUNK = "Panels"
_PANEL_INCHES = 2.9
_DPI = 110


def overlay_figure(
    image: Any,
    truth: Any | None,
    prediction: Any | None,
    *,
    window: tuple[float, float] | None = (-150.0, 250.0),
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    labels: Mapping[int, str] | None = None,
    title: str | None = None,
) -> bytes:
    """Draw the slices that show the most of the organs as PNG: image, truth, prediction, difference; a row per plane.

    The difference is blue where the prediction misses an organ, red where it has one that is not there or another one.
    Patient right is on the left of the picture and marked so, anterior (axial) or head (coronal) is up; pixels have
    their true aspect.

    Args:
        image: (X, Y, Z) in RAS+, HU (or any unit of ``window``).
        truth: (X, Y, Z) integers, 0 background; None leaves the panel out.
        prediction: as ``truth``; the outline of the truth is drawn over it, dotted white. With both there is a panel of
            their difference.
        window: grey range; None means ``image`` is in [0, 1].
        spacing: mm along X, Y, Z.
        labels: label -> organ name for the legend; a label without a name shows its number.
        title: drawn above and written into the file. Without one the pixels hold no case id; a report that hides ids
            shows untitled pictures only.

    Returns:
        the PNG file's bytes.

    Raises:
        ValueError: for arrays that are not 3D or differ in shape, or a spacing or window that is not positive.
    """
    image, truth, prediction = same_shape(image, truth, prediction)
    truth, prediction = as_labels("truth", truth), as_labels("prediction", prediction)
    spacing, (low, high) = _checked(spacing, window)

    names = {int(label): str(name) for label, name in (labels or {}).items()}
    segmentations = [volume for volume in (truth, prediction) if volume is not None]
    present = sorted({int(label) for volume in segmentations for label in np.unique(volume)} - {0})
    # by declared label, not by what is present: an organ keeps its colour from case to case
    declared = sorted({label for label in names if label != 0} | set(present))
    colours = {label: PALETTE[number % len(PALETTE)] for number, label in enumerate(declared)}

    panels = _panels(truth, prediction)
    guide = truth if truth is not None and truth.any() else prediction
    entries = [(names.get(label, f"label {label}")[:50], colours[label]) for label in present]
    figure, axes = _layout(image.shape, spacing, len(panels), entries=entries, titled=title is not None)
    for row, plane in enumerate(PLANE_AXIS):
        index = busiest_slice(guide, axis=PLANE_AXIS[plane], size=image.shape[PLANE_AXIS[plane]])
        for column, (panel, volume) in enumerate(panels):
            ax = axes[row][column]
            picture = radiological_slice(image, plane, index).astype(np.float32)
            aspect = (spacing[1] if plane == "axial" else spacing[2]) / spacing[0]  # height over width of a pixel
            ax.imshow(picture, cmap="gray", vmin=low, vmax=high, aspect=aspect, interpolation="bilinear")
            if volume is not None:
                shown = {1: MISSED, 2: WRONG} if panel == "difference" else colours
                _paint(ax, radiological_slice(volume, plane, index), shown)
            if panel == "prediction" and truth is not None:
                _outline(ax, radiological_slice(truth, plane, index), dict.fromkeys(colours, "white"), dotted=True)
            if row == 0:
                ax.set_title(panel, fontsize=12, fontweight="bold", pad=4)
            if column == 0:
                _mark(ax, f"{plane}, slice {index + 1} of {image.shape[PLANE_AXIS[plane]]}", at=(0.02, 0.97), va="top")
            _mark(ax, "R", at=(0.02, 0.5), weight="bold")
            _mark(ax, "L", at=(0.98, 0.5), ha="right", weight="bold")
    _legend(figure, entries)
    note = "radiological view: patient right (R) on the left"
    if truth is not None and prediction is not None:
        note += "; dotted white: truth; difference: blue missed, red wrong"
    figure.text(0.5, 0.06 / figure.get_figheight(), note, fontsize=9.5, color="#333333", ha="center", va="bottom")
    if title is not None:
        height = figure.get_figheight()
        figure.text(0.5, 1 - 0.08 / height, title, fontsize=12, ha="center", va="top", parse_math=False)
    buffer = io.BytesIO()
    metadata = {PANELS_CHUNK: _panels_text([name for name, _ in panels], axes, entries)}
    figure.savefig(buffer, format="png", dpi=_DPI, metadata=metadata | ({} if title is None else {"Title": title}))
    return buffer.getvalue()


def _checked(
    spacing: Sequence[float], window: tuple[float, float] | None
) -> tuple[tuple[float, ...], tuple[float, float]]:
    """Spacing and window; ``ValueError`` for what cannot be drawn."""
    spacing = tuple(float(step) for step in spacing)
    if len(spacing) != 3 or not all(np.isfinite(step) and step > 0 for step in spacing):
        raise ValueError(f"spacing must be three lengths > 0, got {spacing}")
    low, high = (0.0, 1.0) if window is None else map(float, window)
    if not low < high:
        raise ValueError(f"window must be (low, high) with low < high, got {window}")
    return spacing, (low, high)


def _panels(truth: np.ndarray | None, prediction: np.ndarray | None) -> list[tuple[str, np.ndarray | None]]:
    """Name and labels of every column: image, then what there is of truth, prediction and their difference."""
    panels = [("image", None), ("truth", truth), ("prediction", prediction)]
    if truth is not None and prediction is not None:
        # 1: missed, 2: wrong
        differs = np.where(prediction == 0, 1, 2) * (truth != prediction)
        panels.append(("difference", differs.astype(np.uint8)))
    return [(name, volume) for name, volume in panels if name == "image" or volume is not None]


def _panels_text(names: Sequence[str], axes: Sequence[Sequence[Any]], entries: Sequence[tuple[str, str]]) -> str:
    """Names of the columns, their boxes row by row (left, top, right, bottom, as fractions), and the legend."""
    boxes = [[[box.x0, 1 - box.y1, box.x1, 1 - box.y0] for box in (ax.get_position() for ax in row)] for row in axes]
    return json.dumps({"columns": list(names), "rows": boxes, "legend": [list(entry) for entry in entries]})


def _layout(shape, spacing, columns, *, entries, titled):
    """Axes of the slices' true proportions, so that none is shrunk to keep its aspect."""
    extent = [size * step for size, step in zip(shape, spacing)]
    # a thin stack of slices would be a hairline and a long one a tower: bounded, with black beside the slice
    inches = [float(np.clip(_PANEL_INCHES * height / extent[0], 0.6, 2.2 * _PANEL_INCHES)) for height in extent[1:]]
    gap, top = 0.08, 0.62 if titled else 0.32
    total_width = gap + columns * (_PANEL_INCHES + gap)
    foot = 0.38 + 0.215 * -(-len(entries) // _legend_columns(entries, total_width))
    total_height = top + sum(inches) + gap * len(inches) + foot
    figure = Figure(figsize=(total_width, total_height), facecolor="white")
    FigureCanvasAgg(figure)
    axes, y = [], total_height - top
    for row_height in inches:
        y -= row_height
        row = []
        for column in range(columns):
            box = (gap + column * (_PANEL_INCHES + gap), y, _PANEL_INCHES, row_height)
            ax = figure.add_axes(
                (box[0] / total_width, box[1] / total_height, box[2] / total_width, box[3] / total_height)
            )
            ax.set(xticks=[], yticks=[], facecolor="black")
            ax.spines[:].set_visible(False)
            row.append(ax)
        axes.append(row)
        y -= gap
    return figure, axes


def _legend_columns(entries: Sequence[tuple[str, str]], width: float) -> int:
    """As many columns as fit beside the longest name, about 0.08 inches per letter."""
    longest = max((len(name) for name, _ in entries), default=0)
    return int(np.clip(width // (0.5 + 0.08 * longest), 1, max(1, len(entries))))


def _mark(ax, text: str, *, at: tuple[float, float], ha: str = "left", va: str = "center", **style: str) -> None:
    box = {"facecolor": "black", "alpha": 0.45, "edgecolor": "none", "pad": 1.2}
    ax.text(*at, text, transform=ax.transAxes, color="white", fontsize=9.5, ha=ha, va=va, bbox=box, **style)


def _paint(ax, segmentation: np.ndarray, colours: Mapping[int, str]) -> None:
    from matplotlib.colors import to_rgb

    colour = np.zeros((*segmentation.shape, 4), dtype=np.float32)
    for label, name in colours.items():
        colour[segmentation == label] = (*to_rgb(name), 0.38)
    ax.imshow(colour, aspect=ax.get_aspect(), interpolation="nearest")
    _outline(ax, segmentation, colours)


def _outline(ax, segmentation: np.ndarray, colours: Mapping[int, str], *, dotted: bool = False) -> None:
    rows, columns = segmentation.shape
    for label, colour in colours.items():
        mask = np.pad(segmentation == label, 1)  # the pad closes outlines at the border
        if mask.any():
            ax.contour(
                np.arange(-1, columns + 1), np.arange(-1, rows + 1), mask.astype(np.float32), levels=[0.5],
                colors=[colour], linewidths=0.9 if dotted else 1.2, linestyles="dotted" if dotted else "solid",
            )  # fmt: skip
    ax.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))


def _legend(figure: Figure, entries: Sequence[tuple[str, str]]) -> None:
    if not entries:
        return
    columns = _legend_columns(entries, figure.get_figwidth())
    legend = figure.legend(
        handles=[Patch(facecolor=colour, edgecolor="#333333", linewidth=0.5) for _, colour in entries],
        labels=[name for name, _ in entries],
        loc="lower center", bbox_to_anchor=(0.5, 0.26 / figure.get_figheight()), ncols=columns, fontsize=10,
        frameon=False, handlelength=1.1, columnspacing=1.2, borderaxespad=0.1,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
