"""What is known of a slice without an expert: where in the scan it lies, whose it is, any field of the data list."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from monai_cl.addressing import Stream, address_rng
from monai_cl.data.datalist.items import item_field
from monai_cl.data.slices.ct_slices import CTSlices, SliceVolume
from monai_cl.errors import UserError

logger = logging.getLogger(__name__)
POSITION, PATIENT = "position", "patient"
PARTS = 3
UNKNOWN = -1


def position_parts(affine: np.ndarray, count: int, parts: int) -> np.ndarray:
    """Part ``⌊S (i + ½)/n⌋`` of every slice, i counted from the feet: the n slices in S parts of equal size.

    Args:
        affine: (4, 4) voxel -> RAS mm; slices run along the third array axis, in either direction.
        count: n.
        parts: S.

    Returns:
        (n,) int64 in [0, S), by array index.

    Raises:
        ValueError: no slice or part, or a third array axis that does not run along the body.
    """
    step = float(np.asarray(affine)[2, 2])
    if count < 1 or parts < 1 or step == 0:
        raise ValueError(f"expected slices along the body and parts, got {count} slices {step} mm apart, {parts} parts")
    from_feet = np.arange(count) if step > 0 else np.arange(count)[::-1]
    return (2 * from_feet + 1) * parts // (2 * count)  # in integers: a boundary is not left to rounding


def slice_parts(slices: CTSlices, parts: int) -> np.ndarray:
    """Part of every kept slice, counted over all slices of its scan.

    Args:
        slices: of prepared volumes.
        parts: S, see `position_parts`.

    Returns:
        (len(slices),) int64.
    """
    return np.concatenate([_parts(slices, volume, parts) for volume in slices.volumes])


def meta_labels_of(
    slices: CTSlices,
    items: Sequence[Mapping[str, Any]],
    meta_labels: Mapping[str, Mapping[str, Any]],
    *,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """The meta-labels of every slice, as numbers that mean the same on every process.

    Args:
        slices: of prepared volumes.
        items: the data list's items of the volumes, in their order.
        meta_labels: name -> ``field``: ``position`` (with ``parts``), ``patient``, or a key of the items or of their
            ``meta``; None or absent: the name itself; and ``shuffled``: see `shuffle_labels`. Other entries are not
            looked at.
        seed: of what is shuffled.

    Returns:
        name -> (len(slices),) int64; -1 where an item lacks the field, or has null, nan or an empty text.

    Raises:
        UserError: a field that no item has, or whose values are lists or objects.
        ValueError: ``parts`` below 1, ``shuffled`` outside [0, 1].
    """
    if len(items) != len(slices.volumes):
        raise ValueError(f"items must be those of {len(slices.volumes)} volumes, got {len(items)}")
    found = {}
    for name, entry in meta_labels.items():
        field = _field(name, entry)
        if field == POSITION:
            found[name] = slice_parts(slices, int(entry.get("parts", PARTS)))
        else:
            of_scan = _numbers([_value(volume, item, field) for volume, item in zip(slices.volumes, items)], field)
            found[name] = np.repeat(of_scan, [len(volume.slices) for volume in slices.volumes])
        if shuffled := float(entry.get("shuffled") or 0):
            found[name] = shuffle_labels(found[name], shuffled, seed=seed)
    return found


def position_count(meta_labels: Mapping[str, Mapping[str, Any]]) -> int:
    """Parts of a scan that the meta-labels of the position have, whatever their names; 3 where there is none.

    Args:
        meta_labels: see `meta_labels_of`.

    Raises:
        UserError: two of them with different numbers of parts.
    """
    parts = {
        name: int(entry.get("parts", PARTS)) for name, entry in meta_labels.items() if _field(name, entry) == POSITION
    }
    if len(set(parts.values())) > 1:
        raise UserError(
            "meta_labels",
            expected="one number of parts for all labels of the position: a batch has a slice of each",
            found=", ".join(f"{name}: {count}" for name, count in parts.items()),
            remedy="give both the same parts, or leave one out",
        )
    return next(iter(parts.values()), PARTS)


def shuffle_labels(labels: np.ndarray, share: float, *, seed: int) -> np.ndarray:
    """Labels of which a share changed places among themselves: noise of a known size, for studies of robustness.

    Args:
        labels: (N,).
        share: part of the slices that takes part, in [0, 1]; some of them get a label equal to their own.
        seed: of the choice; the slices of a smaller share are among those of a larger one.

    Raises:
        ValueError: ``share`` outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"shuffled must be in [0, 1], got {share}")
    rng = address_rng(seed, Stream.PARTS)
    chosen = rng.permutation(len(labels))[: round(share * len(labels))]
    shuffled = labels.copy()
    shuffled[chosen] = labels[rng.permutation(chosen)]
    return shuffled


class MetaLabelledSlices(Dataset):
    """Slices with their meta-labels under ``label_<name>``, int64.

    Args:
        slices: `CTSlices`.
        labels: name -> (len(slices),), from `meta_labels_of`.
    """

    def __init__(self, slices: CTSlices, labels: Mapping[str, np.ndarray]) -> None:
        self.slices = slices
        self.labels = {f"label_{name}": torch.from_numpy(np.asarray(own)) for name, own in labels.items()}

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """As `CTSlices`, with the meta-labels."""
        return {**self.slices[index], **{key: own[index] for key, own in self.labels.items()}}


def _field(name: str, entry: Mapping[str, Any]) -> str:
    return str(entry.get("field") or name)


def _parts(slices: CTSlices, volume: SliceVolume, parts: int) -> np.ndarray:
    entry = slices.store.entry(volume.key)
    return position_parts(entry.affine, entry.shape[2], parts)[volume.slices]


def _value(volume: SliceVolume, item: Mapping[str, Any], field: str) -> Any:
    if field == PATIENT:
        return volume.patient  # with the data set's name where there are several
    value = item_field(item, field)
    if isinstance(value, (list, dict)):
        raise UserError(
            f"item {item.get('id', volume.id)}: {field}", expected="a number or a word", found=f"{value!r:.60}"
        )
    return value


def _text(value: Any) -> str | None:
    """What values are compared by: 1, 1.0 and "1 " are one; None of null, nan and an empty text."""
    if isinstance(value, float):
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    return None if value is None else str(value).strip() or None


def _numbers(given: Sequence[Any], field: str) -> np.ndarray:
    """0, 1, … by the order of the values' texts, -1 for what is missing."""
    values = [_text(value) for value in given]
    known = sorted({value for value in values if value is not None})
    absent = values.count(None)
    if not known:
        raise UserError(
            f"meta-label {field}",
            expected=f"items with {field!r}, beside their image or in their meta",
            found=f"none among {len(values)}",
            remedy="add it to the data list, or leave it out of meta_labels",
        )
    if absent:
        logger.warning(
            "meta-label %s: %d of %d scans have none: each of their slices is a class of its own",
            field,
            absent,
            len(values),
        )
    number = {value: i for i, value in enumerate(known)}
    return np.array([UNKNOWN if value is None else number[value] for value in values], dtype=np.int64)
