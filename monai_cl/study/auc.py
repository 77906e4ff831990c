"""The AUC of a column: over the patients of all its settings and folds, seed by seed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from monai_cl.report.auc_comparison import auc_difference
from monai_cl.study.table import Difference, Mean

# seed -> (setting, fold, patient) -> label 0 or 1, probability
Predictions = Mapping[Any, Mapping[Hashable, tuple[int, float]]]


def auc_mean(predictions: Predictions) -> Mean:
    """Mean and deviation of the AUC between seeds.

    Args:
        predictions: seed -> patient -> (label, probability); seeds without patients of both classes do not count.
    """
    aucs = [found for found in (_auc(patients) for patients in predictions.values()) if found is not None]
    patients = {patient for found in predictions.values() for patient in found}
    if not aucs:
        return Mean(None, None, 0, 0)
    return Mean(float(np.mean(aucs)), float(np.std(aucs, ddof=1)) if len(aucs) > 1 else None, len(aucs), len(patients))


def auc_gain(arm: Predictions, control: Predictions, patients: Mapping[Any, Hashable] | None = None) -> Difference:
    """AUC of an arm less that of its control, over the seeds that both have and the patients that all of them have.

    Args:
        arm: seed -> patient -> (label, probability).
        control: likewise, with the same labels.
        patients: key of a prediction -> its patient, who is drawn with all predictions; None: each is a patient's own.

    Returns:
        the difference; its pairs, wins and losses count seeds.

    Raises:
        ValueError: a patient has two labels.
    """
    seeds = [seed for seed in arm if seed in control]
    runs = [table[seed] for table in (control, arm) for seed in seeds]
    keys = sorted(set.intersection(*(set(run) for run in runs)), key=repr) if runs else []
    labels = np.array([runs[0][key][0] for key in keys], dtype=int)
    if any(run[key][0] != label for run in runs for key, label in zip(keys, labels, strict=True)):
        raise ValueError("the same patient must have the same label in every run")
    if set(labels.tolist()) != {0, 1}:
        return Difference(None, None, 0, 0, 0)
    scores = np.array([[run[key][1] for key in keys] for run in runs])  # (2 x seeds, predictions)
    named = None if patients is None else [patients[key] for key in keys]
    found = auc_difference(labels, scores[: len(seeds)], scores[len(seeds) :], named)
    return Difference(
        mean=found.mean,
        interval=found.interval,
        wins=sum(gain > 0 for gain in found.by_seed),
        losses=sum(gain < 0 for gain in found.by_seed),
        pairs=found.seeds,
    )


def _auc(patients: Mapping[Hashable, tuple[int, float]]) -> float | None:
    labels = [label for label, _ in patients.values()]
    if set(labels) != {0, 1}:
        return None
    return float(roc_auc_score(labels, [score for _, score in patients.values()]))
