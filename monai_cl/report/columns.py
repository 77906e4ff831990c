"""A column of a comparison: runs of one start and the same settings, their Dice per case and per seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean, stdev

import numpy as np

from monai_cl.report.runs import Run
from monai_cl.report.statistics import PairedDifference, paired_difference, seed_difference

MEAN = "mean"


@dataclass(frozen=True)
class Column:
    """The runs of one initialisation and the same settings (seeds, folds).

    Attributes:
        label: short name.
        runs: the runs, in the order given.
        organs: organs of the comparison, in its order.
        shared_organs: those that the mean is over.
    """

    label: str
    runs: tuple[Run, ...]
    organs: tuple[str, ...]
    shared_organs: tuple[str, ...]

    @property
    def seeds(self) -> list[int]:
        return sorted({run.seed for run in self.runs})

    @cached_property
    def failed(self) -> tuple[Run, ...]:
        """Those of the runs with Dice 0 in every organ of every case."""
        return tuple(run for run in self.runs if has_failed(run))

    @property
    def sound(self) -> Column:
        """The column without its failed runs."""
        return replace(self, runs=tuple(run for run in self.runs if run not in self.failed)) if self.failed else self

    @cached_property
    def dice(self) -> dict[str, dict[str, float]]:
        """Organ (or :data:`MEAN`) -> case id -> Dice as a fraction, mean over the runs that saw the case."""
        return case_dice(self.runs, self.organs, self.shared_organs)

    @cached_property
    def seed_dice(self) -> dict[int, dict[str, dict[str, float]]]:
        """Seed -> as ``dice``, of the runs with that seed."""
        by_seed: dict[int, list[Run]] = defaultdict(list)
        for run in self.runs:
            by_seed[run.seed].append(run)
        return {seed: case_dice(runs, self.organs, self.shared_organs) for seed, runs in sorted(by_seed.items())}

    @cached_property
    def seed_deviation(self) -> dict[str, float]:
        """Organ (or :data:`MEAN`) -> standard deviation between seeds of the mean over cases; an organ is missing here
        unless there are two seeds and all saw the same cases."""
        tables = list(self.seed_dice.values())
        return {
            organ: stdev(fmean(table[organ].values()) for table in tables)
            for organ in (*self.organs, MEAN)
            if len(tables) > 1 and tables[0][organ] and len({frozenset(table[organ]) for table in tables}) == 1
        }

    def mean(self, organ: str) -> float | None:
        """Mean over the cases that have the organ."""
        values = self.dice[organ].values()
        return fmean(values) if values else None


def column_difference(reference: Column, column: Column, organ: str = MEAN) -> PairedDifference:
    """Dice of ``column`` less that of ``reference``: by seed and case where they share two seeds or more, else by case.

    Args:
        reference: what is subtracted.
        column: the other one, of the same comparison.
        organ: one of its organs, or `MEAN`.
    """
    patients = patients_of((*reference.runs, *column.runs))
    seeds = [number for number in reference.seed_dice if number in column.seed_dice]
    if len(seeds) < 2:
        return paired_difference(reference.dice[organ], column.dice[organ], patients)
    before, after = ([part.seed_dice[number][organ] for number in seeds] for part in (reference, column))
    cases = sorted({case for first, second in zip(before, after) for case in first.keys() & second.keys()})
    pairs = np.array(
        [
            [second.get(case, np.nan) - first.get(case, np.nan) for case in cases]
            for first, second in zip(before, after, strict=True)
        ]
    )
    return seed_difference(pairs, [patients[case] for case in cases])


def patients_of(runs: Iterable[Run]) -> dict[str, str]:
    """Case -> its patient; the case itself where a run does not say."""
    return {case["id"]: case.get("patient") or case["id"] for run in runs for case in run.per_case}


def case_dice(runs: Sequence[Run], organs: Sequence[str], mean_over: Sequence[str]) -> dict[str, dict[str, float]]:
    """Organ -> case -> mean over runs, plus :data:`MEAN`; a case without a value for an organ is not in its dict.

    Args:
        runs: segmentation runs.
        organs: whose Dice is taken.
        mean_over: organs of the mean.
    """
    values: dict[str, dict[str, list[float]]] = {organ: defaultdict(list) for organ in (*organs, MEAN)}
    for run in runs:
        for case in run.per_case:
            present = {organ: value for organ, value in case["dice"].items() if value is not None}
            for organ, value in present.items():
                values[organ][case["id"]].append(value)
            shared = [present[organ] for organ in mean_over if organ in present]
            if shared:
                values[MEAN][case["id"]].append(fmean(shared))
    return {organ: {case: fmean(dice) for case, dice in cases.items()} for organ, cases in values.items()}


def organs_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """Organs of the runs, in the order of their results."""
    return tuple(dict.fromkeys(organ for run in runs for case in run.per_case for organ in case["dice"]))


def mean_dice(run: Run) -> float | None:
    """The run's own mean Dice, taken as in a comparison: over cases, of the mean over a case's organs."""
    means: Mapping[str, float] = case_dice([run], organs_of([run]), organs_of([run]))[MEAN]
    return fmean(means.values()) if means else None


def has_failed(run: Run) -> bool:
    """Whether a validated run has Dice 0 in every organ of every case that has it."""
    values = [value for case in run.per_case for value in case["dice"].values() if value is not None]
    return bool(values) and not any(values)
