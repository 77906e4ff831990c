"""What a column of embeddings asks of a model: classes or numbers, of patients or of rows, in which folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_cl.data.records.embeddings import EmbeddingTable
from monai_cl.engines.embedding.ahead import told_by_scans
from monai_cl.engines.probe.folds import PatientFolds, grouped_folds, stratified_folds
from monai_cl.errors import UserError

_MOST_CLASSES = 10  # numbers with more values than that are a regression


@dataclass(frozen=True)
class Question:
    """Of n rows of a table with a value in a column.

    Attributes:
        known: which rows of the table they are.
        truth: (n,) number of the class, or the value.
        patients: (n,) ids.
        names: of the classes; empty of numbers.
        per_patient: whether every patient has one value.
        folds: of the patients.
    """

    known: np.ndarray
    truth: np.ndarray
    patients: np.ndarray
    names: Sequence[str]
    per_patient: bool
    folds: PatientFolds

    @property
    def numbers(self) -> bool:
        """Whether it is a regression."""
        return not self.names


def column_question(table: EmbeddingTable, column: str, *, fold_count: int = 5, seed: int = 0) -> Question:
    """What is predicted of a column, see `probe_column`.

    Args:
        table: of embeddings.
        column: of it.
        fold_count: folds of patients.
        seed: of the folds.

    Raises:
        UserError: see `probe_column`.
    """
    values = table.column(column)
    known = np.array([value is not None for value in values])
    chosen = [value for value in values if value is not None]
    where = f"column {column} of {table.source}"
    if len(set(chosen)) < 2:
        raise UserError(
            where,
            expected="two values or more",
            found=", ".join(map(str, set(chosen))) or "none",
            remedy="name another",
        )
    patients = np.array([str(name) for name in table.column("patient")])[known]
    numbers = _is_number(chosen)
    names = [] if numbers else sorted(set(map(str, chosen)))
    truth = np.array(chosen, float) if numbers else np.array([names.index(str(value)) for value in chosen])
    of_patient: dict[str, set] = {}
    for patient, value in zip(patients.tolist(), truth.tolist()):
        of_patient.setdefault(patient, set()).add(value)
    per_patient = all(len(own) == 1 for own in of_patient.values())
    _check_count(fold_count)
    if per_patient and not numbers:
        labels = {patient: int(next(iter(own))) for patient, own in of_patient.items()}
        folds = stratified_folds(labels, count=fold_count, seed=seed, source=where)
    else:
        has = {patient: {names[v] for v in own} if names else {patient} for patient, own in of_patient.items()}
        folds = _row_folds(has, fold_count, seed, where, "values" if names else "patients")
    return Question(known, truth, patients, names, per_patient, folds)


def check_question(table: EmbeddingTable, column: str, *, fold_count: int = 5, seed: int = 0) -> None:
    """Refuse before scans are embedded what `probe_column` would refuse afterwards.

    Args:
        table: of `expected_table`.
        column: of it.
        fold_count: folds of patients.
        seed: of the folds.

    Raises:
        UserError: see `probe_column`.
    """
    table.column(column)
    if not told_by_scans(table, column):
        column_question(table, column, fold_count=fold_count, seed=seed)
        return
    _check_count(fold_count)
    patients = {str(name): {str(name)} for name in table.column("patient")}
    _row_folds(patients, fold_count, seed, f"column {column} of {table.source}", "patients")


def _row_folds(has: Mapping[str, set[str]], count: int, seed: int, where: str, what: str) -> PatientFolds:
    """Folds that are not stratified; each training part needs two of what its patients have."""

    def seen(left_out: Sequence[str]) -> set[str]:
        return set().union(*(own for patient, own in has.items() if patient not in left_out))

    folds = grouped_folds(has, count=count, seed=seed, source=where)
    poor = next((part for part in folds.parts if len(seen(part)) < 2), None)
    if poor is None:
        return folds
    raise UserError(
        where,
        expected=f"two {what} or more in the training part of each fold",
        found=f"{seen(poor).pop()} alone, without {', '.join(poor[:3])}{', …' if len(poor) > 3 else ''}",
        remedy=f"pass --fold_count {len(has)}"
        if all(len(seen([p])) > 1 for p in has)
        else "add patients with other values",
    )


def _check_count(folds: int) -> None:
    if folds < 2:
        raise UserError("--fold_count", expected="2 or more", found=folds)


def _is_number(values: Sequence[Any]) -> bool:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return False
    whole = all(float(value).is_integer() for value in values)
    return not whole or len(set(values)) > _MOST_CLASSES
