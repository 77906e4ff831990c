"""A data list that has been read: data sets with their label names, and items as MONAI takes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.items import modality_word
from monai_cl.data.datalist.problems import Problem
from monai_cl.data.records.grade import OWN_CLASSES, Grade
from monai_cl.errors import UserError

SPLITS = ("training", "validation", "test")


@dataclass(frozen=True)
class DataSet:
    """One data set of a list.

    Attributes:
        name: unique in the list.
        labels: label id -> organ name; 0 is the background.
        label_map: value in the files -> label id (unnamed values become 0), or None where files hold the ids.
        root: the folder its relative paths start from.
        splits: ``training``, ``validation``, ``test`` -> items (see :meth:`DataList.items`).
        document: the JSON object it was read from, with licence, source and whatever else it holds.
        list_file, place: the file that holds this object, and where in it ("" for the whole file).
        places: split -> the place of each item, e.g. ``datasets[1].training[3]``.
        sub_root: ``root`` relative to the data root ("" for the data root itself).
        ignore: value in the files of voxels that were not annotated and take no part, or None.
        stated_patients: the patients whose ids the list states; of other items the id stands in for the patient.
    """

    name: str
    labels: dict[int, str]
    label_map: dict[int, int] | None
    root: Path
    splits: dict[str, tuple[dict[str, Any], ...]]
    document: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    list_file: str = field(default="", repr=False, compare=False)
    place: str = field(default="", repr=False, compare=False)
    places: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)
    sub_root: str = ""
    ignore: int | None = None
    stated_patients: frozenset[str] = field(default=frozenset(), repr=False, compare=False)

    def entries(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Every item with its split and its place in the list."""
        for split, items in self.splits.items():
            for place, item in zip(self.places[split], items, strict=True):
                yield split, place, item

    def relative(self, file: str) -> str:
        """A file of an item as the list writes it: relative to the root."""
        return os.path.relpath(file, self.root)

    def at(self, key: str) -> str:
        """The place of one of its keys in the file that holds it."""
        return f"{self.place}.{key}" if self.place else key

    def problem(
        self, kind: str, where: str, expected: str, found: str, remedy: str | None = None, *, file: str | None = None
    ) -> Problem:
        """A problem of this data set.

        Args:
            kind: as that of `Problem`.
            where: likewise.
            expected: likewise.
            found: likewise.
            remedy: likewise.
            file: of an item, if one is concerned, with its whole path.
        """
        named = None if file is None else self.relative(file)
        return Problem(kind, self.list_file, where, expected, found, file=named, remedy=remedy)

    @property
    def modality(self) -> str:
        """Of those of its items that do not name their own; CT where none is named."""
        return modality_word(self.document.get("modality"))

    @property
    def classes(self) -> dict[int, str]:
        """The foreground of ``labels``."""
        return {label: name for label, name in self.labels.items() if label != 0}


@dataclass(frozen=True)
class DataList:
    """A data-list file. ``sha256`` is of its content, included lists too, whatever the layout of the text.

    ``grade`` is what the targets of its items were made of, see `monai_cl.data.datalist.patient_labels.with_grade`.
    """

    path: Path
    name: str
    datasets: tuple[DataSet, ...]
    sha256: str
    grade: Grade = OWN_CLASSES

    @property
    def labels(self) -> dict[int, str]:
        """Label id -> organ name of the only data set; a :class:`UserError` where there are several."""
        return self.only_dataset.labels

    @property
    def classes(self) -> dict[str, str]:
        """Target -> its name, of the ``targets`` of all data sets; without those that two of them name differently.

        Of targets that were made of a grade, the names of the two classes.
        """
        found: dict[str, set[str]] = {}
        for dataset in self.datasets:
            targets = dataset.document.get("targets")
            for target, name in targets.items() if isinstance(targets, dict) else ():
                found.setdefault(str(target), set()).add(str(name))
        return self.grade.class_names(
            {target: names.pop() for target, names in sorted(found.items()) if len(names) == 1}
        )

    @property
    def cohort(self) -> str:
        """The name, and what its patients are classified by where that is not their own target."""
        return self.name if self.grade == OWN_CLASSES else f"{self.name}, {self.grade}"

    @property
    def finding_names(self) -> tuple[str, ...]:
        """The ``finding_names`` of all data sets, each once, in the order in which they first appear."""
        named = (dataset.document.get("finding_names") for dataset in self.datasets)
        return tuple(dict.fromkeys(str(name) for names in named if isinstance(names, list) for name in names))

    @property
    def only_dataset(self) -> DataSet:
        """The data set of a list that has one."""
        if len(self.datasets) > 1:
            names = ", ".join(dataset.name for dataset in self.datasets)
            raise UserError(
                f"data list {self.path}",
                expected="one data set",
                found=f"{len(self.datasets)} ({names}), each with labels of its own",
                remedy="use the list of one of them",
            )
        return self.datasets[0]

    def dataset(self, name: str) -> DataSet:
        """The data set called ``name``."""
        for dataset in self.datasets:
            if dataset.name == name:
                return dataset
        names = ", ".join(dataset.name for dataset in self.datasets)
        raise UserError(f"data list {self.path}", found=f"no data set {name!r}", remedy=f"it has {names}")

    def items(self, split: str = "training", *, dataset: str | None = None) -> list[dict[str, Any]]:
        """The items of a split, of every data set or of one, in the order of the list.

        Returns:
            Dictionaries as MONAI's transforms take them: ``image`` and ``label`` (absolute paths; no ``label`` for a
            scan without labels), ``fold`` (int or None), ``patient``, ``id`` (unique in its data set), ``dataset``
            (its name), ``label_map`` ({int: int} or None), beside a ``label`` the ``label_ids`` that it may hold and
            their ``label_names`` ({int: str}), where it is not CT the ``modality`` in capitals, and where the list has
            them ``ignore``, ``target``, ``findings`` (name -> 0 or 1, those that are known), ``slice_findings`` (0, 1
            or None of each slice), ``meta``, ``series_part`` and ``uneven_slices``, and ``intensity`` and ``grade``
            (see `monai_cl.engines.read_list`).
        """
        if split not in SPLITS:
            raise UserError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        chosen = self.datasets if dataset is None else (self.dataset(dataset),)
        return [dict(item) for member in chosen for item in member.splits[split]]
