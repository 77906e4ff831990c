"""The patients a classifier is trained and evaluated on: folds by patient, the same for probe and fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_cl.data import CTSlices, DataList, HeadBoxes
from monai_cl.engines.prepared_lists import fold_of
from monai_cl.engines.probe.folds import PatientFolds, read_folds, stratified_folds
from monai_cl.engines.probe.metrics import check_binary
from monai_cl.engines.slices.data import list_slices
from monai_cl.errors import UserError


def classified_patients(slices: CTSlices | HeadBoxes, *, source: str | Path) -> dict[str, int]:
    """Patient -> class 0 or 1.

    Raises:
        UserError: a class other than 0 and 1; names patient and list.
    """
    labels = {volume.patient: volume.target for volume in slices.volumes if volume.target is not None}
    check_binary(labels, source=str(source))
    return labels


def patient_folds(
    slices: CTSlices,
    data_list: DataList,
    *,
    folds: str | Path | None = None,
    count: int = 5,
    seed: int = 0,
) -> PatientFolds:
    """Folds of the patients with a class.

    Args:
        slices: of the list.
        data_list: for its own folds and for messages.
        folds: None: stratified by class, made of patient ids and ``seed`` alone, as ``python -m monai_cl probe`` makes
            them; ``list``: the ``fold`` of the list's items; or a ``folds.json``.
        count: number of the folds that are made where ``folds`` is None.
        seed: of the folds that are made.

    Raises:
        UserError: a class with fewer patients than folds, a patient in two folds or in none, folds of other patients.
    """
    labels = classified_patients(slices, source=data_list.path)
    if folds is None:
        made = stratified_folds(labels, count=count, seed=seed, source=data_list.path)
    elif str(folds) == "list":
        made = _listed(slices, data_list, labels)
    else:
        made = read_folds(folds)
    made.require(labels)
    made.require_classes(labels)
    return made


def fold_slices(slices: CTSlices, data_list: DataList, *, fold: int | None, training: bool, **options: Any) -> CTSlices:
    """The slices of a fold's training or test part.

    Args:
        slices: of every scan of the list.
        data_list: for its own folds and for messages.
        fold: number of the fold; None: no folds are made, and every patient with a class is in either part.
        training: which part.
        **options: which folds, see `patient_folds`: ``folds``, ``count``, ``seed``.

    Raises:
        UserError: no such fold, or no fold for a training part of a list without validation items: no patient would be
            left to evaluate it on.
    """
    fold = fold_of(fold)
    if fold is None and training:
        require_validation(data_list)
    if fold is None:
        labels = classified_patients(slices, source=data_list.path)
        chosen = [volume for volume in slices.volumes if volume.patient in labels]
        if training:
            require_both_classes(labels, data_list, "training")
    else:
        folds = patient_folds(slices, data_list, **options)
        if fold not in range(folds.count):
            raise UserError(f"fold must be in 0 … {folds.count - 1}, got {fold}; correct --fold")
        known = [volume for volume in slices.volumes if volume.patient in folds.fold]
        chosen = [volume for volume in known if (folds.fold[volume.patient] != fold) == training]
    return slices.of(chosen)


def require_validation(data_list: DataList) -> None:
    """Refuse a list whose items under ``validation`` are to validate, and that has none.

    Raises:
        UserError: names the list.
    """
    if not data_list.items("validation"):
        raise UserError(
            data_list.path,
            expected='items under "validation"',
            found="none",
            remedy="add them, or pass --fold 0 to leave out a fifth of the training patients",
        )


def validation_slices(
    slices: CTSlices, data_list: DataList, *, fold: int | None, slice_options: Mapping[str, Any], **options: Any
) -> CTSlices:
    """The slices that validate a fine-tuning: of the fold that is left out, or of the list's own validation items.

    Args:
        slices: of the training items.
        data_list: of both.
        fold: number of the fold; None: the ``validation`` items of the list validate.
        slice_options: of `monai_cl.engines.list_slices`, for these items.
        **options: see `patient_folds`.

    Raises:
        UserError: see `fold_slices` and `list_slices`; no fold, and no validation items in the list.
    """
    if fold_of(fold) is not None:
        return fold_slices(slices, data_list, fold=fold, training=False, **options)
    require_validation(data_list)
    own = list_slices(data_list, split="validation", **{"labelled": True, **slice_options})
    require_both_classes(classified_patients(own, source=data_list.path), data_list, "validation")
    return fold_slices(own, data_list, fold=None, training=False)


def require_both_classes(labels: Mapping[str, int], data_list: DataList, split: str) -> None:
    """Refuse a part of a list whose patients are all of one class: nothing is learned from it, and no AUC measured.

    Args:
        labels: patient -> class.
        data_list: that the part is of.
        split: its name.

    Raises:
        UserError: names the list and the class.
    """
    if len(found := set(labels.values())) < 2:
        raise UserError(
            data_list.path,
            expected=f"patients of both classes, 0 and 1, under {split!r}",
            found=f"class {min(found)} alone" if found else "none",
            remedy="add patients of the other, or pass --fold 0 to leave out a fifth of the training patients",
        )


def _listed(slices: CTSlices, data_list: DataList, labels: dict[str, int]) -> PatientFolds:
    fold: dict[str, int] = {}
    items = {(item["dataset"], item["id"]): item.get("fold") for item in data_list.items("training")}
    for volume in slices.volumes:
        if volume.patient not in labels:
            continue
        number = items.get((slices.store.entry(volume.key).dataset, volume.id))
        if number is None:
            raise UserError(
                f"{data_list.path}: patient {volume.patient}",
                expected="a fold",
                found="none",
                remedy="leave --folds out",
            )
        if fold.setdefault(volume.patient, int(number)) != number:
            raise UserError(
                f"{data_list.path}: patient {volume.patient}",
                expected="one fold",
                found=f"{fold[volume.patient]} and {number}",
                remedy="correct the data list",
            )
    if sorted(set(fold.values())) != list(range(max(fold.values()) + 1)):
        raise UserError(
            data_list.path,
            expected="folds 0, 1, … without gaps",
            found=sorted(set(fold.values())),
            remedy="number them anew in the list, or leave --folds out to make new ones",
        )
    return PatientFolds(fold, None, str(data_list.path))
