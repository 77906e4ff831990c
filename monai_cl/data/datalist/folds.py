"""Folds and label fractions: which scans a run trains on, and how a list is divided into folds by patient."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai_cl.data.datalist.model import DataList, DataSet
from monai_cl.errors import UserError


def fold_items(
    data_list: DataList,
    *,
    fold: int | None,
    label_fraction: float = 1.0,
    seed: int = 0,
    split: str = "training",
) -> list[dict[str, Any]]:
    """The items of one cross-validation run, in the order of the list.

    Args:
        data_list: the list; each of its data sets is divided separately.
        fold: the fold that validates. None: the list's own ``training`` and ``validation`` are used as they are.
        label_fraction: part of the training scans to keep, in (0, 1]; see :func:`label_subset`. Where some have a
            ``label`` it is a part of these, and all scans without one are kept. Validation is whole.
        seed: which scans a fraction keeps.
        split: ``"training"`` or ``"validation"``.

    Raises:
        UserError: the list has no such fold, or nothing is left to train or validate on.
    """
    if split not in ("training", "validation"):
        raise UserError(f"split must be 'training' or 'validation', got {split!r}")
    check_fraction(label_fraction)
    chosen = []
    for dataset in data_list.datasets:
        items = _split_items(data_list, dataset, fold=fold, split=split)
        if split == "training":
            labelled = [item for item in items if "label" in item]
            kept = label_subset(labelled or items, fraction=label_fraction, seed=seed, address=_address(fold))
            names = {item["id"] for item in kept}
            items = [item for item in items if item["id"] in names or (labelled and "label" not in item)]
        chosen += [dict(item) for item in items]
    if not chosen:
        remedy = 'name a fold, or add items under "validation"' if split == "validation" else "add items"
        raise UserError(f"data list {data_list.path}", found=f"no {split} items for fold {fold}", remedy=remedy)
    return chosen


def check_fraction(fraction: float) -> None:
    """Raise unless ``fraction`` is in (0, 1]."""
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction <= 1:
        hint = (
            f"; for {fraction} % write {fraction / 100}"
            if isinstance(fraction, int | float) and 1 < fraction <= 100
            else ""
        )
        raise UserError(f"label_fraction must be in (0, 1], got {fraction}{hint}")


def _address(fold: int | None) -> str:
    return "all" if fold is None else str(fold)


def _split_items(data_list: DataList, dataset: DataSet, *, fold: int | None, split: str) -> list[dict[str, Any]]:
    if fold is None:
        return list(dataset.splits[split])
    if isinstance(fold, bool) or not isinstance(fold, int):
        raise UserError(f"fold must be an integer or None, got {fold!r}")
    folds = sorted({item["fold"] for item in dataset.splits["training"]} - {None})
    if fold not in folds:
        has = f"has the folds {', '.join(map(str, folds))}" if folds else "has no folds; `datalist split` makes some"
        raise UserError(f"data list {data_list.path}", found=f"no fold {fold}: data set {dataset.name} {has}")
    inside = split == "validation"
    return [item for item in dataset.splits["training"] if (item["fold"] == fold) == inside]


def label_subset(
    items: Sequence[dict[str, Any]], *, fraction: float, seed: int = 0, address: str = "all"
) -> list[dict[str, Any]]:
    """Keep ``ceil(fraction * n)`` of n items, at least one, in their order.

    Patients are put in the order of a hash of (seed, address, patient) and the front of that order is kept. So a
    smaller fraction is contained in a larger one, and the choice depends neither on the order of the list, nor on the
    version of a random-number library, and hardly on scans that are added later.
    """
    check_fraction(fraction)

    def rank(index: int) -> tuple[bytes, str]:
        return _draw(seed, address, items[index]["patient"]), items[index]["id"]

    # 0.07 * 100 is 7.000000000000001 in floating point and must not become 8
    count = min(len(items), max(1, math.ceil(fraction * len(items) - 1e-9)))
    kept = set(sorted(range(len(items)), key=rank)[:count])
    return [item for index, item in enumerate(items) if index in kept]


def split_folds(
    patients: Sequence[str], *, folds: int = 5, seed: int = 0, strata: Sequence[Hashable] | None = None
) -> list[int]:
    """Divide items into ``folds`` folds so that a patient's items stay together.

    Patients are dealt out like cards: sorted by stratum, then by how many items they have, then in random order. So the
    folds' numbers of patients, and of patients of each stratum, differ by one at most, however rare a stratum is.
    scikit-learn's splitters refuse or warn on rare strata, and its grouped one may leave a fold empty.

    Args:
        patients: the patient of each item.
        folds: how many, at least 2 and at most the number of patients.
        seed: another seed gives another division.
        strata: a key for each item (a stage, the set of organs present). A patient with several takes the commonest.

    Returns:
        The fold of each item, 0 to ``folds - 1``. It depends on neither the order of the items nor a library's version.
    """
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
        raise UserError(f"folds must be an integer of at least 2, got {folds!r}")
    items_of = _items_of(patients, strata)
    if len(items_of) < folds:
        raise UserError(
            f"expected at least as many patients as folds ({folds}), found {len(items_of)} patients; "
            f"{fewer_folds(len(items_of))}"
        )
    dealt = sorted(items_of, key=lambda patient: _card(patient, items_of[patient], seed))
    # the first folds get the patients that are left over: let the seed say which fold is first
    first = int.from_bytes(_draw(seed, "first fold", "")[:4], "big")
    fold_of = {patient: (first + place) % folds for place, patient in enumerate(dealt)}
    return [fold_of[patient] for patient in patients]


def fewer_folds(available: int, *, fewest: int = 2) -> str:
    """What to do where there are more folds than the ``available`` patients.

    Args:
        available: number of patients, or of those of a class.
        fewest: folds that are enough for what follows.
    """
    return f"use {available} folds, or add patients" if available >= fewest else "add patients"


def extend_folds(
    patients: Sequence[str],
    *,
    kept: Mapping[str, int],
    folds: int | None = None,
    seed: int = 0,
    strata: Sequence[Hashable] | None = None,
) -> list[int]:
    """Folds in which every patient of ``kept`` stays where it was, and new ones fill the smallest folds.

    New patients come in the order of :func:`split_folds`; each goes to the fold with the fewest patients of its
    stratum, of those to the one with the fewest patients, of those to one that the seed chooses.

    Args:
        patients: the patient of each item.
        kept: patient -> fold, of an earlier division.
        folds: how many; None: as many as ``kept`` has.
        seed: decides between folds of one size.
        strata: as in :func:`split_folds`.

    Returns:
        The fold of each item.

    Raises:
        UserError: ``kept`` is empty, or has a fold that ``folds`` does not.
    """
    if not kept:
        raise UserError("expected folds to keep, found none; make them without --keep")
    count = max(kept.values()) + 1 if folds is None else folds
    if isinstance(count, bool) or not isinstance(count, int) or count <= max(kept.values()):
        raise UserError(
            f"expected at least as many folds as those that are kept ({max(kept.values()) + 1}), found {folds!r}"
        )
    items_of = _items_of(patients, strata)
    fold_of = {patient: kept[patient] for patient in items_of if patient in kept}
    sizes, parts = Counter(fold_of.values()), Counter((_stratum(items_of[p]), fold) for p, fold in fold_of.items())
    for patient in sorted(items_of.keys() - fold_of.keys(), key=lambda p: _card(p, items_of[p], seed)):
        stratum = _stratum(items_of[patient])
        fold = min(range(count), key=lambda k: (parts[stratum, k], sizes[k], _draw(seed, "fold", str(k))))
        fold_of[patient] = fold
        sizes[fold] += 1
        parts[stratum, fold] += 1
    return [fold_of[patient] for patient in patients]


def _items_of(patients: Sequence[str], strata: Sequence[Hashable] | None) -> dict[str, Counter]:
    """Patient -> stratum -> number of items."""
    if strata is not None and len(strata) != len(patients):
        raise ValueError(f"strata must have one key per item ({len(patients)}), got {len(strata)}")
    items_of: dict[str, Counter] = {}
    for i, patient in enumerate(patients):
        items_of.setdefault(patient, Counter())[repr(strata[i]) if strata is not None else ""] += 1
    return items_of


def _stratum(items: Counter) -> str:
    return min(items, key=lambda key: (-items[key], key))


def _card(patient: str, items: Counter, seed: int) -> tuple[str, int, bytes]:
    return _stratum(items), -items.total(), _draw(seed, "folds", patient)


def _draw(seed: int, address: str, patient: str) -> bytes:
    """Random bytes that depend on nothing but the arguments."""
    return hashlib.sha256(f"{seed}\n{address}\n{patient}".encode("utf-8", "surrogatepass")).digest()
