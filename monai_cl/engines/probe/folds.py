"""Folds of patients, stratified by class: made from ids and a seed, kept in a file shared by all methods."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_cl.data.datalist.folds import fewer_folds
from monai_cl.errors import UserError
from monai_cl.files import write_atomically

_SHOWN = 10


@dataclass(frozen=True)
class PatientFolds:
    """Which patients are tested together.

    Attributes:
        fold: patient -> number of the fold whose test part it is in, [0, count).
        seed: the seed they were drawn with; None for folds made elsewhere.
        source: the file they were read from, for messages.
    """

    fold: Mapping[str, int]
    seed: int | None = None
    source: str = "folds"

    @property
    def count(self) -> int:
        """Number of folds."""
        return max(self.fold.values()) + 1

    @property
    def parts(self) -> list[list[str]]:
        """The patients of every fold's test part, sorted."""
        parts: list[list[str]] = [[] for _ in range(self.count)]
        for patient, number in sorted(self.fold.items()):
            parts[number].append(patient)
        return parts

    @property
    def sha256(self) -> str:
        """A hash of the patients and their folds: equal for two runs that may be compared patient by patient."""
        return hashlib.sha256(json.dumps(self.parts).encode()).hexdigest()

    def of(self, patients: np.ndarray) -> np.ndarray:
        """The fold of every slice, given the patient of every slice."""
        return np.array([self.fold[patient] for patient in patients.tolist()], dtype=np.int64)

    def require(self, patients: Collection[str]) -> None:
        """Raise a `UserError` unless these folds are of exactly these patients."""
        without = sorted(set(patients) - set(self.fold))
        unused = sorted(set(self.fold) - set(patients))
        if without:
            raise UserError(
                self.source,
                expected="folds that cover every patient",
                found=f"none for {_named(without)}",
                remedy="leave --folds out to make new ones, or give the file that was made for these patients",
            )
        if unused:
            raise UserError(
                self.source,
                found=(
                    f"the features lack {_named(unused)} of these folds, so that the result could not be compared "
                    "with others on them"
                ),
                remedy="complete the features, or leave --folds out to make new ones",
            )

    def require_classes(self, labels: Mapping[str, int]) -> None:
        """Raise a `UserError` unless every test part holds every class."""
        classes = sorted(set(labels.values()))
        for number, part in enumerate(self.parts):
            lacking = sorted(set(classes) - {labels[patient] for patient in part})
            if lacking:
                raise UserError(
                    f"{self.source}: fold {number} ({_named(part)})",
                    expected=f"a patient of every class ({', '.join(map(str, classes))})",
                    found=f"none of class {lacking[0]}",
                    remedy="leave --folds out to make new ones, stratified by class",
                )


def stratified_folds(
    labels: Mapping[str, int], *, count: int = 5, seed: int = 0, source: str | os.PathLike = "folds"
) -> PatientFolds:
    """Folds with equal shares of the classes, from the sorted patient ids and the seed alone.

    Args:
        labels: patient -> class.
        count: number of folds.
        seed: of the shuffling.
        source: the file with the classes, for messages.

    Raises:
        ValueError: fewer than two folds.
        UserError: one class only, or a class with fewer patients than folds.
    """
    from sklearn.model_selection import StratifiedKFold

    _check_count(count)
    patients = sorted(labels)
    classes = sorted(set(labels.values()))
    if len(classes) < 2:
        found = f"class {classes[0]} only ({len(patients)} patients)" if classes else "no patient with a known class"
        raise UserError(source, expected="patients of two classes", found=found, remedy="add patients of another one")
    for number in classes:
        members = [patient for patient in patients if labels[patient] == number]
        if len(members) < count:
            raise UserError(
                f"{source}: class {number}",
                expected=f"at least {count} patients, one for each fold",
                found=f"{len(members)} ({_named(members, bare=True)})",
                # a probe chooses its regularisation on two patients of each class or more
                remedy=fewer_folds(len(members), fewest=3),
            )
    splitter = StratifiedKFold(count, shuffle=True, random_state=seed)
    splits = splitter.split(np.zeros((len(patients), 1)), [labels[patient] for patient in patients])
    return _from_splits(patients, splits, seed)


def grouped_folds(
    patients: Collection[str], *, count: int = 5, seed: int = 0, source: str | os.PathLike = "folds"
) -> PatientFolds:
    """Folds of patients without a known class, from their sorted ids and the seed.

    Args:
        patients: patient ids; repeated ones count once.
        count: number of folds, at least 2.
        seed: of the shuffling.
        source: the file that names the patients, for messages.

    Raises:
        ValueError: fewer than two folds.
        UserError: fewer patients than folds.
    """
    from sklearn.model_selection import KFold

    _check_count(count)
    patients = sorted(set(patients))
    if len(patients) < count:
        raise UserError(
            source,
            expected=f"at least {count} patients, one for each fold",
            found=f"{len(patients)} ({_named(patients, bare=True)})",
            remedy=fewer_folds(len(patients)),
        )
    return _from_splits(patients, KFold(count, shuffle=True, random_state=seed).split(patients), seed)


def write_folds(path: str | os.PathLike, folds: PatientFolds) -> Path:
    """Write folds as JSON: ``{"schema": 1, "seed": s, "folds": [[patients], ...]}``.

    Args:
        path: the JSON file to write.
        folds: the folds to keep for other runs.
    """
    content = {"schema": 1, "seed": folds.seed, "folds": folds.parts}
    write_atomically(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    return Path(path)


def read_folds(path: str | os.PathLike) -> PatientFolds:
    """Read what `write_folds` wrote.

    Args:
        path: a ``folds.json``.

    Raises:
        UserError: no such file, another form, an empty fold, or a patient in two folds.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            path, found=f"cannot be read ({error.strerror})", remedy="correct --folds, or leave it out to make new ones"
        ) from error
    except ValueError as error:
        raise UserError(path, expected="folds as JSON", found=f"something else ({error})") from error
    parts = content.get("folds") if isinstance(content, dict) else None
    if not isinstance(parts, list) or len(parts) < 2 or not all(isinstance(part, list) and part for part in parts):
        raise UserError(
            path,
            expected='{"schema": 1, "folds": [[patients], ...]} with two folds or more, none empty',
            found=f"{str(content)[:80]}",
            remedy="give the folds.json of a probe, or leave --folds out to make new ones",
        )
    fold: dict[str, int] = {}
    for number, part in enumerate(parts):
        for patient in map(str, part):
            if patient in fold:
                raise UserError(
                    f"{path}: patient {patient}",
                    expected="one fold",
                    found=f"{fold[patient]} and {number}",
                    remedy="take the patient out of one of them, or leave --folds out to make new ones",
                )
            fold[patient] = number
    seed = content.get("seed")
    return PatientFolds(fold, seed if isinstance(seed, int) else None, str(path))


def _check_count(count: int) -> None:
    if count < 2:
        raise ValueError(f"count must be >= 2 folds, got {count}")


def _from_splits(patients: list[str], splits: Iterable[tuple[np.ndarray, np.ndarray]], seed: int) -> PatientFolds:
    tests = enumerate(test for _, test in splits)
    return PatientFolds({patients[i]: number for number, test in tests for i in test.tolist()}, seed)


def _named(patients: list[str], *, bare: bool = False) -> str:
    shown = ", ".join(patients[:_SHOWN]) + (f" and {len(patients) - _SHOWN} more" if len(patients) > _SHOWN else "")
    return shown if bare else f"{'patient' if len(patients) == 1 else 'patients'} {shown}"
