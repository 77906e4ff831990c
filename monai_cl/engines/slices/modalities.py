"""Slices and images of several modalities in one list, and batches in which the modalities take turns."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl.data import CTSlices, DataList, ModalitySampler, slice_volumes
from monai_cl.data.datalist.items import item_modality, modality_word
from monai_cl.data.store.conversion import common_intensity
from monai_cl.engines.prepared_lists import prepare_all
from monai_cl.engines.slices.data import SLICES, PatientSlices, without_empty_ends
from monai_cl.errors import UserError
from monai_cl.names import names_of

WINDOW = (-160.0, 240.0)
"""HU of CT among several modalities."""
logger = logging.getLogger(__name__)


def list_modalities(
    data_list: DataList, *, split: str = "training", modalities: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The modalities of a list in the order of their numbers: its words, sorted.

    Args:
        data_list: of one or several data sets.
        split: the part whose items are looked at.
        modalities: those to use; None: those of the items, and those of data sets without items in this part.

    Raises:
        UserError: a modality without items.
    """
    items = data_list.items(split)
    present = {item_modality(item) for item in items}
    if modalities is None:
        stated = [dataset.modality for dataset in data_list.datasets if not dataset.splits[split]]
    else:
        stated = [modality_word(word) for word in names_of(modalities)]  # a shell gives one word, or commas between
        present &= set(stated)
    names = tuple(sorted({*stated, *present}))
    if empty := [name for name in names if name not in present]:
        there = ", ".join(sorted({item_modality(item) for item in items})) or "no items"
        raise UserError(
            data_list.path,
            expected=f"at least one item of modality {empty[0]} under {split!r}",
            found=there,
            remedy="add its items, correct their modality, or name the modalities to use without it",
        )
    return names


def modality_slices(
    data_list: DataList,
    *,
    store: str | Path,
    split: str = "training",
    modalities: Sequence[str] | None = None,
    window: Sequence[float] | None = None,
    fraction: float = 1.0,
    prepare_workers: int = 1,
    **options: Any,
) -> CTSlices:
    """The slices and images of every item of a list, whatever their modality, prepared into the store on first use.

    CT is checked for HU and seen through the window; other modalities, PNG and JPEG from the 1st to the 99th percentile
    of the scan or image, see `Preparation`. Slices at the ends of a volume that show nothing are left out. The names of
    the list's findings go with them.

    Args:
        data_list: of one or several data sets.
        store: folder of the prepared store; volumes keep their own spacing.
        split: which items.
        modalities: those to use, see `list_modalities`; items of others are left out.
        window: (lower, upper) HU of CT; None: [-160, 240] HU.
        fraction: central part of each volume that is kept.
        prepare_workers: processes that prepare.
        options: of `CTSlices`: ``size``, ``pixel_size``, ``neighbours``.

    Raises:
        UserError: a modality without items, an item that cannot be prepared.
    """
    names = list_modalities(data_list, split=split, modalities=modalities)
    used = [item for item in data_list.items(split) if item_modality(item) in names]
    done = prepare_all(used, store, replace(SLICES, intensity=common_intensity(used)), workers=prepare_workers)
    volumes = slice_volumes(done.store, done.keys, used, fraction=fraction, progress=True)
    hu = WINDOW if window is None else (float(window[0]), float(window[1]))
    volumes = without_empty_ends(done.store, volumes, hu)
    return CTSlices(done.store, volumes, window=hu, modalities=names, findings=data_list.finding_names, **options)


def modality_batches(slices: CTSlices, *, batch_size: int, seed: int, world_size: int | None = None) -> PatientSlices:
    """Slices by global position, the sample at position p of modality p mod M.

    Give it to a loader with a `PositionSampler` of the same batch size. Its items have their number under
    ``modality``.

    Args:
        slices: `CTSlices` of all modalities, see `modality_slices`.
        batch_size: samples per process and iteration, a multiple of the number of modalities.
        seed: of the run.
        world_size: processes; None: of this run.

    Raises:
        UserError: a batch that cannot be divided evenly among the modalities.
    """
    counts = [len(volume.slices) for volume in slices.volumes]
    numbers = [slices.modalities.index(volume.modality) for volume in slices.volumes]
    sampler = ModalitySampler(
        np.repeat(np.arange(len(counts)), counts),
        np.repeat(numbers, counts),
        names=slices.modalities,
        batch_size=batch_size,
        seed=seed,
        world_size=world_size,
    )
    return PatientSlices(slices, sampler)
