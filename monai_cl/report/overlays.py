"""Pictures of one case: image, truth and prediction side by side, in radiological view, with the organs' names."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from monai_cl.report.results import write_atomically

# bright on grey, neighbours in the list far apart in hue; repeats after that many organs
PALETTE = (
    "#E69F00", "#56B4E9", "#00C48C", "#F0E442", "#FF5A36", "#CC79A7", "#4C7DFF", "#B6F000",
    "#FF9DA7", "#9C6BFF", "#00D5D5", "#C49A6C", "#FF3DBB", "#8FD694", "#FFD9A0", "#A0B4FF",
)  # fmt: skip
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
    planes: Sequence[str] = ("axial", "coronal"),
    title: str | None = None,
) -> bytes:
    """Draw the slices that show the most of the organs as PNG: a row per plane; image, truth, prediction per row.

    Patient right is on the left of the picture and so marked, anterior (axial) or head (coronal) is up; pixels have
    their true aspect.

    Args:
        image: (X, Y, Z) in RAS+, HU (or any unit of ``window``).
        truth: (X, Y, Z) integers, 0 background; None leaves the panel out.
        prediction: as ``truth``; the outline of the truth is drawn over it, dotted white.
        window: grey range; None means ``image`` is in [0, 1].
        spacing: mm along X, Y, Z.
        labels: label -> organ name for the legend; a label without a name shows its number.
        planes: of ``axial``, ``coronal``.
        title: drawn above and written into the file. Without one the pixels bear no case id; a report that hides ids
            shows untitled pictures only.

    Returns:
        the PNG file's bytes; :func:`write_overlay` puts them in a file.

    Raises:
        ValueError: for arrays that are not 3D or differ in shape, a spacing or window that is not positive, an
            unknown plane.
    """
    image, truth, prediction = _volumes(image, truth, prediction)
    truth, prediction = _labels("truth", truth), _labels("prediction", prediction)
    spacing = tuple(float(step) for step in spacing)
    if len(spacing) != 3 or not all(np.isfinite(step) and step > 0 for step in spacing):
        raise ValueError(f"spacing must be three lengths > 0, got {spacing}")
    low, high = (0.0, 1.0) if window is None else map(float, window)
    if not low < high:
        raise ValueError(f"window must be (low, high) with low < high, got {window}")
    unknown = [plane for plane in planes if plane not in _AXIS]
    if unknown or not planes:
        raise ValueError(f"planes must be of {', '.join(_AXIS)}, got {tuple(planes)}")

    names = {int(label): str(name) for label, name in (labels or {}).items()}
    segmentations = [volume for volume in (truth, prediction) if volume is not None]
    present = sorted({int(label) for volume in segmentations for label in np.unique(volume)} - {0})
    # by declared label, not by what is present: an organ keeps its colour from case to case
    declared = sorted({label for label in names if label != 0} | set(present))
    colours = {label: PALETTE[number % len(PALETTE)] for number, label in enumerate(declared)}

    panels = [("image", None)]
    panels += [("truth", truth)] if truth is not None else []
    panels += [("prediction", prediction)] if prediction is not None else []
    guide = truth if truth is not None and truth.any() else prediction
    figure, axes = _layout(image.shape, spacing, planes, len(panels), entries=len(present), titled=title is not None)
    for row, plane in enumerate(planes):
        index = busiest_slice(guide, axis=_AXIS[plane], size=image.shape[_AXIS[plane]])
        for column, (title, volume) in enumerate(panels):
            ax = axes[row][column]
            picture = radiological_slice(image, plane, index).astype(np.float32)
            ax.imshow(picture, cmap="gray", vmin=low, vmax=high, aspect="auto", interpolation="bilinear")
            if volume is not None:
                _paint(ax, radiological_slice(volume, plane, index), colours)
            if title == "prediction" and truth is not None:
                _outline(ax, radiological_slice(truth, plane, index), dict.fromkeys(colours, "white"), dotted=True)
            if row == 0:
                ax.set_title(title, fontsize=12, fontweight="bold", pad=4)
            if column == 0:
                ax.set_ylabel(f"{plane}, slice {index + 1} of {image.shape[_AXIS[plane]]}", fontsize=9.5)
                for text, side in (("R", 0.02), ("L", 0.98)):
                    ax.text(
                        side, 0.5, text, transform=ax.transAxes, color="white", fontsize=11, fontweight="bold",
                        ha="left" if text == "R" else "right", va="center",
                    )  # fmt: skip
    _legend(figure, [(names.get(label, f"label {label}"), colours[label]) for label in present])
    note = "radiological view: patient right (R) on the left"
    if truth is not None and prediction is not None:
        note += "; dotted white: truth"
    figure.text(0.5, 0.06 / figure.get_figheight(), note, fontsize=9.5, color="#333333", ha="center", va="bottom")
    if title is not None:
        height = figure.get_figheight()
        figure.text(0.5, 1 - 0.08 / height, title, fontsize=12, ha="center", va="top", parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata=None if title is None else {"Title": title})
    return buffer.getvalue()


def write_overlay(path: str | os.PathLike, *arrays: Any, **options: Any) -> Path:
    """:func:`overlay_figure` written to ``path``, whole or not at all."""
    path = Path(path)
    write_atomically(path, overlay_figure(*arrays, **options))
    return path


def slice_grid(*volumes: Any, count: int = 4, window: tuple[float, float] | None = None) -> np.ndarray:
    """Axial slices as one picture for TensorBoard's ``add_image``: a row per volume, e.g. input over reconstruction.

    Args:
        volumes: each (X, Y, Z) or (1, X, Y, Z), same shape, RAS+.
        count: slices, evenly spaced without the ends (fewer in a thin volume).
        window: grey range; None means values in [0, 1].

    Returns:
        (1, rows · Y, count · X) float32 in [0, 1], radiological view.

    Raises:
        ValueError: without a volume, for differing shapes, ``count`` < 1, or a window that is not positive.
    """
    if not volumes:
        raise ValueError("volumes must hold at least one array, got none")
    if count < 1:
        raise ValueError(f"count must be >= 1, got {count}")
    low, high = (0.0, 1.0) if window is None else map(float, window)
    if not low < high:
        raise ValueError(f"window must be (low, high) with low < high, got {window}")
    first, *rest = (_array(volume) for volume in volumes)
    _volumes(first, *rest)
    depth = first.shape[2]
    indices = sorted({int((number + 1) * depth / (count + 1)) for number in range(count)})
    rows = [
        np.concatenate([radiological_slice(volume, "axial", index).astype(np.float32) for index in indices], axis=1)
        for volume in (first, *rest)
    ]
    grid = np.clip((np.concatenate(rows, axis=0) - low) / (high - low), 0, 1)
    return np.nan_to_num(grid)[None].astype(np.float32)


def busiest_slice(segmentation: np.ndarray | None, *, axis: int, size: int) -> int:
    """Index of the slice along ``axis`` with the most foreground, each organ measured by its own largest slice.

    So a gallbladder counts as much as a liver, and with one organ it is the slice where that is largest. The middle
    slice of ``size`` without a foreground.
    """
    if segmentation is None or not segmentation.any():
        return size // 2
    others = tuple(number for number in range(3) if number != axis)
    score = np.zeros(segmentation.shape[axis])
    for label in np.unique(segmentation):
        if label != 0:
            area = (segmentation == label).sum(axis=others)
            score += area / area.max()
    return int(score.argmax())


def radiological_slice(volume: np.ndarray, plane: str, index: int) -> np.ndarray:
    """A slice of an (X, Y, Z) RAS+ volume as an image: patient right in column 0, anterior or head in row 0."""
    flat = volume[:, :, index] if plane == "axial" else volume[:, index, :]
    return flat[::-1, ::-1].T


_AXIS = {"axial": 2, "coronal": 1}


def _array(volume: Any) -> np.ndarray:
    if hasattr(volume, "detach"):  # a torch tensor, on any device, with or without gradient, of any float type
        volume = volume.detach().cpu()
        volume = volume.float() if volume.is_floating_point() else volume
    volume = np.asarray(volume)
    return volume[0] if volume.ndim == 4 and volume.shape[0] == 1 else volume


def _volumes(image: Any, *segmentations: Any | None) -> list[np.ndarray | None]:
    image = _array(image)
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"image must be (X, Y, Z) and not empty, got shape {image.shape}")
    arrays = [None if volume is None else _array(volume) for volume in segmentations]
    for volume in arrays:
        if volume is not None and volume.shape != image.shape:
            raise ValueError(f"all volumes must have shape {image.shape}, got {volume.shape}")
    return [image, *arrays]


def _labels(name: str, volume: np.ndarray | None) -> np.ndarray | None:
    if volume is None or volume.dtype.kind in "iub":
        return volume
    whole = volume.astype(np.int64) if np.isfinite(volume).all() else None
    if whole is None or not (whole == volume).all():
        raise ValueError(f"{name} must hold integer labels, got other values of type {volume.dtype}")
    return whole


def _layout(shape, spacing, planes, columns, *, entries, titled):
    """Axes of equal width and true height, exact to the pixel: the aspect needs no further correction."""
    extent = [size * step for size, step in zip(shape, spacing)]
    height = {"axial": extent[1], "coronal": extent[2]}
    # a thin stack of slices would be a hairline and a long one a tower: bounded, and then not to scale
    inches = [float(np.clip(_PANEL_INCHES * height[plane] / extent[0], 0.6, 2.2 * _PANEL_INCHES)) for plane in planes]
    gap, left, top = 0.08, 0.34, 0.62 if titled else 0.32
    foot = 0.36 + 0.25 * -(-entries // _legend_columns(columns))
    total_width = left + columns * (_PANEL_INCHES + gap)
    total_height = top + sum(inches) + gap * len(inches) + foot
    figure = Figure(figsize=(total_width, total_height), facecolor="white")
    FigureCanvasAgg(figure)
    axes, y = [], total_height - top
    for row_height in inches:
        y -= row_height
        row = []
        for column in range(columns):
            box = (left + column * (_PANEL_INCHES + gap), y, _PANEL_INCHES, row_height)
            ax = figure.add_axes(
                (box[0] / total_width, box[1] / total_height, box[2] / total_width, box[3] / total_height)
            )
            ax.set(xticks=[], yticks=[], facecolor="black")
            ax.spines[:].set_visible(False)
            row.append(ax)
        axes.append(row)
        y -= gap
    return figure, axes


def _legend_columns(columns: int) -> int:
    return 2 * columns


def _paint(ax, segmentation: np.ndarray, colours: Mapping[int, str]) -> None:
    from matplotlib.colors import to_rgb

    colour = np.zeros((*segmentation.shape, 4), dtype=np.float32)
    for label, name in colours.items():
        colour[segmentation == label] = (*to_rgb(name), 0.38)
    ax.imshow(colour, aspect="auto", interpolation="nearest")
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
    columns = min(_legend_columns(len(figure.axes)), len(entries))
    legend = figure.legend(
        handles=[Patch(facecolor=colour, edgecolor="#333333", linewidth=0.5) for _, colour in entries],
        labels=[name for name, _ in entries],
        loc="lower center", bbox_to_anchor=(0.5, 0.26 / figure.get_figheight()), ncols=columns, fontsize=10,
        frameon=False, handlelength=1.1, columnspacing=1.2, borderaxespad=0.1,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
