"""Frozen features of slices, with patient, class and depth: in memory, and as a .npz file without pickle."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl.data.records.embeddings import read_embeddings
from monai_cl.data.records.grade import OWN_CLASSES, TARGET, Grade
from monai_cl.errors import UserError
from monai_cl.files import new_file, reported

UNKNOWN = -1
_TABLES = (".parquet", ".csv")  # of embeddings, read as features beside .npz
_OTHER_CONTENT = (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
_REQUIRED = ("features", "patient", "label")


@dataclass(frozen=True)
class SliceFeatures:
    """Features of n slices; everything is checked once, here.

    Attributes:
        features: (n, F) float32, finite.
        patient: (n,) patient ids; blanks around them are taken off.
        label: (n,) class of the slice's patient, integers ≥ 0; -1 (or None) where it is not known.
        depth: (n,) position along the body in [0, 1], feet to head; nan where it is not known. Default: all nan.
        slice: (n,) ids of the slices, unique within a patient. Default: numbers.
        about: what made the features, as plain JSON values: ``method``, ``backbone``, ``sigma``, ``temperature``,
            ``cohort``, ``seed``, ``encoder`` and ``data_list`` are shown in results and tables.
        source: the file they were read from, for messages.

    Raises:
        UserError: arrays of other lengths or kinds, features that are not finite, a repeated slice; the message names
            the patient.
    """

    features: np.ndarray
    patient: np.ndarray
    label: np.ndarray
    depth: np.ndarray = None  # type: ignore[assignment]  # __post_init__ puts an array in place of None
    slice: np.ndarray = None  # type: ignore[assignment]  # as depth
    about: Mapping[str, Any] = field(default_factory=dict)
    source: str = "features"

    def __post_init__(self) -> None:
        features = np.asarray(self.features)
        if features.ndim != 2 or 0 in features.shape or features.dtype.kind not in "fiu":
            raise UserError(
                f"{self.source}: features", expected="numbers (slices, F)", found=f"{features.dtype} {features.shape}"
            )
        n = len(features)
        patient = self._column("patient", [str(name).strip() for name in np.asarray(self.patient).ravel().tolist()], n)
        slices = [str(i) for i in range(n)] if self.slice is None else np.asarray(self.slice).ravel().tolist()
        set_ = object.__setattr__
        with np.errstate(over="ignore"):  # reported below, with the patient
            set_(self, "features", features.astype(np.float32, copy=False))
        set_(self, "patient", patient)
        set_(self, "slice", self._column("slice", [str(name).strip() for name in slices], n))
        set_(self, "label", self._labels(n))
        set_(self, "depth", self._depths(n))
        set_(self, "about", dict(self.about))
        finite = np.isfinite(self.features).all(1)
        if not finite.all():
            row = int(finite.argmin())
            raise UserError(
                f"{self.source}: patient {patient[row]}, slice {self.slice[row]}",
                expected="finite features",
                found=f"nan or infinity ({n - int(finite.sum())} of {n} slices have some)",
                remedy="did the encoder diverge?",
            )
        nameless = patient == ""
        if nameless.any():
            raise UserError(
                f"{self.source}: slice {self.slice[nameless.argmax()]}", expected="a patient id", found="none"
            )
        seen: set[tuple[str, str]] = set()
        for key in zip(patient.tolist(), self.slice.tolist()):
            if key in seen:
                raise UserError(
                    f"{self.source}: patient {key[0]}",
                    found=f"slice {key[1]} appears twice",
                    remedy="give every slice once",
                )
            seen.add(key)

    def __len__(self) -> int:
        return len(self.features)

    def select(self, mask: np.ndarray) -> SliceFeatures:
        """The slices where ``mask`` (n,) is true."""
        chosen = {name: getattr(self, name)[mask] for name in ("features", "patient", "label", "depth", "slice")}
        return SliceFeatures(**chosen, about=self.about, source=self.source)

    def patient_labels(self) -> dict[str, int]:
        """Class of every patient that has one, in order of patient id.

        Raises:
            UserError: a patient with two classes, or with one on some slices only.
        """
        label_of: dict[str, int] = {}
        for patient, label in sorted(set(zip(self.patient.tolist(), self.label.tolist()))):
            if patient in label_of:
                raise UserError(
                    f"{self.source}: patient {patient}",
                    expected="one label on all slices",
                    found=" and ".join("none" if x == UNKNOWN else str(x) for x in (label_of[patient], label)),
                    remedy="correct the data list",
                )
            label_of[patient] = label
        return {patient: label for patient, label in label_of.items() if label != UNKNOWN}

    def _column(self, name: str, values: list[str] | list[float], n: int) -> np.ndarray:
        if len(values) != n:
            raise UserError(f"{self.source}: {name}", expected=f"{n} values, one for each slice", found=len(values))
        return np.array(values, dtype=str)

    def _labels(self, n: int) -> np.ndarray:
        values = np.asarray(self.label).ravel().tolist()
        self._column("label", values, n)
        labels = [UNKNOWN if value is None or value != value else value for value in values]
        for patient, label in zip(self.patient.tolist(), labels):
            if not isinstance(label, (int, float)) or label != int(label) or label < UNKNOWN:
                raise UserError(
                    f"{self.source}: patient {patient}",
                    expected="a class as an integer >= 0, or -1 where it is not known",
                    found=f"label {label!r}",
                )
        return np.array(labels, dtype=np.int64)

    def _depths(self, n: int) -> np.ndarray:
        if self.depth is None:
            return np.full(n, np.nan, np.float32)
        try:
            depths = np.asarray(self.depth, dtype=np.float32).ravel()
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{self.source}: depth", expected="numbers in [0, 1]", found=f"{self.depth!r:.60}"
            ) from error
        self._column("depth", depths.tolist(), n)
        wrong = ~(np.isnan(depths) | ((depths >= 0) & (depths <= 1)))
        if wrong.any():
            row = int(wrong.argmax())
            raise UserError(
                f"{self.source}: patient {self.patient[row]}: depth",
                expected="a number in [0, 1] (or nan)",
                found=f"{depths[row]:g}",
            )
        return depths


def write_features(path: str | os.PathLike, features: SliceFeatures) -> Path:
    """Write features as ``.npz``, whole or not at all; ``numpy.load`` reads it without pickle.

    Arrays: ``features`` (n, F) float32, ``patient``, ``slice`` (n,) text, ``label`` (n,) int64, ``depth`` (n,) float32,
    ``about`` one JSON text.

    Args:
        path: the file to write, its name ending in ``.npz``; an existing file is replaced.
        features: the checked features of n slices.

    Raises:
        UserError: a name that does not end in ``.npz``, or a place that cannot be written to.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise UserError(path, expected="a name ending in .npz", remedy="features are written in NumPy's format")
    with reported(path), new_file(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            **{name: getattr(features, name) for name in ("features", "patient", "slice", "label", "depth")},
            about=np.array(json.dumps(dict(features.about), default=str)),
        )
    return path


