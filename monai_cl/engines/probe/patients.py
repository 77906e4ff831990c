"""Frozen features evaluated by patient: a linear probe in stratified cross-validation, as the WSP paper does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_cl.data.slices.features import UNKNOWN, SliceFeatures
from monai_cl.engines.probe.folds import PatientFolds, stratified_folds
from monai_cl.engines.probe.linear import fit_linear_probe
from monai_cl.engines.probe.metrics import CONFIDENCE, auc, balanced_accuracy, check_binary, sound_interval


@dataclass(frozen=True)
class ProbeResult:
    """Out-of-fold predictions, one per patient, sorted by patient id.

    Attributes:
        patients: (p,) ids.
        labels: (p,) 0 or 1.
        probability: (p,) mean over the patient's slices of the probability of class 1, from the fold that left the
            patient out.
        slices: (p,) number of slices.
        fold: (p,) the fold the patient was tested in.
        C: penalty chosen in each fold.
        folds: the folds.
        unlabelled: patients left out because their class is not known.
        interval: bootstrap interval of the pooled AUC; None where ``interval_note`` says why there is none.
    """

    patients: np.ndarray
    labels: np.ndarray
    probability: np.ndarray
    slices: np.ndarray
    fold: np.ndarray
    C: tuple[float, ...]
    folds: PatientFolds
    unlabelled: tuple[str, ...]
    interval: tuple[float, float] | None
    interval_note: str | None = None

    def metrics(self) -> dict[str, Any]:
        """What ``results.json`` holds: by fold, mean and standard deviation (n − 1) over folds, pooled, by patient."""
        by_fold = []
        for number, C in enumerate(self.C):
            part = self.fold == number
            labels, probability = self.labels[part], self.probability[part]
            by_fold.append(
                {
                    "fold": number,
                    "patients": int(part.sum()),
                    "positive": int(labels.sum()),
                    "auc": auc(labels, probability),
                    "balanced_accuracy": balanced_accuracy(labels, probability),
                    "C": C,
                }
            )
        spread = {name: [entry[name] for entry in by_fold] for name in ("auc", "balanced_accuracy")}
        return {
            **{name: float(np.mean(values)) for name, values in spread.items()},
            **{f"{name}_std": float(np.std(values, ddof=1)) for name, values in spread.items()},
            "auc_pooled": auc(self.labels, self.probability),
            "auc_interval": None if self.interval is None else list(self.interval),
            "auc_interval_note": self.interval_note,
            "confidence": CONFIDENCE,
            "patients": len(self.patients),
            "positive": int(self.labels.sum()),
            "slices": int(self.slices.sum()),
            "unlabelled_patients": len(self.unlabelled),
            "folds_sha256": self.folds.sha256,
            "folds": by_fold,
            "per_patient": [
                {"patient": p, "fold": f, "label": y, "probability": q, "n_slices": n}
                for p, f, y, q, n in zip(
                    self.patients.tolist(),
                    self.fold.tolist(),
                    self.labels.tolist(),
                    self.probability.tolist(),
                    self.slices.tolist(),
                )
            ],
        }


def probe_patients(
    features: SliceFeatures,
    *,
    folds: PatientFolds | None = None,
    fold_count: int = 5,
    seed: int = 0,
    resamples: int = 2000,
    **options: Any,
) -> ProbeResult:
    """Cross-validated linear probe: standardise → L2 logistic regression → mean probability per patient.

    Everything that is learnt (mean, standard deviation, C, weights) is learnt in a fold's training part, in which no
    patient of its test part is. The result depends neither on the order of the slices nor on other methods' features.

    Args:
        features: of every kept slice; slices of patients without a known class are left out and counted.
        folds: folds of exactly the patients with a class; None makes them by `stratified_folds`.
        fold_count: number of the folds that are made where ``folds`` is None.
        seed: of the folds that are made, of the inner folds and of the bootstrap.
        resamples: bootstrap resamples of the interval of the pooled out-of-fold AUC, see `auc_interval`.
        **options: of `fit_linear_probe`.

    Raises:
        ValueError: an option out of range.
        UserError: a patient with two classes, a class other than 0 and 1, one with fewer patients than folds, folds of
            other patients, constant features.
    """
    known = features.label != UNKNOWN
    labels = features.patient_labels()
    check_binary(labels, source=features.source)
    unlabelled = sorted(set(features.patient[~known].tolist()))
    # one order whatever the order of the slices was: sums in floating point depend on it
    order = np.lexsort((features.slice, features.patient))
    order = order[known[order]]
    X, patient, y = (getattr(features, name)[order] for name in ("features", "patient", "label"))
    folds = stratified_folds(labels, count=fold_count, seed=seed, source=features.source) if folds is None else folds
    folds.require(labels)
    folds.require_classes(labels)

    fold, probability, chosen = folds.of(patient), np.full(len(X), np.nan), []
    for number in range(folds.count):
        train, test = fold != number, fold == number
        fitted = fit_linear_probe(X[train], patient[train], y[train], seed=seed, **options)
        probability[test] = fitted.slice_probability(X[test])
        chosen.append(fitted.C)

    names, first, inverse, counts = np.unique(patient, return_index=True, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=probability) / counts
    interval, note = sound_interval(y[first], means, resamples=resamples, seed=seed)
    return ProbeResult(
        patients=names,
        labels=y[first],
        probability=means,
        slices=counts,
        fold=fold[first],
        C=tuple(chosen),
        folds=folds,
        unlabelled=tuple(unlabelled),
        interval=interval,
        interval_note=note,
    )
