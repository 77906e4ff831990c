"""Representations in their two principal directions, coloured by class and by depth (the WSP paper's Fig. 2 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from monai_cl.report.figures.curves import COLOURS
from monai_cl.report.figures.figure_files import new_figure, plain_legend, saved

_UNKNOWN = "#BBBBBB"
_MOST_POINTS = 1000


def principal_plane(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (n, 2) of centred features (n, F) along the two directions of largest variance, and the share of the
    variance along each; a direction that does not exist (one feature, equal points) has coordinates and share 0.

    Args:
        features: (n, F), of any floating type; centred here.
    """
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features must be (n, F) with n >= 2, got {features.shape}")
    from sklearn.decomposition import PCA

    points, share = np.zeros((len(features), 2)), np.zeros(2)
    if np.ptp(features, axis=0).any():
        # full: the others draw random numbers
        model = PCA(n_components=min(2, *features.shape), svd_solver="full").fit(features)
        points[:, : model.n_components_] = model.transform(features)
        share[: model.n_components_] = model.explained_variance_ratio_
    return points, share


def pca_figure(
    features: np.ndarray,
    labels: Sequence[int] | None,
    depths: Sequence[float] | None,
    *,
    classes: Mapping[int, str] | None = None,
    seed: int = 0,
) -> bytes:
    """Two panels of the same points, one above the other, to fit a phone: coloured by class, and by depth.

    Of more than 1000 points a random subset is drawn; the directions are those of all points.

    Args:
        features: (n, F), of slices or of patients.
        labels: (n,) classes, -1 for unknown (drawn grey, below the others); None leaves the panel out.
        depths: (n,) in [0, 1], nan for unknown; None, or all nan, leaves the panel out.
        classes: class -> its name in the legend.
        seed: of that subset and of the order in which points cover one another.

    Returns:
        the PNG's bytes.

    Raises:
        ValueError: another number of labels or depths than features, nothing to colour by.
    """
    points, share = principal_plane(features)
    labels = None if labels is None else _column("labels", labels, len(points)).astype(int)
    depths = None if depths is None else _column("depths", depths, len(points)).astype(np.float64)
    if depths is not None and np.isnan(depths).all():
        depths = None
    panels = [name for name, values in (("class", labels), ("depth", depths)) if values is not None]
    if not panels:
        raise ValueError("labels or depths must be given, got neither")
    # in random order, or the last class would lie over the others
    rows = np.random.default_rng(seed).permutation(len(points))[:_MOST_POINTS]
    figure = new_figure(4.6, 4.2 * len(panels))
    for number, name in enumerate(panels):
        axes = figure.add_subplot(len(panels), 1, number + 1)
        if name == "class":
            _by_class(axes, points[rows], labels[rows], classes or {})
        else:
            _by_depth(figure, axes, points[rows], depths[rows])
        axes.set_title(f"by {name}", fontsize=10.5, loc="left", fontweight="bold")
        axes.set_xlabel(f"first direction ({share[0]:.0%} of the variance)", fontsize=9)
        axes.set_ylabel(f"second direction ({share[1]:.0%})", fontsize=9)
        axes.tick_params(labelsize=8, length=3)
        axes.spines[["top", "right"]].set_visible(False)
    return saved(figure)


def _by_class(axes, points: np.ndarray, labels: np.ndarray, classes: Mapping[int, str]) -> None:
    present = sorted(set(labels.tolist()))
    colours = {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(x for x in present if x >= 0)}
    colours[-1] = _UNKNOWN
    unknown = labels < 0
    for mask, layer in ((unknown, 1), (~unknown, 2)):
        axes.scatter(*points[mask].T, s=9, c=[colours[x] for x in labels[mask].tolist()], linewidths=0, zorder=layer)
    for label in present:
        name = "unknown" if label < 0 else classes.get(label, f"class {label}")
        axes.scatter([], [], s=24, color=colours[label], label=name, linewidths=0)
    plain_legend(axes)


def _by_depth(figure: Figure, axes, points: np.ndarray, depths: np.ndarray) -> None:
    unknown = np.isnan(depths)
    axes.scatter(*points[unknown].T, s=9, c=_UNKNOWN, linewidths=0, zorder=1)
    drawn = axes.scatter(*points[~unknown].T, s=9, c=depths[~unknown], cmap="viridis", vmin=0, vmax=1, linewidths=0)
    bar = figure.colorbar(drawn, ax=axes, pad=0.02)
    bar.set_label("depth (0 feet, 1 head)", fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _column(name: str, values: Sequence, n: int) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != (n,):
        raise ValueError(f"{name} must be ({n},), one per point, got {values.shape}")
    return values
