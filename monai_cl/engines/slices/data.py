"""From a data list to the slices a bundle trains on: prepared, chosen, drawn by position."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.data import Dataset

from monai_cl.data import (
    CTSlices,
    DataList,
    PatientSampler,
    Preparation,
    SliceVolume,
    VolumeStore,
    organ_ids,
    slice_volumes,
)
from monai_cl.data.datalist.items import holds_hounsfield
from monai_cl.data.slices.choice import shown_part
from monai_cl.data.slices.ct_slices import WINDOW
from monai_cl.data.store.conversion import common_intensity
from monai_cl.engines.prepared_lists import describe, describe_patients, prepare_all, require_ct, require_two_sides
from monai_cl.errors import UserError
from monai_cl.losses import SliceLoss
from monai_cl.transforms.scan_scale import SCALE

logger = logging.getLogger(__name__)
# native spacing: the paper's slices are not resampled
SLICES = Preparation(spacing=None, layout="slices")


def patient_targets(items: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], int | None]:
    """(Data set, patient) -> class, or None where it is not known; the list guarantees that there is only one."""
    return {(item["dataset"], item["patient"]): item.get("target") for item in items}


def class_count(data_list: DataList) -> int:
    """Number of classes of the patients of a list, whose targets must be 0 … n−1; at least 2.

    Args:
        data_list: the list; every training patient with a ``target`` counts.

    Raises:
        UserError: names the list when there are not two classes, or the targets have a gap.
    """
    targets = patient_targets(data_list.items("training"))
    classes = sorted({target for target in targets.values() if target is not None})
    if len(classes) < 2 or classes != list(range(len(classes))):
        raise UserError(
            data_list.path,
            expected="targets 0, 1, … without gaps, two or more",
            found=classes or "none",
            remedy="give the items a target, or map them in patient_labels",
        )
    return len(classes)


def list_slices(
    data_list: DataList,
    *,
    store: str | Path,
    split: str = "training",
    organ: str | None = "liver",
    fraction: float = 0.7,
    prepare_workers: int = 1,
    labelled: bool = False,
    items: Sequence[Mapping[str, Any]] | None = None,
    window: Sequence[float] | None = WINDOW,
    by_modality: bool = False,
    **options: Any,
) -> CTSlices:
    """The kept slices of every scan of a list, prepared into the store on first use.

    Args:
        data_list: of one or several data sets.
        store: folder of the prepared store; volumes keep their own spacing.
        split: which items.
        organ: slices are chosen by its mask where a scan has one, otherwise by the whole volume; None: never by masks.
        fraction: central part that is kept.
        prepare_workers: processes that prepare.
        labelled: leave out (and count) the scans of patients without a target.
        items: those of the list that are used, in place of ``split``.
        window: (lower, upper) HU. None: [-100, 400] HU for CT; scans of another modality are scaled by their
            percentiles, see `Preparation`.
        by_modality: CT is seen through the window, and scans of another modality, PNG and JPEG from the 1st to the 99th
            percentile, so that one list may hold both; slices at the ends of a volume that show nothing are left out.
        options: of `CTSlices`: ``size``, ``pixel_size``, ``neighbours``.

    Raises:
        UserError: another modality than CT, where there is a window and not ``by_modality``; CT and another in one list
            where there is none; no item, an item that cannot be prepared, a mask without the organ, a patient with two
            targets.
    """
    items = data_list.items(split) if items is None else list(items)
    targets, field = patient_targets(items), data_list.grade.field
    if labelled:
        unknown = sum(target is None for target in targets.values())
        items = [item for item in items if item.get("target") is not None]
        if unknown and items:
            logger.warning(
                "%s: %d of %d patients have no %s and are left out", data_list.path, unknown, len(targets), field
            )
        require_two_sides(data_list, items)
    if not items:
        kind = f"item with a {field}" if labelled else "item"
        raise UserError(data_list.path, expected=f"at least one {kind} under {split!r}", found="none")
    if by_modality:
        intensity = common_intensity(items)
    elif window is not None:
        require_ct(data_list, items)
        intensity = "hounsfield"
    else:
        intensity = slice_intensity(data_list)
    done = prepare_all(items, store, replace(SLICES, intensity=intensity), workers=prepare_workers)
    ids = organ_ids(data_list, organ) if organ else {}
    if organ and not ids and any(map(holds_hounsfield, items)):
        logger.warning("%s: no data set declares %r: slices are chosen from whole volumes", data_list.path, organ)
    volumes = slice_volumes(done.store, done.keys, items, liver=ids or None, fraction=fraction, progress=True)
    seen = slice_window(window, intensity)
    if by_modality:
        volumes = without_empty_ends(done.store, volumes, seen)
    return CTSlices(done.store, volumes, window=seen, **options)


def without_empty_ends(
    store: VolumeStore, volumes: Sequence[SliceVolume], window: tuple[float, float]
) -> list[SliceVolume]:
    """Volumes without the slices at their ends that show nothing; it is logged how many.

    Args:
        store: of the volumes.
        volumes: those that show nothing at all stay whole, and are refused by `CTSlices`.
        window: of scans that have none of their own.
    """
    kept, left_out = [], 0
    for volume in volumes:
        part = shown_part(store.entry(volume.key).slice_range[volume.slices], volume.window or window)
        left_out += len(volume.slices) - len(volume.slices[part])
        kept.append(replace(volume, slices=volume.slices[part], depths=volume.depths[part]))
    if left_out:
        logger.warning("%d slices at the ends of volumes show nothing and are left out", left_out)
    return kept


def slice_intensity(data_list: DataList) -> str:
    """``hounsfield`` for a list of CT, ``percentiles`` for one of other modalities; see `Preparation`.

    Args:
        data_list: whose data sets name their ``modality``.

    Raises:
        UserError: both in one list.
    """
    kinds = {holds_hounsfield(item): dataset.name for dataset in data_list.datasets for _, _, item in dataset.entries()}
    if len(kinds) > 1:
        raise UserError(
            data_list.path,
            expected="CT alone, or no CT",
            found=f"CT in {kinds[True]} and another modality (or PNG, JPEG) in {kinds[False]}",
            remedy="use a list for each",
        )
    return "percentiles" if False in kinds else "hounsfield"


def slice_window(window: Sequence[float] | None, intensity: str = "hounsfield") -> tuple[float, float]:
    """The window of slices that are prepared so, in the unit of the store.

    Args:
        window: (lower, upper) HU, or None for the one that belongs to ``intensity``.
        intensity: see `Preparation`.
    """
    if window is None:
        return WINDOW if intensity == "hounsfield" else SCALE
    return float(window[0]), float(window[1])


class PatientSlices(Dataset):
    """Slices by global position: position g of iteration k is the sampler's g-th draw, in whichever process.

    Give it to a loader with a `PositionSampler` of the same batch size; views are addressed by the position, so that a
    slice drawn twice is seen in other views.

    Args:
        slices: `CTSlices`.
        sampler: a `PatientSampler` over them.
    """

    def __init__(self, slices: CTSlices, sampler: PatientSampler) -> None:
        self.slices, self.sampler = slices, sampler
        self._batch: tuple[int, list[int]] = (-1, [])

    def __getitem__(self, position: int) -> dict[str, Any]:
        """As an item of ``slices``, with its ``position``."""
        iteration, place = divmod(int(position), self.sampler.batch_size * self.sampler.world_size)
        if self._batch[0] != iteration:
            self._batch = (iteration, self.sampler.batch(iteration))
        return {**self.slices[self._batch[1][place]], "position": int(position)}


def patient_slices(
    slices: CTSlices,
    *,
    method: str,
    targets: Sequence[str] | None = None,
    batch_size: int,
    seed: int,
    balance: bool | None = None,
    world_size: int | None = None,
) -> PatientSlices:
    """Batches of distinct patients, classes balanced, one slice each (the sampler of WSP).

    Args:
        slices: `CTSlices`.
        method: its name, for messages.
        targets: what its loss takes of a batch; None: as `SliceLoss` does.
        batch_size: patients per process and iteration.
        seed: of the run.
        balance: classes balanced, patients without a class left out. None: where any class is known.
        world_size: processes; None: of this run.

    Raises:
        UserError: a method that learns from classes where none is known, or where unknown ones would take part.
    """
    known = set(slices.targets)
    needs = "label" in (SliceLoss(method).targets if targets is None else targets)
    if needs and (known == {None} or (balance is False and None in known)):
        found = "none of the patients has one" if known == {None} else "balance=false takes patients without one too"
        raise UserError(
            f"method {method}: expected patients with a target, but {found}; add targets to the data list"
            + (
                ", or use --balance True"
                if known != {None}
                else ", or use --method depth_aware, simclr, byol or clustering"
            )
        )
    balanced = known != {None} if balance is None else balance
    sampler = PatientSampler(
        slices.patients,
        slices.targets,
        batch_size=batch_size,
        seed=seed,
        balance=balanced,
        world_size=world_size,
    )
    return PatientSlices(slices, sampler)


def describe_slices(data_list: DataList, slices: CTSlices, **more: Any) -> dict[str, Any]:
    """The entry of the slices of a list in ``results.json``: as `describe`, with the scans and patients used.

    Args:
        data_list: the list that the slices are of.
        slices: the slices that are used; their scans and patients are counted.
        **more: further entries of the record, see `describe`; a network among the values is written as the name of its
            class.
    """
    settings = {**describe_patients(slices.volumes), "slices": len(slices)}
    # a backbone may be a network of the user
    plain = {key: type(value).__name__ if isinstance(value, nn.Module) else value for key, value in more.items()}
    return describe(data_list, **settings | plain)
