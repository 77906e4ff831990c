"""Standardise, then logistic regression with an L2 penalty chosen by cross-validation over patients."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit

from monai_cl.engines.probe.folds import stratified_folds
from monai_cl.engines.probe.metrics import patient_means
from monai_cl.errors import UserError
from monai_cl.files import new_file

# inverse strength of the penalty; features are standardised, losses summed over slices of weight 1 on average
C_GRID = tuple(10.0**power for power in range(-6, 2))


@dataclass(frozen=True)
class LinearProbe:
    """A fitted probe; standardisation is folded into the weights, so that it applies to features as they are.

    Attributes:
        weight: (F,) float64.
        bias: float.
        C: the chosen penalty.
    """

    weight: np.ndarray
    bias: float
    C: float

    def slice_probability(self, features: np.ndarray) -> np.ndarray:
        """Probability of class 1 for every slice, (n,), from features (n, F)."""
        return expit(np.asarray(features, dtype=np.float64) @ self.weight + self.bias)

    def patient_probability(
        self, features: np.ndarray, patients: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(patients sorted, mean probability of their slices, number of slices)."""
        return patient_means(self.slice_probability(features), patients)

    def save(self, path: str | os.PathLike) -> Path:
        """Write as ``.npz``: ``weight`` (F,), ``bias``, ``C``."""
        path = Path(path)
        with new_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, weight=self.weight, bias=self.bias, C=self.C)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike) -> LinearProbe:
        """Read what `save` wrote.

        Raises:
            UserError: no such file, or another content.
        """
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                return cls(arrays["weight"], float(arrays["bias"]), float(arrays["C"]))
        except Exception as error:
            raise UserError(path, expected=f"a probe as `python -m monai_cl probe` writes it ({error})") from error


def fit_linear_probe(
    features: np.ndarray,
    patients: np.ndarray,
    labels: np.ndarray,
    *,
    grid: Sequence[float] = C_GRID,
    inner_folds: int = 5,
    balanced: bool = True,
    seed: int = 0,
) -> LinearProbe:
    """Choose C by cross-validation over the patients given, then fit on all of them.

    C is the one of ``grid`` with the smallest log loss of left-out patients' mean probability (the classes weighing
    the same where ``balanced``); of equal ones the smallest. Every patient weighs the same in the fit, however many
    slices it has.

    Args:
        features: (n, F), of the training part only.
        patients: (n,) patient of every slice.
        labels: (n,) 0 or 1.
        grid: values of C to try.
        inner_folds: folds by patient, stratified; fewer where a class has fewer patients.
        balanced: both classes weigh the same, which makes a probability of 0.5 the threshold of balanced accuracy.
        seed: of the inner folds.

    Raises:
        ValueError: an empty grid or a value that is not positive.
        UserError: a class with fewer than two patients, or features that are all constant.
    """
    grid = sorted(map(float, grid))
    if not grid or grid[0] <= 0:
        raise ValueError(f"grid must hold values > 0, got {grid}")
    features = np.asarray(features, dtype=np.float64)
    if not np.ptp(features, axis=0).any():
        raise UserError(
            "features",
            expected="some that differ between slices",
            found=f"{features.shape[1]} constant ones",
            remedy="has the encoder collapsed?",
        )
    if len(grid) == 1:
        C = grid[0]
    else:
        C = _choose(features, patients, labels, grid=grid, inner_folds=inner_folds, balanced=balanced, seed=seed)
    ((weight, bias),) = _fit(features, labels, slice_weights(patients, labels, balanced=balanced), [C])
    return LinearProbe(weight, bias, C)


def slice_weights(patients: np.ndarray, labels: np.ndarray, *, balanced: bool = True) -> np.ndarray:
    """(n,) weights, 1 on average, that give every patient the same sum; and both classes, where ``balanced``."""
    _, first, inverse, counts = np.unique(patients, return_index=True, return_inverse=True, return_counts=True)
    weights = 1.0 / counts
    if balanced:
        classes = np.asarray(labels)[first]
        weights = weights / np.bincount(classes)[classes]
    weights = weights[inverse]
    return weights * (len(weights) / weights.sum())


def _choose(
    features: np.ndarray,
    patients: np.ndarray,
    labels: np.ndarray,
    *,
    grid: Sequence[float],
    inner_folds: int,
    balanced: bool,
    seed: int,
) -> float:
    names, first = np.unique(patients, return_index=True)
    classes = dict(zip(names.tolist(), np.asarray(labels)[first].tolist()))
    smallest = min(list(classes.values()).count(value) for value in (0, 1))
    if smallest < 2:
        raise UserError(
            "probe",
            expected="two patients or more of each class in a training part",
            found=smallest,
            remedy="give each class three patients or more, and use three folds or more",
        )
    inner = stratified_folds(classes, count=min(inner_folds, smallest), seed=seed)
    fold = inner.of(patients)
    weights = slice_weights(patients, labels, balanced=balanced)
    probability = np.empty((len(grid), len(features)))
    for number in range(inner.count):
        train, test = fold != number, fold == number
        for row, (weight, bias) in enumerate(_fit(features[train], labels[train], weights[train], grid)):
            probability[row, test] = expit(features[test] @ weight + bias)
    patient_weight = np.array([weights[patients == name].sum() for name in names])
    truth = np.array([classes[name] for name in names.tolist()])
    losses = [_log_loss(truth, patient_means(row, patients)[1], patient_weight) for row in probability]
    # differences at the solver's tolerance are none
    return grid[int(np.argmin(np.round(losses, 6)))]


def _log_loss(labels: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> float:
    p = np.clip(np.where(labels == 1, probability, 1 - probability), 1e-9, None)
    return float(-(weights * np.log(p)).sum() / weights.sum())


def _fit(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, grid: Sequence[float]
) -> Iterator[tuple[np.ndarray, float]]:
    """(weight, bias) for every C, on features as they are; standardisation is of these slices alone."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    scaled = scaler.fit_transform(features)
    # measured on 2900 slices x 512 features: lbfgs is 6 times faster than newton-cholesky and liblinear
    model = LogisticRegression(solver="lbfgs", tol=1e-5, max_iter=5000)
    for C in grid:
        model.set_params(C=C).fit(scaled, labels, sample_weight=weights)
        weight = model.coef_[0] / scaler.scale_
        yield weight, float(model.intercept_[0] - weight @ scaler.mean_)
