"""From a pre-training data list to the patch data set a bundle trains on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_cl.data import DataList, MixCLPatches, Preparation
from monai_cl.engines.prepared_lists import prepare_all
from monai_cl.errors import UserError
from monai_cl.processes import rank

logger = logging.getLogger(__name__)


def class_counts(data_list: DataList) -> list[int]:
    """Number of classes, background included, of each data set (label ids must be 0 … n−1 for the supervised head).

    It is 1 for a data set without labels.

    Args:
        data_list: list of one or several data sets, each with its ``labels``.

    Raises:
        UserError: names the data set whose ids have a gap; a list in which no data set has an organ, or no scan labels.
    """
    counts = []
    for dataset in data_list.datasets:
        ids = sorted(dataset.labels)
        if ids != list(range(len(ids))):
            raise UserError(
                f"{data_list.path}: data set {dataset.name!r}",
                expected=f"the label ids 0 … {len(ids) - 1} without gaps",
                found=ids,
                remedy="renumber them with a label_map that names every value of the files",
            )
        counts.append(len(ids))
    if max(counts, default=1) < 2:
        raise UserError(
            data_list.path,
            expected="organs of at least one data set, which the supervised term learns",
            found="none",
            remedy="--preset balanced or reconstruction, which learn without labels",
        )
    every = [item for dataset in data_list.datasets for _, _, item in dataset.entries()]
    if every and not any("label" in item for item in every):
        raise UserError(
            data_list.path,
            expected="labelled scans of at least one data set, which the supervised term learns from",
            found="none",
            remedy="add labels to the list, or --preset balanced or reconstruction, which learn without labels",
        )
    return counts


def mixcl_patches(
    data_list: DataList,
    *,
    store: str | Path,
    spacing: Sequence[float] = (1.5, 1.5, 2.0),
    prepare_workers: int = 1,
    antialias: bool = False,
    split: str = "training",
    unlabelled: bool = False,
    **patches: Any,
) -> MixCLPatches:
    """`MixCLPatches` over the items of a list, prepared on first use.

    Args:
        data_list: of one or several data sets.
        store: folder of the prepared store.
        spacing: mm, RAS.
        prepare_workers: processes that prepare.
        antialias: average over the new voxel where the spacing grows, instead of the paper's linear interpolation.
        split: the part of the list that the patches are from, such as ``training``.
        unlabelled: take scans without label too: for terms that need none. The others leave them out.
        patches: options of `MixCLPatches`.

    Raises:
        UserError: when the list has no (labelled) training item, or an item cannot be prepared.
    """
    every = data_list.items(split)
    items = [item for item in every if unlabelled or "label" in item]
    if not items:
        raise UserError(
            data_list.path,
            found=f"no item {'' if unlabelled else 'with image and label '}under {split!r}",
            remedy="name scans in the list"
            if unlabelled
            else "name labels in the list, or take terms that learn without labels: --preset balanced",
        )
    if (without := sum("label" not in item for item in every)) and rank() == 0:
        use = "the terms that need labels leave them out" if unlabelled else "none of the terms can use them: left out"
        logger.warning("%s: %d of %d scans under %r have no label; %s", data_list.path, without, len(every), split, use)
    done = prepare_all(items, store, Preparation(spacing=spacing, antialias=antialias), workers=prepare_workers)
    grouped: dict[str, list[str]] = {dataset.name: [] for dataset in data_list.datasets}
    for item, key in zip(items, done.keys):
        grouped[item["dataset"]].append(key)
    # an empty data set keeps its place: a data set's index is its place in the list, as in `class_counts`
    return MixCLPatches(done.store, grouped, **patches)


def case_ids(patches: MixCLPatches) -> list[str]:
    """The cases that patches are from, for the record of a run.

    Args:
        patches: of `mixcl_patches`.
    """
    return [patches.store.entry(key).id for keys in patches.keys for key in keys]


def identity_levels(levels: Sequence[int] | None, identity_weight: float) -> list[int] | None:
    """Encoder levels that need a projector for the identity term: None, which is all, or none when it is off.

    Args:
        levels: indices of the encoder levels, see `MixCLNet`; None: all.
        identity_weight: weight of the identity term in the loss; 0 switches the term off.
    """
    if not identity_weight:
        return []
    return None if levels is None else [int(level) for level in levels]