def read_features(path: str | os.PathLike, *, grade: Grade = OWN_CLASSES) -> SliceFeatures:
    """Read what `write_features` or `write_embeddings` wrote, or any ``.npz`` with such arrays.

    Args:
        path: an ``.npz`` file with ``features``, ``patient`` and ``label``, or a table of embeddings (``.parquet``,
            ``.csv``).
        grade: what the classes are made of: an array of the file, or a column of embeddings, or ``label`` as its
            ``target``.

    Raises:
        UserError: no such file, another format, an array that is absent, pickled or of the wrong length; a grade that
            is not there or not a number; Parquet without pyarrow.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(path, expected="a features file (.npz) or a table of embeddings", found="no such file")
    if path.suffix in _TABLES:
        arrays, about = _chosen(path, read_embeddings(path).as_features(), grade)
    else:
        try:
            with path.open("rb") as file:
                archive = np.load(file, allow_pickle=False)
                # an .npy file gives a bare array
                arrays, about = _chosen(path, {} if isinstance(archive, np.ndarray) else archive, grade)
        except UserError:
            raise
        except _OTHER_CONTENT as error:
            raise UserError(
                path,
                expected="arrays as numpy.savez writes them, without pickle",
                found="something else, or a part of such a file",
                remedy="give the features.npz of an inference, an evaluation or a probe, or a table of embeddings",
            ) from error
    if not isinstance(about, dict):
        raise UserError(f"{path}: about", expected="a JSON object", found=type(about).__name__)
    if grade != OWN_CLASSES:
        arrays["label"] = _classes(path, arrays["label"], grade)
        about = _graded(about, grade)
    return SliceFeatures(**arrays, about=about, source=str(path))


def _chosen(
    path: Path, archive: Mapping[str, np.ndarray], grade: Grade
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays that are needed of all, and what made them."""
    wanted = "label" if grade.field == TARGET else grade.field
    names = set(archive)
    columns = json.loads(str(archive["columns"])) if "columns" in names else {}
    missing = [name for name in _REQUIRED if name not in names]
    missing += [wanted] if wanted not in {*names, *columns, *missing} else []
    if missing:
        raise UserError(
            path,
            expected=f"the arrays {', '.join(dict.fromkeys((*_REQUIRED, wanted)))}",
            found=", ".join(sorted({*names, *columns})) or "none",
            remedy="name another --target_field"
            if missing == [grade.field]
            else "write it with monai_cl.data.write_features",
        )
    arrays = {name: archive[name] for name in (*_REQUIRED, "depth", "slice") if name in names}
    if grade != OWN_CLASSES:
        arrays["label"] = archive[wanted] if wanted in names else np.array(columns[wanted], dtype=object)
    return arrays, json.loads(str(archive["about"])) if "about" in names else {}


def _classes(path: Path, values: np.ndarray, grade: Grade) -> np.ndarray:
    """The class of every slice; `UNKNOWN` where the grade is not known, as -1 in ``label`` says too."""
    found = []
    for row, value in enumerate(values.ravel().tolist()):
        try:
            known = None if grade.field == TARGET and value == UNKNOWN else grade.class_of(value)
        except ValueError as error:
            raise UserError(
                f"{path}: slice {row}", expected=f"a number as its {grade.field}", found=str(error)
            ) from error
        found.append(UNKNOWN if known is None else known)
    return np.array(found, dtype=np.int64)


def _graded(about: Mapping[str, Any], grade: Grade) -> dict[str, Any]:
    """What made the features, of patients who are divided by a grade."""
    listed = about.get("data_list")
    listed = dict(listed) if isinstance(listed, Mapping) else {}
    cohort = about.get("cohort") or listed.get("name") or "cohort"
    names = grade.class_names(listed.get("classes") or {})
    return {
        **about,
        "cohort": f"{cohort}, {grade}",
        "data_list": {**listed, "name": listed.get("name") or cohort, "classes": names, "target": grade.record()},
    }
