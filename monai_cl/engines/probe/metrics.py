"""How well probabilities of patients separate two classes: AUC, intervals by patient, paired differences."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from monai_cl.data.records.classes import interval_fault
from monai_cl.errors import UserError

THRESHOLD = 0.5
CONFIDENCE = 0.95  # of the intervals


def patient_means(values: np.ndarray, patients: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(patients sorted, mean of their slices' values, number of slices), from the values and patients of slices."""
    names, inverse, counts = np.unique(patients, return_inverse=True, return_counts=True)
    return names, np.bincount(inverse, weights=values) / counts, counts


def auc(labels: np.ndarray, probability: np.ndarray) -> float:
    """Area under the ROC curve; labels 0 or 1, ties count one half."""
    return float(roc_auc_score(labels, probability))


def balanced_accuracy(labels: np.ndarray, probability: np.ndarray) -> float:
    """Mean of sensitivity and specificity when a probability of 0.5 or more counts as class 1."""
    return float(balanced_accuracy_score(labels, np.asarray(probability) >= THRESHOLD))


def auc_interval(
    labels: np.ndarray, probability: np.ndarray, *, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the AUC, patients drawn with replacement within their class.

    Within the class, so that no resample lacks one; the numbers of both classes are taken as given. So are the fitted
    models: with few patients it is narrower than the truth (of shuffled labels the 95 % interval held 0.5 in 23 of 30
    trials with 40 patients, in 27 of 30 with 100).

    Args:
        labels: (n,) 0 or 1, one per patient.
        probability: (n,) of class 1.
        resamples: number of resamples.
        seed: of the resampling; the order of the patients matters, sort them.

    Raises:
        ValueError: an option out of range, another shape, one class only.
    """
    labels, probability = np.asarray(labels), np.asarray(probability, dtype=np.float64)
    if resamples < 1:
        raise ValueError(f"resamples must be >= 1, got {resamples}")
    if labels.ndim != 1 or probability.shape != labels.shape:
        raise ValueError(f"probability must be ({len(labels)},), got {probability.shape}")
    if set(np.unique(labels).tolist()) != {0, 1}:
        raise ValueError(f"labels must hold both 0 and 1, got {sorted(set(labels.tolist()))}")
    # not scipy.stats.bootstrap, which would hold all pairs of every resample: a resample's AUC is the mean over its
    # pairs (positive, negative) of 1, 1/2 or 0; given the matrix of all pairs, how often each patient was drawn weights
    # its rows and columns
    wins = np.sign(probability[labels == 1][:, None] - probability[labels == 0]) / 2 + 0.5
    rng = np.random.default_rng(seed)
    n, m = wins.shape
    rows = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
    columns = rng.multinomial(m, np.full(m, 1 / m), size=resamples)
    # counts and halves are exact: divided last, a perfect score stays 1
    drawn = np.einsum("bm,bm->b", rows @ wins, columns) / (n * m)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, 1 - (1 - CONFIDENCE) / 2])
    return float(low), float(high)


def sound_interval(
    labels: np.ndarray, probability: np.ndarray, **options: Any
) -> tuple[tuple[float, float] | None, str | None]:
    """:func:`auc_interval`, or None and why there is none: too few patients, or an interval without width.

    Args:
        labels: (n,) 0 or 1, one per patient.
        probability: (n,) of class 1.
        **options: of :func:`auc_interval`.
    """
    interval = auc_interval(labels, probability, **options)
    positive = int(np.sum(labels))
    fault = interval_fault(negative=len(labels) - positive, positive=positive, interval=interval)
    return (None, fault) if fault else (interval, None)


def check_binary(labels: dict[str, int], *, source: str) -> None:
    """Raise a `UserError` naming the patient unless the classes are 0 and 1."""
    for patient, label in labels.items():
        if label not in (0, 1):
            raise UserError(
                f"{source}: patient {patient}",
                expected="class 0 or 1",
                found=label,
                remedy="a probe separates two classes: pass --positive_from, the value from which on a "
                "patient is positive, or map the labels in the data list",
            )
