"""How well frozen features predict where in the body a slice lies: ridge regression, tested on unseen patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monai_cl.data.slices.features import SliceFeatures
from monai_cl.engines.probe.folds import PatientFolds, grouped_folds
from monai_cl.errors import UserError

ALPHA_GRID = tuple(10.0**power for power in range(-1, 7))


@dataclass(frozen=True)
class DepthResult:
    """R² of depth.

    Attributes:
        r2: R² over the slices of each fold's test part.
        alpha: penalty chosen in each fold.
        slices: slices with a known depth.
    """

    r2: tuple[float, ...]
    alpha: tuple[float, ...]
    slices: int

    @property
    def mean(self) -> float:
        """Mean R² over folds."""
        return float(np.mean(self.r2))

    @property
    def std(self) -> float:
        """Standard deviation (n − 1) over folds."""
        return float(np.std(self.r2, ddof=1))


def probe_depth(
    features: SliceFeatures,
    *,
    folds: PatientFolds | None = None,
    fold_count: int = 5,
    seed: int = 0,
    grid: Sequence[float] = ALPHA_GRID,
) -> DepthResult:
    """Standardise → ridge regression of depth, its penalty chosen inside the training part, on five folds by patient.

    Labels are not used; slices without a depth are left out. R² is against the mean of the test part itself, so
    guessing that mean gives 0, and negative values are possible.

    Args:
        features: of every kept slice.
        folds: folds of the patients; may contain other patients too; None makes them from the patients' ids.
        fold_count: number of the folds that are made where ``folds`` is None.
        seed: of the folds that are made and of the inner folds.
        grid: penalties to try.

    Raises:
        ValueError: an empty grid or a value that is not positive.
        UserError: no depth, fewer patients than folds, folds that do not cover a patient, one depth for all.
    """
    if not len(grid) or min(grid) <= 0:
        raise ValueError(f"grid must hold values > 0, got {list(grid)}")
    order = np.lexsort((features.slice, features.patient))
    order = order[np.isfinite(features.depth[order])]
    X, patient, depth = (getattr(features, name)[order] for name in ("features", "patient", "depth"))
    if not len(X) or np.ptp(depth) == 0:
        raise UserError(features.source, expected="slices with differing depths", found=len(set(depth.tolist())))
    X, depth = X.astype(np.float64), depth.astype(np.float64)
    folds = (
        grouped_folds(patient.tolist(), count=fold_count, seed=seed, source=features.source) if folds is None else folds
    )
    without = set(patient.tolist()) - set(folds.fold)
    if without:
        folds.require(patient.tolist())
    fold, grid = folds.of(patient), sorted(map(float, grid))
    scores, chosen = [], []
    for number in np.unique(fold):
        train, test = fold != number, fold == number
        fitted = fit_depth(X[train], depth[train], patient[train], grid=grid, seed=seed)
        scores.append(_r2(depth[test], fitted(X[test])))
        chosen.append(fitted.alpha)
    return DepthResult(tuple(scores), tuple(chosen), len(X))


@dataclass(frozen=True)
class DepthProbe:
    """A fitted ridge regression of depth: call it with features (n, F) for depths (n,).

    Attributes:
        features, depth: what it was fitted on.
        alpha: the penalty that was chosen.
    """

    features: np.ndarray
    depth: np.ndarray
    alpha: float

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return _ridge(self.features, self.depth, np.asarray(features, dtype=np.float64), [self.alpha])[:, 0]


def fit_depth(
    features: np.ndarray, depth: np.ndarray, patient: np.ndarray, *, grid: Sequence[float] = ALPHA_GRID, seed: int = 0
) -> DepthProbe:
    """Choose the penalty by cross-validation over these patients, then fit on all of their slices.

    Args:
        features: (n, F); depth: (n,); patient: (n,) of every slice.
        grid, seed: see `probe_depth`. With a single patient the strongest penalty is used.
    """
    X, depth, patient = np.asarray(features, np.float64), np.asarray(depth, np.float64), np.asarray(patient).astype(str)
    grid = sorted(map(float, grid))
    names = np.unique(patient)
    if len(names) < 2:  # no other patient to choose by
        return DepthProbe(X, depth, grid[-1])
    inner = grouped_folds(patient.tolist(), count=min(5, len(names)), seed=seed).of(patient)
    errors = np.zeros(len(grid))
    for part in np.unique(inner):
        validation = inner == part
        errors += (
            (_ridge(X[~validation], depth[~validation], X[validation], grid) - depth[validation, None]) ** 2
        ).sum(0)
    # of equal scores the strongest penalty, as for the classifier
    alpha = grid[len(grid) - 1 - int(np.argmin(np.round(errors[::-1] / len(X), 12)))]
    return DepthProbe(X, depth, alpha)


def _ridge(train: np.ndarray, target: np.ndarray, test: np.ndarray, grid: Sequence[float]) -> np.ndarray:
    """Predictions (n_test, len(grid)), one column per penalty; the Gram matrix is computed once for all."""
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train)
    model = Ridge(alpha=np.array(grid), solver="cholesky")
    model.fit(scaler.transform(train), np.repeat(target[:, None], len(grid), axis=1))
    return model.predict(scaler.transform(test)).reshape(len(test), len(grid))


def _r2(truth: np.ndarray, predicted: np.ndarray) -> float:
    from sklearn.metrics import r2_score

    if len(truth) < 2 or np.ptp(truth) == 0:
        raise UserError(
            "depth", expected="several depths in every fold's test part", found=f"{len(truth)} slices of one"
        )
    return float(r2_score(truth, predicted))
