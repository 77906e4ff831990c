"""Paired differences by case: mean, bootstrap interval and Wilcoxon's test, or the statement that there are too few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# Two-sided, Wilcoxon's smallest possible p is 2 / 2^n: with five pairs .0625, so no result could be significant. With
# so few values a percentile interval is also too narrow to print as "95 %".
MINIMUM_PAIRS = 6


@dataclass(frozen=True)
class PairedDifference:
    """``b - a`` over the cases that both have.

    Attributes:
        pairs: number of cases with both values.
        mean: mean difference, None without pairs.
        low, high: bootstrap interval of the mean, None with fewer than ``MINIMUM_PAIRS`` pairs.
        p_value: Wilcoxon signed-rank, two-sided, None with fewer than ``MINIMUM_PAIRS`` pairs that differ.
        note: why something is None, else empty.
    """

    pairs: int
    mean: float | None
    low: float | None
    high: float | None
    p_value: float | None
    note: str


def paired_difference(
    a: Mapping[str, float],
    b: Mapping[str, float],
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> PairedDifference:
    """Compare two sets of values paired by case id; ids that only one of them has are left out.

    Args:
        a: case id -> value of the first set.
        b: case id -> value of the second set.
        confidence: coverage of the percentile bootstrap interval of the mean difference, in (0, 1).
        resamples: bootstrap resamples of the cases (not of seeds: the runs are taken as given).
        seed: seed of the bootstrap; the order of the cases does not matter.

    Raises:
        ValueError: for ``confidence`` outside (0, 1) or ``resamples`` below 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples must be >= 1, got {resamples}")
    ids = sorted(a.keys() & b.keys())
    differences = np.array([b[case] - a[case] for case in ids], dtype=np.float64)
    n = len(ids)
    if n == 0:
        return PairedDifference(0, None, None, None, None, "no case has both values")
    mean = float(differences.mean())
    if n < MINIMUM_PAIRS:
        note = f"{n} pair{'s' if n > 1 else ''}: too few for an interval or a test ({MINIMUM_PAIRS} needed)"
        return PairedDifference(n, mean, None, None, None, note)
    low, high = _bootstrap_interval(differences, confidence=confidence, resamples=resamples, seed=seed)
    # Differences that are only rounding of equal values (a mean over seeds) have no sign.
    moved = differences[np.abs(differences) > 1e-12]
    if len(moved) < MINIMUM_PAIRS:
        note = f"{len(moved)} of {n} pairs differ: too few for a test ({MINIMUM_PAIRS} needed)"
        return PairedDifference(n, mean, low, high, None, note)
    return PairedDifference(n, mean, low, high, _wilcoxon(moved), "")


def _bootstrap_interval(values: np.ndarray, *, confidence: float, resamples: int, seed: int) -> tuple[float, float]:
    from scipy.stats import bootstrap

    interval = bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        # so that thousands of cases do not need an array of resamples x cases
        batch=max(1, 2_000_000 // len(values)),
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _wilcoxon(differences: np.ndarray) -> float:
    from scipy.stats import wilcoxon

    # values equal up to rounding must be ties: scipy takes the exact distribution for ranks without ties only
    return float(wilcoxon(np.round(differences, 12)).pvalue)


def nested_interval(
    differences: np.ndarray, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the mean of paired differences: seeds are resampled, and cases within them.

    Args:
        differences: (seeds, cases); nan where a case has no pair for a seed.
        confidence: coverage, in (0, 1).
        resamples: of seeds and cases.
        seed: of the bootstrap.

    Returns:
        the interval; None with fewer than `MINIMUM_PAIRS` pairs.
    """
    if np.isfinite(differences).sum() < MINIMUM_PAIRS:
        return None
    rng = np.random.default_rng(seed)
    seeds, cases = differences.shape
    means = np.full(resamples, np.nan)
    for i in range(resamples):
        drawn = differences[rng.integers(seeds, size=seeds)][:, rng.integers(cases, size=cases)]
        known = drawn[np.isfinite(drawn)]
        if len(known):  # a resample may hit no pair
            means[i] = known.mean()
    low, high = np.nanquantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
