"""How far predictions move when an image is changed in a way that should not matter."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

FLOOR = 0.05  # of the probability that a deviation is relative to
_SMALLEST = 1e-6


def relative_deviation(probability: np.ndarray, varied: np.ndarray) -> np.ndarray:
    """``|p' − p| / max(p, 0.05)``.

    Args:
        probability: (n,) of the images as they are.
        varied: (n, v) of their variants.

    Returns:
        (n, v).

    Raises:
        ValueError: shapes that do not fit.

    Source: Ghesu et al., arXiv 2201.01283, section 5.4; the floor is a choice.
    """
    probability, varied = np.asarray(probability, float), np.asarray(varied, float)
    if probability.ndim != 1 or varied.shape[:1] != probability.shape or varied.ndim != 2:
        raise ValueError(f"expected (n,) and (n, v), got {probability.shape} and {varied.shape}")
    return np.abs(varied - probability[:, None]) / np.maximum(probability, FLOOR)[:, None]


def robustness_scores(labels: np.ndarray, probability: np.ndarray, varied: np.ndarray) -> dict[str, float | int]:
    """What ``results.json`` has of one family of variants.

    Args:
        labels: (n,) 0 or 1.
        probability: (n,) of the images as they are.
        varied: (n, v) of their variants.

    Returns:
        ``median``, ``q1`` and ``q3`` of `relative_deviation` over all variants; ``auc`` of the variants, and
        ``delta_logit``, the mean absolute change of the logit: both do not depend on the calibration as the deviation
        does; ``images``, ``variants``.

    Raises:
        ValueError: see `relative_deviation`; one class only.
    """
    deviation = relative_deviation(probability, varied)
    labels = np.asarray(labels)
    if len(labels) != len(deviation) or set(np.unique(labels).tolist()) != {0, 1}:
        raise ValueError(f"expected labels 0 and 1 of {len(deviation)} images, got {labels.tolist()}")
    q1, median, q3 = (float(value) for value in np.quantile(deviation, [0.25, 0.5, 0.75]))
    logit, varied_logit = _logit(np.asarray(probability, float)), _logit(np.asarray(varied, float))
    return {
        "median": median,
        "q1": q1,
        "q3": q3,
        "auc": float(roc_auc_score(np.repeat(labels, deviation.shape[1]), np.asarray(varied).ravel())),
        "delta_logit": float(np.abs(varied_logit - logit[:, None]).mean()),
        "images": len(deviation),
        "variants": deviation.shape[1],
    }


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, _SMALLEST, 1 - _SMALLEST)
    return np.log(p) - np.log1p(-p)
