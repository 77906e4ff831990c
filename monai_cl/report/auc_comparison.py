"""Two ways to train compared by the AUC of the same patients, seed by seed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from monai_cl.data.records.classes import interval_fault

_RESAMPLES, _AT_ONCE = 10_000, 500


@dataclass(frozen=True)
class AUCDifference:
    """AUC of a second way to train less that of a first, mean over seeds.

    Attributes:
        first, second: mean AUC over seeds.
        mean: second less first.
        interval: 95 %, of a bootstrap over seeds and patients; None where there are too few patients.
        note: why there is no interval, else None.
        seeds, patients: their numbers.
        by_seed: the difference for each seed.
    """

    first: float
    second: float
    mean: float
    interval: tuple[float, float] | None
    note: str | None
    seeds: int
    patients: int
    by_seed: tuple[float, ...]


def auc_difference(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, patients: Sequence[Hashable] | None = None
) -> AUCDifference:
    """Compare probabilities of the same patients, seed by seed.

    Seeds are drawn with replacement, and patients within their class, the same for both.

    Args:
        labels: (n,) 0 or 1.
        first: (s, n) probabilities of s runs.
        second: (s, n), of the runs with the same seeds.
        patients: of each of the n: what is of one patient is drawn together. None: each is a patient.

    Raises:
        ValueError: shapes that do not fit, or one class only.
    """
    labels = np.asarray(labels)
    runs = np.stack([np.atleast_2d(np.asarray(part, dtype=np.float64)) for part in (first, second)])  # (2, s, n)
    if runs.shape[2:] != labels.shape:
        raise ValueError(f"probabilities must be (s, {len(labels)}), got {runs.shape[1:]}")
    if set(np.unique(labels).tolist()) != {0, 1}:
        raise ValueError(f"labels must hold both 0 and 1, got {sorted(set(labels.tolist()))}")
    positive, negative = runs[..., labels == 1], runs[..., labels == 0]
    wins = np.sign(positive[..., :, None] - negative[..., None, :]) / 2 + 0.5  # (2, s, pairs)
    aucs = wins.mean((2, 3))
    gain = wins[1] - wins[0]  # (s, positive, negative)
    names = (
        np.arange(len(labels))
        if patients is None
        else np.unique([repr(one) for one in patients], return_inverse=True)[1]
    )
    groups = [np.arange(len(gain)), *(np.unique(names[labels == label], return_inverse=True)[1] for label in (1, 0))]
    rng = np.random.default_rng(0)
    drawn, (count, n, m) = np.empty(_RESAMPLES), (int(group.max()) + 1 for group in groups)
    for start in range(0, _RESAMPLES, _AT_ONCE):
        # how often each seed, patient of class 1 and patient of class 0 is drawn, as shares
        draws = [[_shares(rng, group) for group in groups] for _ in range(_AT_ONCE)]
        seeds, rows, columns = (np.stack(part) for part in zip(*draws))
        by_seed = [((rows @ one) * columns).sum(1) for one in gain]
        drawn[start : start + _AT_ONCE] = (seeds * np.stack(by_seed, axis=1)).sum(1)
    low, high = (float(value) for value in np.quantile(drawn, [0.025, 0.975]))
    note = interval_fault(negative=m, positive=n, interval=(low, high))
    return AUCDifference(
        first=float(aucs[0].mean()),
        second=float(aucs[1].mean()),
        mean=float(aucs[1].mean() - aucs[0].mean()),
        interval=None if note else (low, high),
        note=note,
        seeds=count,
        patients=n + m,
        by_seed=tuple((aucs[1] - aucs[0]).tolist()),
    )


def _shares(rng: np.random.Generator, group: np.ndarray) -> np.ndarray:
    """How often each of the members of groups 0, 1, … is drawn, as a share; whole groups are."""
    count = int(group.max()) + 1
    times = np.bincount(rng.integers(count, size=count), minlength=count)[group]
    return times / times.sum()
