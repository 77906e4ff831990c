"""The numbers of a study's table: mean ± sd, paired differences with their intervals, wins."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_cl.report.statistics import nested_interval

# seed -> (setting, fold, case) -> value
Values = Mapping[Any, Mapping[Hashable, float]]


@dataclass(frozen=True)
class Mean:
    """Of one arm in one column.

    Attributes:
        mean: over seeds, of the mean over cases; None without a value.
        deviation: standard deviation of these means between seeds (n - 1), or of a study with one seed between folds;
            None with fewer than two.
        seeds, cases: how many.
    """

    mean: float | None
    deviation: float | None
    seeds: int
    cases: int


@dataclass(frozen=True)
class Difference:
    """An arm less its control, over the pairs (seed, case) that both have.

    Attributes:
        mean: None without a pair.
        interval: 95 % bootstrap over seeds and patients; None with too few pairs.
        wins, losses: pairs in which the arm is higher, or lower.
        pairs: how many.
    """

    mean: float | None
    interval: tuple[float, float] | None
    wins: int
    losses: int
    pairs: int


def mean_of(values: Values) -> Mean:
    """Mean and deviation between seeds.

    Args:
        values: seed -> case -> value; seeds without a value do not count.
    """
    means = [float(np.mean(list(cases.values()))) for cases in values.values() if cases]
    cases = {case for found in values.values() for case in found}
    if not means:
        return Mean(None, None, 0, 0)
    deviation = float(np.std(means, ddof=1)) if len(means) > 1 else None
    return Mean(float(np.mean(means)), deviation, len(means), len(cases))


def difference_of(arm: Values, control: Values, patients: Mapping[Any, Hashable] | None = None) -> Difference:
    """Paired difference of two arms.

    Args:
        arm: seed -> case -> value.
        control: likewise; pairs are those of the same seed and case.
        patients: case -> its patient, who is drawn with all his cases; None: each case is a patient of its own.
    """
    seeds = [seed for seed in arm if seed in control and arm[seed].keys() & control[seed].keys()]
    cases = sorted({case for seed in seeds for case in arm[seed].keys() & control[seed].keys()}, key=repr)
    if not seeds:
        return Difference(None, None, 0, 0, 0)
    pairs = np.full((len(seeds), len(cases)), np.nan)
    for i, seed in enumerate(seeds):
        for j, case in enumerate(cases):
            if case in arm[seed] and case in control[seed]:
                pairs[i, j] = arm[seed][case] - control[seed][case]
    known = pairs[np.isfinite(pairs)]
    return Difference(
        mean=float(known.mean()),
        interval=nested_interval(pairs, None if patients is None else [patients[case] for case in cases]),
        wins=int((known > 0).sum()),
        losses=int((known < 0).sum()),
        pairs=len(known),
    )


def pooled(parts: Sequence[tuple[Any, Hashable, Mapping[str, Any]]]) -> dict[Any, dict[Hashable, Any]]:
    """Values of several settings and folds as one: seed -> (place, case) -> value.

    Args:
        parts: seed, place (setting and fold), case -> value.
    """
    found: dict[Any, dict[Hashable, Any]] = {}
    for seed, place, values in parts:
        found.setdefault(seed, {}).update({(place, case): value for case, value in values.items()})
    return found
