"""What must hold between the entries of a list beyond its shape: a patient in one fold, no scan twice, known ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from monai_cl.data.datalist.findings import finding_problems
from monai_cl.data.datalist.folders.description import IGNORE
from monai_cl.data.datalist.items import scan_of
from monai_cl.data.datalist.problems import Problem
from monai_cl.data.records.training_scans import one_spelling, patient_keys

if TYPE_CHECKING:
    from monai_cl.data.datalist.model import DataSet

LARGEST_LABEL = 32767  # the store keeps labels as int16 at most


def item_problems(dataset: DataSet, *, sound: bool = True) -> list[Problem]:
    """Problems of the labels and items of one data set.

    Args:
        dataset: what could be read of it.
        sound: whether all of it could; if not, what is missing is not reported again.
    """
    return [
        *_label_problems(dataset),
        *_duplicate_problems(dataset),
        *_spelling_problems(dataset),
        *_patient_problems(dataset),
        *_fold_problems(dataset),
        *_target_problems(dataset),
        *_patient_target_problems(dataset),
        *finding_problems(dataset),
        *(_count_problems(dataset) if sound else ()),
    ]


def set_problems(datasets: Sequence[DataSet]) -> Iterator[Problem]:
    """Problems that concern several data sets: a name used twice, one image or the parts of one patient in two."""
    yield from _shared_patient_problems(datasets)
    names: dict[str, DataSet] = {}
    images: dict[tuple[str, str], tuple[DataSet, str]] = {}
    for dataset in datasets:
        first = names.setdefault(dataset.name, dataset)
        if first is not dataset:
            found = f'"{dataset.name}" for {first.place or first.list_file} too'
            remedy = 'give one of them another "name"'
            yield dataset.problem("repeated name", dataset.at("name"), "another name", found, remedy)
        for _, place, item in dataset.entries():
            owner, first_place = images.setdefault(scan_of(item), (dataset, place))
            if owner is not dataset:
                expected = "every image in one data set only"
                found = f"the image of {first_place} of data set {owner.name} again"
                where, remedy = f"{place}.image", remove_one(place, first_place)
                yield dataset.problem("duplicate item", where, expected, found, remedy, file=item["image"])


def _shared_patient_problems(datasets: Sequence[DataSet]) -> Iterator[Problem]:
    """A patient of several data sets may not be trained on in one and scored in another."""
    first_of: dict[str, tuple[DataSet, str, str]] = {}
    for dataset in datasets:
        for split, place, item in dataset.entries():
            stated = item["patient"] in dataset.stated_patients
            part = _part(split, item)
            for key in sorted(patient_keys(item["patient"], dataset=dataset.name, stated=stated)):
                owner, first_part, first_place = first_of.setdefault(key, (dataset, part, place))
                if owner is not dataset and part != first_part:
                    yield _in_two_parts(dataset, place, item, (part, first_part), f"{first_place} of {owner.name}")
                    break


def _in_two_parts(
    dataset: DataSet, place: str, item: Mapping[str, Any], parts: tuple[str, str], first_place: str
) -> Problem:
    """Of a patient's scans in ``parts``, the one at ``place`` and an earlier one."""
    expected = f'patient "{item["patient"]}" in {parts[1]} only, as at {first_place}'
    remedy = "keep the scans of a patient together"
    if "test" in parts:
        other = next(part for part in parts if part != "test")
        remedy += f": take those in {other} out, so that the test set stays whole"
    found = f"the patient in {parts[0]} too"
    return dataset.problem("patient in two parts", place, expected, found, remedy, file=item["image"])


def _part(split: str, item: Mapping[str, Any]) -> str:
    return f"fold {item['fold']}" if split == "training" and item["fold"] is not None else split


def remove_one(place: str, first_place: str) -> str:
    """Which of two items to take out of a list: a test set keeps its own."""
    in_test = [".test[" in f".{where}" for where in (place, first_place)]
    if in_test[0] == in_test[1]:
        return "remove one of the two"
    return f"remove {first_place if in_test[0] else place}, so that the test set keeps its scans"


def _label_problems(dataset: DataSet) -> Iterator[Problem]:
    if not dataset.labels:  # the schema check has reported it
        return
    if "labels" not in dataset.document and any("label" in item for _, _, item in dataset.entries()):
        found = f"only the keys {', '.join(dataset.document)}"
        yield dataset.problem("missing key", dataset.place, 'the key "labels": items have labels', found)
        return
    if dataset.labels[0].lower() != "background":
        remedy = "0 is the background; give the organs 1, 2, ..."
        found = f'"{dataset.labels[0]}"'
        yield dataset.problem("no background", dataset.at("labels.0"), '"background"', found, remedy)
    yield from _name_problems(dataset)
    yield from _value_problems(dataset)


def _name_problems(dataset: DataSet) -> Iterator[Problem]:
    organs: dict[str, int] = {}
    for label, organ in dataset.labels.items():
        first, where = organs.setdefault(organ.lower(), label), dataset.at(f"labels.{label}")
        if first != label:
            found = f'"{organ}" for the ids {first} and {label}'
            remedy = "to merge them, name it once, and give every value its id under label_map"
            yield dataset.problem("repeated name", where, "another organ for each id", found, remedy)
        if label > LARGEST_LABEL:
            remedy = 'declare a smaller id, and map every value of the files under "label_map"'
            yield dataset.problem("label id", where, f"ids of at most {LARGEST_LABEL}", str(label), remedy)
    for label, organ in dataset.labels.items():
        if organ.strip().lower() == IGNORE:
            found = f'"{organ}", the word of nnU-Net for voxels that were not annotated'
            remedy = 'take it out of "labels" and give its value under "ignore"; such voxels then take no part'
            where = dataset.at(f"labels.{label}")
            yield dataset.problem("reserved word", where, "the name of an organ", found, remedy)


