"""Vectors in two dimensions, coloured by a field of their table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_cl.errors import UserError
from monai_cl.report.figures.curves import COLOURS
from monai_cl.report.figures.figure_files import new_figure, plain_legend, saved
from monai_cl.report.figures.pca import principal_plane

METHODS = ("pca", "umap")
_UNKNOWN = "#BBBBBB"
_MARKERS = ("o", "s", "^", "D", "v", "P")
_MOST_CLASSES = 12  # colours and shapes that can be told apart in one legend


def plane(vectors: np.ndarray, method: str = "pca", *, seed: int = 0) -> tuple[np.ndarray, tuple[str, str]]:
    """Vectors (n, F) as points (n, 2), and what the axes are.

    Args:
        vectors: n >= 3 of them for UMAP, n >= 2 for PCA.
        method: ``"pca"``, or ``"umap"``, which needs the package umap-learn.
        seed: of UMAP.

    Raises:
        UserError: an unknown method, too few vectors, UMAP without its package.
    """
    check_plane(method, len(vectors))
    if method == "pca":
        points, share = principal_plane(vectors)
        names = [f"{name} direction ({part:.0%} of the variance)" for name, part in zip(("first", "second"), share)]
        return points, (names[0], names[1])
    from umap import UMAP

    neighbours = min(15, len(vectors) - 1)
    start = "spectral" if len(vectors) > 10 else "random"
    model = UMAP(n_neighbors=neighbours, metric="cosine", random_state=seed, n_jobs=1, init=start)
    return np.asarray(model.fit_transform(vectors), np.float64), ("UMAP 1", "UMAP 2")


def check_plane(method: str, count: int | None = None) -> None:
    """Refuse what `plane` cannot draw, before there are vectors.

    Args:
        method: see `plane`.
        count: of vectors; None: not known yet.

    Raises:
        UserError: see `plane`.
    """
    if method not in METHODS:
        raise UserError("--plot", expected=f"one of {', '.join(METHODS)}", found=method)
    least = 2 if method == "pca" else 4
    if count is not None and count < least:
        raise UserError("--plot", expected=f"{least} rows or more", found=count, remedy="embed more scans")
    if method == "umap":
        try:
            import umap  # noqa: F401
        except ImportError as error:
            raise UserError(
                "--plot umap",
                expected="the package umap-learn",
                found="none",
                remedy="pip install umap-learn, or use pca",
            ) from error


def embedding_map(
    points: np.ndarray, axes_names: tuple[str, str], values: Sequence[Any], *, field: str, seed: int = 0
) -> bytes:
    """Points coloured by a field: numbers by a scale, up to 12 other values by colour and shape, more are left grey.

    Args:
        points: (n, 2).
        axes_names: of the two axes.
        values: n of them, None where one is not known.
        field: their name.
        seed: of the order in which points cover one another.

    Returns:
        the PNG's bytes.
    """
    if len(values) != len(points):
        raise ValueError(f"values must be one for each of {len(points)} points, got {len(values)}")
    figure = new_figure(5.6, 4.6)
    axes = figure.add_subplot()
    order = np.random.default_rng(seed).permutation(len(points))
    points, values = points[order], [values[place] for place in order]
    known = np.array([value is not None for value in values])
    axes.scatter(*points[~known].T, s=16, c=_UNKNOWN, linewidths=0, zorder=1)
    if _is_scale([value for value in values if value is not None]):
        scale = [float(value) for value in values if value is not None]
        drawn = axes.scatter(*points[known].T, s=16, c=scale, cmap="viridis", linewidths=0)
        figure.colorbar(drawn, ax=axes, pad=0.02).set_label(field, fontsize=9, parse_math=False)
    else:
        _by_class(axes, points, values)
    axes.set_title(f"by {field}", fontsize=10.5, loc="left", fontweight="bold", parse_math=False)
    axes.set_xlabel(axes_names[0], fontsize=9)
    axes.set_ylabel(axes_names[1], fontsize=9)
    axes.tick_params(labelsize=8, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    return saved(figure)


def _is_scale(values: Sequence[Any]) -> bool:
    if not values or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return False
    return len(set(values)) > _MOST_CLASSES or not all(float(value).is_integer() for value in values)


def _by_class(axes: Any, points: np.ndarray, values: Sequence[Any]) -> None:
    counts: dict[str, int] = {}
    for value in values:
        if value is not None:
            counts[str(value)] = counts.get(str(value), 0) + 1
    named = sorted(sorted(counts), key=lambda name: -counts[name])[:_MOST_CLASSES]
    for number, name in enumerate(sorted(named)):
        mine = np.array([value is not None and str(value) == name for value in values])
        label = f"{name} ({counts[name]})"
        axes.scatter(
            *points[mine].T,
            s=16,
            color=COLOURS[number % len(COLOURS)],
            marker=_MARKERS[number // len(COLOURS)],
            linewidths=0,
            label=f" {label}" if label.startswith("_") else label,
            zorder=2,
        )
    rest = np.array([value is not None and str(value) not in named for value in values])
    unknown = sum(value is None for value in values)
    if rest.any():
        label = f"{len(counts) - len(named)} other values ({int(rest.sum())})"
        axes.scatter(*points[rest].T, s=16, c=_UNKNOWN, linewidths=0, zorder=1, label=label)
    if unknown:
        axes.scatter([], [], s=16, color=_UNKNOWN, label=f"not known ({unknown})", linewidths=0)
    plain_legend(axes)
