"""What must hold between the entries of a list beyond its shape: a patient in one fold, no scan twice, known ids."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from monai_cl.data.list_problems import Problem

if TYPE_CHECKING:
    from monai_cl.data.list_model import DataSet

LARGEST_LABEL = 32767  # the store keeps labels as int16 at most


def item_problems(dataset: DataSet) -> list[Problem]:
    """Complaints about the labels and items of one data set."""
    return [
        *_label_problems(dataset),
        *_duplicate_problems(dataset),
        *_patient_problems(dataset),
        *_other_problems(dataset),
    ]


def set_problems(datasets: Sequence[DataSet]) -> list[Problem]:
    """Complaints that concern several data sets: a name used twice, one image in two sets."""
    problems, names, images = [], {}, {}
    for dataset in datasets:
        first = names.setdefault(dataset.name, dataset)
        if first is not dataset:
            where = _join(dataset.place[1], "name")
            found = f'"{dataset.name}" again, as in {_join(first.place[0], first.place[1], sep=": ")}'
            problems.append(
                Problem(
                    "repeated name",
                    dataset.place[0],
                    where,
                    "data sets with different names",
                    found,
                    remedy='give one another "name"',
                )
            )
        for split, i, item in _entries(dataset):
            owner, place = images.setdefault(item["image"], (dataset, _place(dataset, split, i)))
            if owner is not dataset:
                problems.append(
                    Problem(
                        "duplicate item",
                        dataset.place[0],
                        _place(dataset, split, i, "image"),
                        "every image in one data set only",
                        f"the image of {place} of data set {owner.name} again",
                        file=_relative(dataset, item["image"]),
                    )
                )
    return problems


def _entries(dataset: DataSet) -> list[tuple[str, int, dict[str, Any]]]:
    return [(split, i, item) for split, items in dataset.splits.items() for i, item in enumerate(items)]


def _join(*parts: str, sep: str = ".") -> str:
    return sep.join(part for part in parts if part)


def _place(dataset: DataSet, split: str, i: int, key: str = "") -> str:
    return _join(dataset.place[1], f"{split}[{i}]", key)


def _relative(dataset: DataSet, file: str) -> str:
    return os.path.relpath(file, dataset.root)


def _label_problems(dataset: DataSet) -> list[Problem]:
    list_file, base = dataset.place
    labels_given = "labels" in dataset.document
    problems = []

    def complain(kind: str, key: str, expected: str, found: str, remedy: str | None = None) -> None:
        problems.append(Problem(kind, list_file, _join(base, key), expected, found, remedy=remedy))

    if not labels_given and any("label" in item for _, _, item in _entries(dataset)):
        complain(
            "missing key",
            "",
            'the key "labels", since items have label files',
            f"only the keys {', '.join(dataset.document)}",
        )
        return problems
    if dataset.labels[0].lower() != "background":
        complain(
            "no background",
            "labels.0",
            '"background"',
            f'"{dataset.labels[0]}"',
            "id 0 is the background; give organs 1, 2, ...",
        )
    organs: dict[str, int] = {}
    for label, organ in dataset.labels.items():
        if organs.setdefault(organ.lower(), label) != label:
            first = organs[organ.lower()]
            complain(
                "repeated name",
                f"labels.{label}",
                "another organ name for each id",
                f'"{organ}" for the ids {first} and {label}',
                "to merge them, name it once and use label_map",
            )
        if label > LARGEST_LABEL:
            complain("label id", f"labels.{label}", f"ids of at most {LARGEST_LABEL}", str(label))
    for value, label in (dataset.label_map or {}).items():
        if label not in dataset.labels:
            ids = ", ".join(map(str, dataset.labels))
            complain("label map", f"label_map.{value}", f"one of the ids of labels ({ids})", str(label))
    return problems


def _duplicate_problems(dataset: DataSet) -> list[Problem]:
    problems, seen = [], {"image": {}, "id": {}}
    for split, i, item in _entries(dataset):
        for key, known in seen.items():
            first = known.setdefault(item[key], (split, i))
            if first == (split, i) or (key == "id" and seen["image"][item["image"]] != (split, i)):
                continue
            file = _relative(dataset, item["image"])
            found = f"the one of {_place(dataset, *first)} again" + ("" if key == "image" else f' ("{item[key]}")')
            problems.append(
                Problem(
                    "duplicate item",
                    dataset.place[0],
                    _place(dataset, split, i, key),
                    f"every {key} once",
                    found,
                    file=file,
                )
            )
    return problems


def _patient_problems(dataset: DataSet) -> list[Problem]:
    """A patient seen in training must not be seen in another fold, nor in validation or test."""
    problems, first_of = [], {}
    for split, i, item in _entries(dataset):
        part = split if item["fold"] is None or split != "training" else f"fold {item['fold']}"
        first_part, first_place = first_of.setdefault(item["patient"], (part, _place(dataset, split, i)))
        if part != first_part:
            problems.append(
                Problem(
                    "patient in two parts",
                    dataset.place[0],
                    _place(dataset, split, i),
                    f'patient "{item["patient"]}" in {first_part} only, as in {first_place}',
                    f"the patient in {part} too",
                    file=_relative(dataset, item["image"]),
                    remedy="put the scans of one patient together",
                )
            )
    return problems


def _other_problems(dataset: DataSet) -> list[Problem]:
    list_file, base = dataset.place
    problems = []
    if not any(dataset.splits.values()):
        problems.append(
            Problem("no items", list_file, base, "at least one item", "none in training, validation and test")
        )
    folds = [item["fold"] for item in dataset.splits["training"]]
    if None in folds and any(fold is not None for fold in folds):
        without = [i for i, fold in enumerate(folds) if fold is None]
        found = f"{len(without)} of {len(folds)} training items without"
        problems.append(
            Problem(
                "missing fold",
                list_file,
                _place(dataset, "training", without[0]),
                "a fold in every training item or in none",
                found,
            )
        )
    for key, split in (("numTraining", "training"), ("numTest", "test")):
        declared, count = dataset.document.get(key), len(dataset.splits[split])
        if declared is not None and declared != count:
            problems.append(
                Problem(
                    "wrong count", list_file, _join(base, key), f"{count}, the number of {split} items", str(declared)
                )
            )
    targets = dataset.document.get("targets")
    for split, i, item in _entries(dataset):
        if targets is not None and "target" in item and str(item["target"]) not in targets:
            expected = f"one of the targets {', '.join(targets)}"
            problems.append(
                Problem("target", list_file, _place(dataset, split, i, "target"), expected, str(item["target"]))
            )
    return problems