def _value_problems(dataset: DataSet) -> Iterator[Problem]:
    named = dataset.labels if dataset.label_map is None else dataset.label_map
    if dataset.ignore is not None and dataset.ignore in named:
        found = f"{dataset.ignore}, which the list names too"
        remedy = "a value is either ignored or an organ"
        yield dataset.problem("label map", dataset.at("ignore"), "a value that means no organ", found, remedy)
    for value, label in (dataset.label_map or {}).items():
        if label not in dataset.labels:
            expected = f"one of the ids of labels ({', '.join(map(str, dataset.labels))})"
            remedy = 'correct it, or declare it under "labels"'
            yield dataset.problem("label map", dataset.at(f"label_map.{value}"), expected, str(label), remedy)


def _duplicate_problems(dataset: DataSet) -> Iterator[Problem]:
    images: dict[tuple[str, str], str] = {}
    ids: dict[str, str] = {}
    for _, place, item in dataset.entries():
        file = item["image"]
        first = images.setdefault(scan_of(item), place)
        if first != place:
            found, remedy = f"the one of {first} again", remove_one(place, first)
            yield dataset.problem("duplicate item", f"{place}.image", "every image once", found, remedy, file=file)
            continue  # its id repeats, too
        first = ids.setdefault(item["id"], place)
        if first != place:
            found, remedy = f'"{item["id"]}" of {first} again', 'give one of them another "id"'
            yield dataset.problem("duplicate item", f"{place}.id", "every id once", found, remedy, file=file)
        if file == item.get("label"):
            expected, remedy = "an image and its label map", "name the label's own file"
            yield dataset.problem("same file", place, expected, "the same file twice", remedy, file=file)


def _spelling_problems(dataset: DataSet) -> Iterator[Problem]:
    """Two spellings of one patient would be two patients, who may be in training and test."""
    first_of: dict[str, tuple[str, str]] = {}
    for _, place, item in dataset.entries():
        patient = item["patient"]
        if patient not in dataset.stated_patients:
            continue
        first, first_place = first_of.setdefault(one_spelling(patient), (patient, place))
        if patient != first:
            where, expected = f"{place}.patient", f'one spelling of a patient, "{first}" as at {first_place}'
            remedy = "write it in one way; ids of two patients differ by more than case and blanks"
            file = item["image"]
            yield dataset.problem("patient spelt in two ways", where, expected, f'"{patient}"', remedy, file=file)


def _patient_problems(dataset: DataSet) -> Iterator[Problem]:
    """A patient seen in training must not be seen in another fold, nor in validation or test."""
    first_of: dict[str, tuple[str, str]] = {}
    for split, place, item in dataset.entries():
        part = _part(split, item)
        first_part, first_place = first_of.setdefault(item["patient"], (part, place))
        if part != first_part:
            yield _in_two_parts(dataset, place, item, (part, first_part), first_place)


def _fold_problems(dataset: DataSet) -> Iterator[Problem]:
    training = [(place, item) for split, place, item in dataset.entries() if split == "training"]
    without = [(place, item) for place, item in training if item["fold"] is None]
    if without and len(without) < len(training):
        place, item = without[0]
        expected = "a fold in every training item or in none"
        found = f"none here ({len(without)} of {len(training)} items have none)"
        remedy = "`python -m monai_cl datalist split LIST NEW --keep LIST` gives them folds, patient by patient"
        yield dataset.problem("missing fold", place, expected, found, remedy, file=item["image"])


def _target_problems(dataset: DataSet) -> Iterator[Problem]:
    targets = dataset.document.get("targets")
    if not isinstance(targets, dict):
        return
    for _, place, item in dataset.entries():
        if "target" in item and str(item["target"]) not in targets:
            where, expected = f"{place}.target", f"one of the targets {', '.join(targets)}"
            remedy = 'correct it, or name it under "targets"'
            yield dataset.problem("target", where, expected, str(item["target"]), remedy, file=item["image"])


def _patient_target_problems(dataset: DataSet) -> Iterator[Problem]:
    """A target belongs to the patient: two scans of one may not contradict each other."""
    first_of: dict[str, tuple[int, str]] = {}
    for _, place, item in dataset.entries():
        if "target" not in item:
            continue
        first, first_place = first_of.setdefault(item["patient"], (item["target"], place))
        if item["target"] != first:
            expected = f'target {first} for patient "{item["patient"]}", as at {first_place}'
            where, remedy = f"{place}.target", 'correct one of them, or the "patient" of the item'
            yield dataset.problem("two targets", where, expected, str(item["target"]), remedy, file=item["image"])


def _count_problems(dataset: DataSet) -> Iterator[Problem]:
    if not any(dataset.splits.values()):
        found = "none in training, validation and test"
        yield dataset.problem("no items", dataset.place, "at least one item", found)
    for key, split in (("numTraining", "training"), ("numTest", "test")):
        declared, count = dataset.document.get(key), len(dataset.splits[split])
        if declared is not None and declared != count:
            expected = f"{count}, the number of {split} items"
            remedy = "complete the items; if none is missing, correct the number"
            yield dataset.problem("wrong count", dataset.at(key), expected, str(declared), remedy)
