"""Box plots of how far probabilities move, a box for each family of variants."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from monai_cl.report.figures.figure_files import new_figure, plain_axes, saved
from monai_cl.report.robustness import relative_deviation


def deviation_figure(probability: np.ndarray, varied: Mapping[str, np.ndarray]) -> bytes:
    """Quartiles of the relative deviation, whiskers to 1.5 of their distance, no outliers; a logarithmic axis.

    Args:
        probability: (n,) of the images as they are.
        varied: family -> (n, v) of their variants.

    Returns:
        the PNG's bytes; the same numbers give the same bytes.

    Source: Ghesu et al., arXiv 2201.01283, Fig. 8.
    """
    figure = new_figure(4.6, 3.2)
    axes = figure.add_subplot()
    plain_axes(axes)
    # nothing moves at all where a variant changes nothing, and 0 has no place on this axis
    values = [np.maximum(relative_deviation(probability, p).ravel(), 1e-4) for p in varied.values()]
    axes.boxplot(values, showfliers=False, medianprops={"color": "black"})
    axes.set_xticks(range(1, len(varied) + 1))
    axes.set_xticklabels(varied, fontsize=9)
    axes.set_yscale("log")
    axes.set_ylabel("relative deviation of the probability", fontsize=9)
    return saved(figure)
