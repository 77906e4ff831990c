"""Paired differences by case: mean, bootstrap interval and Wilcoxon's test, or the statement that there are too few."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Two-sided, Wilcoxon's smallest possible p is 2 / 2^n: with five pairs .0625, so no result could be significant. With
# so few values a percentile interval is also too narrow to print as "95 %".
MINIMUM_PAIRS = 6
_RESAMPLES, _CONFIDENCE = 10_000, 0.95


@dataclass(frozen=True)
class PairedDifference:
    """``b - a`` over the cases, or the seeds and cases, that both have.

    Attributes:
        pairs: number of cases, or of seeds and cases, with both values.
        mean: mean difference, None without pairs.
        low, high: bootstrap interval of the mean, None with fewer than ``MINIMUM_PAIRS`` pairs of a seed and a patient.
        p_value: Wilcoxon signed-rank, two-sided, None with fewer than ``MINIMUM_PAIRS`` patients that differ.
        note: why something is None, else empty.
        seeds: number of seeds, 1 where the values are paired by case only.
        differences: of each case, mean over seeds.
    """

    pairs: int
    mean: float | None
    low: float | None
    high: float | None
    p_value: float | None
    note: str
    seeds: int = 1
    differences: tuple[float, ...] = ()


def paired_difference(
    a: Mapping[str, float], b: Mapping[str, float], patients: Mapping[str, Hashable] | None = None
) -> PairedDifference:
    """Compare two sets of values paired by case id; ids that only one of them has are left out.

    The interval is a percentile bootstrap of 95 % over the patients (not seeds: the runs are taken as given), whose
    order does not matter.

    Args:
        a: case id -> value of the first set.
        b: case id -> value of the second set.
        patients: case id -> its patient, see `seed_difference`.
    """
    ids = sorted(a.keys() & b.keys())
    return seed_difference(np.array([[b[case] - a[case] for case in ids]]), [(patients or {}).get(i, i) for i in ids])


def seed_difference(differences: np.ndarray, patients: Sequence[Hashable] | None = None) -> PairedDifference:
    """Paired differences of several seeds: the interval is over seeds and patients, the test over each patient's mean.

    Args:
        differences: (seeds, cases), nan where a case has no pair for a seed.
        patients: of each case: two scans of one patient say little more than one. None: each case is a patient.
    """
    known = np.isfinite(differences)
    seeds, pairs = int(known.any(axis=1).sum()), int(known.sum())
    if pairs == 0:
        return PairedDifference(0, None, None, None, None, "no case has both values")
    seen, keys = known.any(axis=0), tuple(range(differences.shape[1]) if patients is None else patients)
    cases = np.nanmean(differences[:, seen], axis=0)
    of_patient: dict[Hashable, list[float]] = defaultdict(list)
    for place, value in zip(np.flatnonzero(seen), cases):
        of_patient[keys[place]].append(value)
    unit = "patients" if len(of_patient) < len(cases) else "cases"
    low, high = _seed_interval(differences.tobytes(), differences.shape, keys) or (None, None)
    if low is None:
        found = f"{pairs} pair{'s' if pairs > 1 else ''}" + (
            f" of {len(of_patient)} patients" if unit == "patients" else ""
        )
        p_value, note = None, f"{found}: too few for an interval or a test ({MINIMUM_PAIRS} needed)"
    else:
        p_value, note = _test(np.array([np.mean(values) for values in of_patient.values()]), unit)
    mean = float(differences[known].mean())
    return PairedDifference(pairs, mean, low, high, p_value, note, seeds=seeds, differences=tuple(cases.tolist()))


@functools.lru_cache(maxsize=256)  # table and figure of a report ask for the same
def _seed_interval(
    content: bytes, shape: tuple[int, int], patients: tuple[Hashable, ...]
) -> tuple[float, float] | None:
    return nested_interval(np.frombuffer(content).reshape(shape), patients)


def _test(differences: np.ndarray, unit: str) -> tuple[float | None, str]:
    """Wilcoxon's p, or None and why there is none."""
    # Differences that are only rounding of equal values (a mean over seeds) have no sign.
    moved = differences[np.abs(differences) > 1e-12]
    if len(moved) < MINIMUM_PAIRS:
        of = f"{len(moved)} of {len(differences)} pairs differ" if len(differences) >= MINIMUM_PAIRS else ""
        return None, f"{of or f'{len(differences)} {unit}'}: too few for a test ({MINIMUM_PAIRS} needed)"
    return _wilcoxon(moved), ""


def _wilcoxon(differences: np.ndarray) -> float:
    from scipy.stats import wilcoxon

    # values equal up to rounding must be ties: scipy takes the exact distribution for ranks without ties only
    return float(wilcoxon(np.round(differences, 12)).pvalue)


def nested_interval(differences: np.ndarray, patients: Sequence[Hashable] | None = None) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of the mean of paired differences: seeds are resampled, and patients in them.

    Args:
        differences: (seeds, cases); nan where a case has no pair for a seed.
        patients: of each case; all cases of a drawn patient come along. None: each case is a patient of its own.

    Returns:
        the interval; None with fewer than `MINIMUM_PAIRS` pairs of a seed and a patient.

    Raises:
        ValueError: not a patient for each case.
    """
    seeds, cases = differences.shape
    patients = range(cases) if patients is None else patients
    if len(patients) != cases:
        raise ValueError(f"expected a patient of each of {cases} cases, got {len(patients)}")
    number = {patient: i for i, patient in enumerate(dict.fromkeys(patients))}
    columns_of = np.array([number[patient] for patient in patients])
    sums, counts = np.zeros((2, seeds, len(number)))
    known = np.isfinite(differences)
    for found, values in ((sums, np.where(known, differences, 0.0)), (counts, known)):
        np.add.at(found, (slice(None), columns_of), values)
    if (counts > 0).sum() < MINIMUM_PAIRS:
        return None
    rng = np.random.default_rng(0)
    means = np.full(_RESAMPLES, np.nan)
    # all at once would need an array of resamples x seeds x patients
    batch = max(1, 2_000_000 // sums.size)
    for start in range(0, _RESAMPLES, batch):
        sizes = [(seeds, len(number))] * min(batch, _RESAMPLES - start)
        drawn = [[rng.integers(size, size=size) for size in both] for both in sizes]
        rows, columns = (np.stack(indices) for indices in zip(*drawn))
        place = (rows[:, :, None], columns[:, None, :])
        count = counts[place].sum(axis=(1, 2))
        hit = count > 0  # a resample may hit no pair
        means[start : start + batch][hit] = sums[place].sum(axis=(1, 2))[hit] / count[hit]
    low, high = np.nanquantile(means, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return float(low), float(high)
