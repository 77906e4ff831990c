"""Segmentation runs put side by side: one comparison per data list and label share, one column per initialisation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from monai_cl.report.runs import SCRATCH, Run, initialisation_labels

MEAN = "mean"


@dataclass(frozen=True)
class Column:
    """The runs of one initialisation (seeds, folds) and their values per case.

    Attributes:
        label: short name.
        runs: the runs, in the order given.
        dice: organ (or :data:`MEAN`) -> case id -> Dice as a fraction, mean over the runs that saw the case.
        seed_deviation: organ (or :data:`MEAN`) -> standard deviation between seeds of the mean over cases; an organ is
            missing here unless there are two seeds and all saw the same cases.
    """

    label: str
    runs: tuple[Run, ...]
    dice: dict[str, dict[str, float]]
    seed_deviation: dict[str, float]

    @property
    def seeds(self) -> list[int]:
        return sorted({run.seed for run in self.runs})

    def mean(self, organ: str) -> float | None:
        """Mean over the cases that have the organ."""
        values = self.dice[organ]
        return fmean(values.values()) if values else None


@dataclass(frozen=True)
class Comparison:
    """Columns that may be compared: same data list, same share of its labels; folds and seeds are pooled.

    Attributes:
        title: name of the data list and label share.
        organs: organs in the order of the results.
        shared_organs: those every column has; the mean is over them.
        cases: case ids, sorted.
        columns: scratch first, then in the order given.
        notes: what a reader has to know.
    """

    title: str
    organs: tuple[str, ...]
    shared_organs: tuple[str, ...]
    cases: tuple[str, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...]

    def absent(self, organ: str) -> int:
        """Number of cases without a value for the organ in any column."""
        return sum(all(case not in column.dice[organ] for column in self.columns) for case in self.cases)


def compare_runs(runs: Sequence[Run]) -> list[Comparison]:
    """Group the segmentation runs among ``runs``; pre-training runs and runs without a validation are ignored.

    The value of a case is the mean over the runs (seeds) of its column; the mean row is the mean over cases of a
    case's mean over its organs, as MONAI's ``DiceMetric(reduction="mean")`` takes it.

    Args:
        runs: runs of all kinds.
    """
    segmentations = [run for run in runs if run.kind == "segmentation"]
    labels = initialisation_labels(segmentations)
    groups: dict[tuple, list[Run]] = defaultdict(list)
    for run in segmentations:
        if run.per_case:
            groups[run.data_key].append(run)
    return [_comparison(group, labels) for group in groups.values()]


def mean_dice(run: Run) -> float | None:
    """The run's own mean Dice, taken as in a comparison: over cases, of the mean over a case's organs."""
    means = _dice([run], _organs([run]), _organs([run]))[MEAN]
    return fmean(means.values()) if means else None


def share_of_labels(fraction: float) -> str:
    """``0.05`` -> ``"5 % of labels"``."""
    return f"{100 * fraction:g} % of labels"


def _comparison(runs: list[Run], labels: dict[str, str]) -> Comparison:
    by_initialisation: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_initialisation[run.initialisation].append(run)
    order = sorted(by_initialisation, key=lambda name: name != SCRATCH)  # stable: the rest stays as given
    organs = _organs(runs)
    seen = [set(_organs(by_initialisation[name])) for name in order]
    shared = tuple(organ for organ in organs if all(organ in names for names in seen))
    columns = tuple(
        Column(labels[name], tuple(group), _dice(group, organs, shared), _seed_deviation(group, organs, shared))
        for name, group in ((name, by_initialisation[name]) for name in order)
    )
    cases = tuple(sorted({case["id"] for run in runs for case in run.per_case}))
    return Comparison(
        title=f"{runs[0].data_name}, {share_of_labels(runs[0].label_fraction)}",
        organs=organs,
        shared_organs=shared,
        cases=cases,
        columns=columns,
        notes=tuple(_notes(columns, organs, shared, runs)),
    )


def _organs(runs: Sequence[Run]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(organ for run in runs for case in run.per_case for organ in case["dice"]))


def _dice(runs: Sequence[Run], organs: Sequence[str], mean_over: Sequence[str]) -> dict[str, dict[str, float]]:
    """Organ -> case -> mean over runs, plus :data:`MEAN`; a case without a value for an organ is not in its dict."""
    values: dict[str, dict[str, list[float]]] = {organ: defaultdict(list) for organ in (*organs, MEAN)}
    for run in runs:
        for case in run.per_case:
            present = {organ: value for organ, value in case["dice"].items() if value is not None}
            for organ, value in present.items():
                values[organ][case["id"]].append(value)
            shared = [present[organ] for organ in mean_over if organ in present]
            if shared:
                values[MEAN][case["id"]].append(fmean(shared))
    return {organ: {case: fmean(found) for case, found in cases.items()} for organ, cases in values.items()}


def _seed_deviation(runs: Sequence[Run], organs: Sequence[str], mean_over: Sequence[str]) -> dict[str, float]:
    by_seed: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_seed[run.seed].append(run)
    if len(by_seed) < 2:
        return {}
    tables = [_dice(group, organs, mean_over) for group in by_seed.values()]
    return {
        organ: stdev(fmean(table[organ].values()) for table in tables)
        for organ in (*organs, MEAN)
        if tables[0][organ] and len({frozenset(table[organ]) for table in tables}) == 1
    }


def _notes(columns: Sequence[Column], organs: Sequence[str], shared: Sequence[str], runs: Sequence[Run]) -> list[str]:
    notes = []
    for column in columns:
        folds = sorted({run.fold for run in column.runs if run.fold is not None})
        parts = [f"{len(column.runs)} run{'s' if len(column.runs) > 1 else ''}"]
        parts.append(f"seed{'s' if len(column.seeds) > 1 else ''} {', '.join(map(str, column.seeds))}")
        if folds:
            parts.append(f"fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))}")
        notes.append(f"{column.label}: {'; '.join(parts)}.")
        twice = [key for key, count in Counter((run.seed, run.fold) for run in column.runs).items() if count > 1]
        if twice:
            notes.append(f"{column.label}: more than one run with the same seed and fold; their mean is used.")
    if len({frozenset((run.seed, run.fold) for run in column.runs) for column in columns}) > 1:
        notes.append("The columns do not hold the same seeds and folds; differences use the cases they share.")
    if len(shared) < len(organs):
        missing = ", ".join(organ for organ in organs if organ not in shared)
        notes.append(f"Not in every column, and so not in the mean: {missing}.")
    patients = {case["id"]: case.get("patient") for run in runs for case in run.per_case}
    known = [patient for patient in patients.values() if patient is not None]
    if len(set(known)) < len(known):
        notes.append(
            f"{len(patients)} cases of {len(set(known))} patients: cases of one patient are not independent, "
            "so intervals and p values are too optimistic."
        )
    return notes
