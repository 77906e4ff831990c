"""Methods compared with each other on the same patients: AUC less that of a control, by seed and patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monai_cl.report.auc_comparison import AUCDifference, auc_difference
from monai_cl.report.method_tables import MethodRuns, cohorts_of, method_runs
from monai_cl.report.runs import Run
from monai_cl.report.tables import NOTHING, Table, fraction, signed

# what others are compared with, the first of these that there is
_CONTROLS = ("random", "supervised")


@dataclass(frozen=True)
class MethodDifference:
    """A method less its control, on one cohort.

    Attributes:
        cohort: the cohort.
        control: name of the control.
        method: name of the method.
        found: the difference of the AUC of all patients.
    """

    cohort: str
    control: str
    method: str
    found: AUCDifference


def method_differences(runs: Sequence[Run]) -> list[MethodDifference]:
    """Each method less the control of its backbone and cohort, where both have runs of one seed on the same patients.

    The control is the encoder that was not trained (``random``); where there is none, ``supervised``.

    Args:
        runs: runs of all kinds; those of a classification are taken.
    """
    differences = []
    groups = method_runs(runs)
    several = len({group.backbone for group in groups}) > 1
    for cohort in cohorts_of(runs):
        present = [group for group in groups if group.of(cohort)]
        for method in present:
            control = _control(method, present)
            compared = None if control is None else _compare(control.of(cohort), method.of(cohort))
            if control is not None and compared is not None:
                names = [group.name if several else group.label for group in (control, method)]
                differences.append(MethodDifference(cohort, names[0], names[1], compared))
    return differences


def difference_table(runs: Sequence[Run]) -> Table | None:
    """The differences with their intervals; None where there is none.

    Args:
        runs: runs of all kinds.
    """
    rows, notes = [], []
    for one in method_differences(runs):
        found = one.found
        interval = NOTHING if found.interval is None else " to ".join(map(signed, found.interval))
        values = (fraction(found.first), fraction(found.second), signed(found.mean), interval)
        rows.append((one.cohort, f"{one.method} − {one.control}", *values))
        if found.note:
            notes.append(f"{one.cohort}, {one.method}: no interval, {found.note}.")
    if not rows:
        return None
    notes.append("AUC of all patients together; paired by seed and patient, bootstrap over both.")
    header = ("cohort", "comparison", "control", "method", "difference", "95 % interval")
    return Table("AUC, methods compared with each other", header, tuple(rows), tuple(notes), text_columns=2)


def _control(method: MethodRuns, present: Sequence[MethodRuns]) -> MethodRuns | None:
    same = [group for group in present if group.backbone == method.backbone]
    by_rank = [group for name in _CONTROLS for group in same if group.method == name]
    return by_rank[0] if by_rank and by_rank[0].method != method.method else None


def _compare(first: Sequence[Run], second: Sequence[Run]) -> AUCDifference | None:
    """Of the seeds that both have; None where there is none, or the patients are others or of one class."""
    runs = [{run.seed: run for run in reversed(group)} for group in (first, second)]
    seeds = sorted(runs[0].keys() & runs[1].keys())
    tables = [[_rows(group[seed]) for seed in seeds] for group in runs]
    classes = [{patient: label for patient, (label, _) in table.items()} for group in tables for table in group]
    if not classes or any(other != classes[0] for other in classes) or set(classes[0].values()) != {0, 1}:
        return None
    patients = sorted(classes[0])
    labels = np.array([classes[0][patient] for patient in patients])
    before, after = (np.array([[table[p][1] for p in patients] for table in group]) for group in tables)
    return auc_difference(labels, before, after)


def _rows(run: Run) -> dict[str, tuple[int, float]]:
    return {row["patient"]: (row["label"], row["probability"]) for row in run.results["metrics"]["per_patient"]}
