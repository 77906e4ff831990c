"""ROC curves of one or several probes on one pair of axes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from monai_cl.report.figures.curves import COLOURS, DASHES
from monai_cl.report.figures.figure_files import new_figure, plain_axes, plain_legend, saved


def roc_figure(predictions: Mapping[str, tuple], *, title: str | None = None) -> bytes:
    """Sensitivity against 1 − specificity, with the area under each curve in the legend.

    Args:
        predictions: name of the curve -> (labels (n,) 0 or 1, probabilities (n,)), one per patient.
        title: drawn above.

    Returns:
        the PNG's bytes; the same predictions give the same bytes.

    Raises:
        ValueError: no curve, a curve whose labels are not both 0 and 1.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    if not predictions:
        raise ValueError("predictions must hold at least one curve, got none")
    figure = new_figure(4.6, 4.4)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="dotted")
    for number, (name, (labels, probability)) in enumerate(predictions.items()):
        labels, probability = np.asarray(labels), np.asarray(probability, dtype=np.float64)
        if set(labels.tolist()) != {0, 1}:
            raise ValueError(f"labels of {name!r} must hold both 0 and 1, got {sorted(set(labels.tolist()))}")
        wrong, right, _ = roc_curve(labels, probability, drop_intermediate=False)
        label = " ".join(f"{name}: AUC {roc_auc_score(labels, probability):.3f}".split())
        axes.plot(
            wrong, right, linewidth=1.8, label=f" {label}" if label.startswith("_") else label,
            color=COLOURS[number % len(COLOURS)], linestyle=DASHES[number // len(COLOURS) % len(DASHES)],
        )  # fmt: skip
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set_xlabel("1 − specificity", fontsize=9)
    axes.set_ylabel("sensitivity", fontsize=9)
    plain_axes(axes)
    plain_legend(axes, loc="lower right", handlelength=2.6)
    if title is not None:
        axes.set_title(title, fontsize=10.5, loc="left", fontweight="bold", parse_math=False)
    return saved(figure)
