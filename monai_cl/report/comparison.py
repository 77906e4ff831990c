"""Segmentation runs put side by side: one comparison per data list, label share and settings, one column per start."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monai_cl.report.columns import Column, organs_of, patients_of
from monai_cl.report.runs import SCRATCH, Run
from monai_cl.report.settings import differing_settings, differing_text, settings_text
from monai_cl.report.starts import start_keys, start_labels

LONGEST_LABEL = 36


@dataclass(frozen=True)
class Comparison:
    """Columns on one data list and share of its labels; folds and seeds are pooled.

    Attributes:
        title: name of the data list and label share, and the settings where other runs on them had others.
        organs: organs in the order of the results.
        shared_organs: those every column has; the mean is over them.
        cases: case ids, sorted.
        columns: scratch first, then in the order given.
        notes: what a reader has to know.
        warnings: what they have to know before they look at a number.
    """

    title: str
    organs: tuple[str, ...]
    shared_organs: tuple[str, ...]
    cases: tuple[str, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def absent(self, organ: str) -> int:
        """Number of cases without a value for the organ in any column."""
        return sum(all(case not in column.dice[organ] for column in self.columns) for case in self.cases)


def compare_runs(runs: Sequence[Run]) -> list[Comparison]:
    """Group the segmentation runs among ``runs``; pre-training runs and runs without a validation are ignored.

    Runs that differ in more than their start (:func:`differing_settings`) are never averaged. Where runs of several
    starts share their settings, each of the settings has a comparison of its own; otherwise they are columns of one,
    with a warning that says in what they differ.

    The value of a case is the mean over the runs (seeds) of its column; the mean row is the mean over cases of a
    case's mean over its organs, as MONAI's ``DiceMetric(reduction="mean")`` takes it.

    Args:
        runs: runs of all kinds.
    """
    segmentations = [run for run in runs if run.kind == "segmentation"]
    labels, starts = start_labels(segmentations), start_keys(segmentations)
    groups: dict[tuple, list[Run]] = defaultdict(list)
    for run in segmentations:
        if run.per_case:
            groups[run.data_key].append(run)
    return [comparison for group in groups.values() for comparison in _comparisons(group, labels, starts)]


def _comparisons(runs: list[Run], labels: Mapping[str, str], starts: Mapping[str, str]) -> list[Comparison]:
    """Of the runs on one data list and label share."""
    settings = differing_settings(runs)
    parts: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    texts: dict[tuple[str, ...], str] = {}
    for run, own in zip(runs, settings, strict=True):
        parts[tuple(own.values())].append(run)
        texts[tuple(own.values())] = settings_text(own)
    if len(parts) == 1:
        return [_comparison([(starts[run.initialisation], "") for run in runs], runs, labels)]
    differ = f"Runs on {_title(runs)} differ in more than their start: {differing_text(settings)}"
    if any(len({starts[run.initialisation] for run in part}) > 1 for part in parts.values()):
        warning = f"{differ}. Those of the same settings are compared with each other only."
        return [
            _comparison(
                [(starts[run.initialisation], "") for run in part],
                part,
                labels,
                settings=texts[key],
                warnings=[warning],
            )
            for key, part in parts.items()
        ]
    warning = f"{differ}. They are separate columns, and their differences are not those of the start alone."
    # a legend has no room for more
    short = all(len(text) <= LONGEST_LABEL for text in texts.values())
    names = {key: text if short else f"settings {number}" for number, (key, text) in enumerate(texts.items(), start=1)}
    columns = [
        (starts[run.initialisation], names[tuple(own.values())]) for run, own in zip(runs, settings, strict=True)
    ]
    notes = [] if short else [f"Settings {number}: {text}." for number, text in enumerate(texts.values(), start=1)]
    return [_comparison(columns, runs, labels, warnings=[warning], notes=notes)]


def labelled_scans(runs: Sequence[Run]) -> str:
    """``"1 of 24 labelled scans"``: how many labels the runs were trained with; ``"4–5 of 24–25"`` where folds differ.

    Empty for evaluations, which are trained on nothing. Records of earlier versions lack the number of all labelled
    scans: ``"1 labelled scan (4 %)"``.
    """
    used, available = ({run.labelled[part] for run in runs} - {None} for part in (0, 1))
    if not any(used):
        return ""
    text = _span(used)
    if available:
        return f"{text} of {_span(available)} labelled scans"
    share = runs[0].label_fraction
    return f"{text} labelled scan{'' if used == {1} else 's'}" + (f" ({100 * share:g} %)" if share < 1 else "")


def _span(numbers: set[int]) -> str:
    return "–".join(dict.fromkeys((str(min(numbers)), str(max(numbers)))))


def _title(runs: Sequence[Run]) -> str:
    return ", ".join(filter(None, (runs[0].data_name, labelled_scans(runs))))


def _comparison(
    columns_of: Iterable[tuple[str, str]],
    runs: Sequence[Run],
    labels: Mapping[str, str],
    *,
    settings: str = "",
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Comparison:
    """Of runs and the column of each: its initialisation, and the settings that tell it from others of the same."""
    by_column: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for column, run in zip(columns_of, runs, strict=True):
        by_column[column].append(run)
    order = sorted(by_column, key=lambda column: column[0] != SCRATCH)  # stable: the rest stays as given
    organs = organs_of(runs)
    seen = [set(organs_of(by_column[column])) for column in order]
    shared = tuple(organ for organ in organs if all(organ in names for names in seen))
    columns = tuple(
        Column(labels[name] + (f" ({own})" if own else ""), tuple(by_column[name, own]), organs, shared)
        for name, own in order
    )
    cases = tuple(sorted({case["id"] for run in runs for case in run.per_case}))
    title = _title(runs) + (f"; {settings}" if settings else "")
    return Comparison(
        title=title,
        organs=organs,
        shared_organs=shared,
        cases=cases,
        columns=columns,
        notes=(*notes, *_notes(columns, organs, shared, runs)),
        warnings=(*warnings, *_failures(columns, title)),
    )


def _failures(columns: Sequence[Column], title: str) -> list[str]:
    return [
        f"{title}, {column.label}: {run.name} (seed {run.seed}{'' if run.fold is None else f', fold {run.fold}'}) has "
        "Dice 0 on every case: it has failed. The numbers without failed runs stand beside."
        for column in columns
        for run in column.failed
    ]


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
        notes.append(
            "The columns do not hold the same seeds and folds; differences use the seeds and cases they share."
        )
    if len(shared) < len(organs):
        missing = ", ".join(organ for organ in organs if organ not in shared)
        notes.append(f"Not in every column, and so not in the mean: {missing}.")
    patients = patients_of(runs)
    if len(set(patients.values())) < len(patients):
        notes.append(
            f"{len(patients)} cases of {len(set(patients.values()))} patients: the interval draws patients with all "
            "their cases, the test takes each patient's mean."
        )
    return notes
