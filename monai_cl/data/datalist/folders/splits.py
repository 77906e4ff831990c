"""Which scans of a folder train, validate and test, and in which fold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.folders.description import cross_validation, listed_files
from monai_cl.data.datalist.folders.patterns import SPLIT_FOLDERS
from monai_cl.data.datalist.model import SPLITS
from monai_cl.errors import UserError


def as_described(document: dict[str, list[dict]], description: Mapping[str, Any], paths: set[str]) -> None:
    """Put each scan into the split in which ``dataset.json`` names it; scans that no pattern matched are added.

    Args:
        document: split -> items, changed in place.
        description: the content of ``dataset.json``.
        paths: of files that are there.
    """
    for split in SPLIT_FOLDERS:
        named = {image: label for image, label in listed_files(description, split).items() if image in paths}
        for other in SPLITS:
            moved = [item for item in document[other] if item["image"] in named]
            document[other] = [item for item in document[other] if item["image"] not in named]
            document[split] += moved
            for item in moved:
                del named[item["image"]]
        document[split] += [
            {"image": image} | ({"label": label} if label in paths else {}) for image, label in named.items()
        ]


def add_folds(items: list[dict[str, Any]], cases: Mapping[str, str], splits: str | Path) -> None:
    """Give items the folds of nnU-Net's ``splits_final.json``.

    Args:
        items: changed in place.
        cases: image -> case.
        splits: the file.

    Raises:
        UserError: see :func:`cross_validation`; an item that is in no fold.
    """
    folds = cross_validation(splits)
    without = [item["image"] for item in items if cases.get(item["image"]) not in folds]
    if without:
        raise UserError(
            splits,
            expected="every scan in the validation part of a fold",
            found=f"not {without[0]}" + (f" and {len(without) - 1} more" if len(without) > 1 else ""),
            remedy="leave out --splits and make folds with `datalist split`",
        )
    for item in items:
        item["fold"] = folds[cases[item["image"]]]


def set_aside(document: dict[str, list[dict]], part: float) -> None:
    """Move the scans of some patients to ``validation``: those first in the order of a hash, as `label_subset`.

    Args:
        document: split -> items, changed in place.
        part: of the patients with labels, in (0, 1); one at least, and not all.

    Raises:
        UserError: there are validation scans already, or fewer than two patients with labels.
    """
    if document["validation"]:
        raise UserError(
            "validation",
            expected="a data set without validation scans",
            found=f"{len(document['validation'])} already",
            remedy="leave out --validation",
        )
    patient_of = _patients(document["training"])
    labelled = {patient_of[item["image"]] for item in document["training"] if "label" in item or "target" in item}
    ranked = sorted(labelled, key=lambda patient: hashlib.sha256(f"validation\n{patient}".encode()).digest())
    if len(ranked) < 2:
        raise UserError(
            "validation",
            expected="at least two patients with labels, one to train and one to validate on",
            found=len(ranked),
            remedy="leave out --validation",
        )
    chosen = set(ranked[: min(max(1, round(part * len(ranked))), len(ranked) - 1)])
    for split, inside in (("validation", True), ("training", False)):
        scans = [item for item in document["training"] if (patient_of[item["image"]] in chosen) == inside]
        document[split] = scans


def _patients(items: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Image -> patient; a scan without one is a patient of its own."""
    return {item["image"]: str(item.get("patient", item["image"])) for item in items}
