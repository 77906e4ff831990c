"""From a data list to fine-tuning crops and to whole validation volumes in their original space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    EnsureTyped,
    Orientationd,
    RandRotate90d,
    ScaleIntensityRanged,
    SelectItemsd,
    Transform,
)

from monai_cl.data import (
    DataList,
    LoadLabeld,
    LoadScand,
    Preparation,
    ScanIntensityd,
    SegmentationPatches,
    fold_items,
)
from monai_cl.engines.distributed.collectives import shard_indices
from monai_cl.engines.prepared_lists import fold_of, prepare_all
from monai_cl.errors import UserError
from monai_cl.transforms import Spacingd


def foreground_names(data_list: DataList) -> list[str]:
    """Organ names of the list's only data set in the order of their ids 1 … n.

    Args:
        data_list: list of one data set, whose ``labels`` name every id.

    Raises:
        UserError: when ids have gaps: a network's output channels have none.
    """
    labels = data_list.labels
    ids = sorted(labels)
    if ids != list(range(len(ids))) or len(ids) < 2:
        raise UserError(
            data_list.path,
            expected="labels with the ids 0 (background), 1, 2, … without gaps",
            found=ids,
            remedy="renumber them with a label_map that names every value of the files",
        )
    return [labels[i] for i in ids[1:]]


def training_items(
    data_list: DataList,
    *,
    fold: int | None,
    label_fraction: float = 1.0,
    seed: int = 0,
    partly_annotated: bool = False,
) -> list[dict[str, Any]]:
    """Labelled training items of a fold, reduced to the nested label fraction.

    Args:
        data_list: the list; each of its data sets is divided separately.
        fold: the fold that is kept for validation; None: all of the list's own ``training``.
        label_fraction: part of the training scans that is kept, in (0, 1]; a smaller part lies in every larger one.
        seed: decides which scans a fraction keeps.
        partly_annotated: the loss leaves out voxels that a list ignores, see `AnnotatedDiceCELoss`.

    Raises:
        UserError: no labelled item, or a list that ignores a value without ``partly_annotated``.
    """
    _check_ignored(data_list, partly_annotated)
    items = fold_items(data_list, fold=fold_of(fold), label_fraction=label_fraction, seed=seed, split="training")
    return _labelled(items, data_list, f"training part of fold {fold}")


def validation_items(data_list: DataList, *, fold: int | None, partly_annotated: bool = False) -> list[dict[str, Any]]:
    """Labelled validation items of a fold: this process's share of them when there are several processes.

    Args:
        data_list: the list; each of its data sets is divided separately.
        fold: the fold that validates; None: the list's own ``validation``.
        partly_annotated: the metrics leave out voxels that a list ignores, see `AnnotatedVoxelsd`.

    Raises:
        UserError: no labelled item, or a list that ignores a value without ``partly_annotated``.
    """
    _check_ignored(data_list, partly_annotated)
    items = _labelled(
        fold_items(data_list, fold=fold_of(fold), split="validation"), data_list, f"validation part of fold {fold}"
    )
    return [items[index] for index in shard_indices(len(items))]


def split_items(data_list: DataList, split: str) -> list[dict[str, Any]]:
    """Labelled items of a split: this process's share of them when there are several processes.

    Args:
        data_list: the list.
        split: ``training``, ``validation`` or ``test``.
    """
    items = _labelled(data_list.items(split), data_list, f"split {split!r}", other="--split")
    return [items[index] for index in shard_indices(len(items))]


def checked_items(
    items: Sequence[dict[str, Any]], *, store: str | Path, spacing: Sequence[float], prepare_workers: int = 1
) -> list[dict[str, Any]]:
    """Validation items whose files are intact: prepared like the others, though they are validated on as they are.

    A damaged scan or a label on another grid is found before the first iteration this way, not after the first epoch.
    The prepared volumes are used in the folds in which these items train.

    Args:
        items: validation items of a data list.
        store: folder of the prepared store.
        spacing: mm of a prepared voxel, RAS.
        prepare_workers: processes that prepare.

    Raises:
        UserError: names every item that cannot be used, with the reason.
    """
    prepare_all(items, store, Preparation(spacing=spacing), workers=prepare_workers)
    return list(items)


def _check_ignored(data_list: DataList, partly_annotated: bool) -> None:
    """A config without the loss and the metrics for it would count the ignored voxels, and not say so."""
    ignoring = [dataset.name for dataset in data_list.datasets if dataset.ignore is not None]
    if ignoring and not partly_annotated:
        raise UserError(
            data_list.path,
            expected="labels whose voxels are all annotated: the loss and Dice of this config count every voxel",
            found=f'"ignore" in {", ".join(ignoring)}',
            remedy="use spleen_unetr_segmentation or btcv_unetr_segmentation as this version has them, which leave out "
            "such voxels",
        )


def _labelled(
    items: Sequence[dict[str, Any]], data_list: DataList, what: str, *, other: str = "--fold"
) -> list[dict[str, Any]]:
    labelled = [item for item in items if "label" in item]
    if not labelled:
        raise UserError(
            data_list.path,
            found=f"the {what} holds no item with image and label",
            remedy=f"name another {other}, or add labels to the list",
        )
    return labelled


def segmentation_patches(
    data: Sequence[Mapping[str, Any]] | None = None,
    *,
    items: Sequence[Mapping[str, Any]] | None = None,
    store: str | Path,
    spacing: Sequence[float] = (1.5, 1.5, 2.0),
    prepare_workers: int = 1,
    transform: Callable | None = None,
    **patches: Any,
) -> SegmentationPatches:
    """Class-balanced crops of prepared volumes with MONAI's random dictionary transforms on top, drawn by address.

    Args:
        data: training items of a data list, with ``image`` and ``label``. In a config it is MONAI's property
            ``train_dataset_data``.
        items: the same, in configs of earlier versions.
        store: folder of the prepared store.
        spacing: mm of a prepared voxel, RAS.
        prepare_workers: processes that prepare.
        transform: MONAI's dictionary transforms for ``image`` and ``label``, see `monai_cl.data.SegmentationPatches`;
            None: none.
        **patches: options of `monai_cl.data.SegmentationPatches`.

    Raises:
        ValueError: not exactly one of ``data`` and ``items``.
        UserError: a patch that a rotation by 90° among the transforms would turn into one of another shape.
    """
    scans = data if items is None else items
    if scans is None or None not in (data, items):
        raise ValueError("one of data and items is needed")
    _check_rotation(transform, patches.get("patch_size", 1))
    done = prepare_all(scans, store, Preparation(spacing=spacing), workers=prepare_workers)
    return SegmentationPatches(done.store, done.keys, transform=transform, **patches)


def _check_rotation(transform: Any, patch_size: int | Sequence[int]) -> None:
    sizes = [patch_size] * 3 if isinstance(patch_size, int) else list(patch_size)
    for step in getattr(transform, "transforms", ()):
        if isinstance(step, RandRotate90d) and step.prob > 0 and len({sizes[axis] for axis in step.spatial_axes}) > 1:
            raise UserError(
                "patch_size",
                expected="equal edges in the plane in which the augmentation rotates by 90 degrees",
                found=sizes,
                remedy="choose such a patch, or set --augmentation_probability 0",
            )


def image_preprocessing(
    *, spacing: Sequence[float] = (1.5, 1.5, 2.0), window: Sequence[float] = (-150.0, 250.0), label: bool = False
) -> Compose:
    """Whole volumes for sliding-window inference: RAS, spacing, window to [0, 1]; a label in the original image space.

    Args:
        spacing: mm of a voxel, RAS.
        window: (lower, upper) HU, clipped and scaled to [0, 1]; scans that are not CT have their own scale.
        label: load the label too, in the axes of the image's file and in the ids of the list, for Dice.
    """
    keys = ["image", "label"] if label else ["image"]
    steps: list[Transform] = [
        LoadScand(keys=["image"]),
        ScanIntensityd(keys=["image"], window=window),
        EnsureChannelFirstd(keys=["image"]),
    ]
    if label:
        steps.append(LoadLabeld(keys=["label"]))
    steps += [
        Orientationd(keys=["image"], axcodes="RAS", labels=None),
        # float32: the inverse resamples every class with this dtype, and float64 takes twice the memory for 1e-5
        Spacingd(keys=["image"], pixdim=tuple(spacing), mode="bilinear", dtype=torch.float32),
        ScaleIntensityRanged(keys=["image"], a_min=window[0], a_max=window[1], b_min=0.0, b_max=1.0, clip=True),
        EnsureTyped(keys=keys),
        # what else an item carries (fold, label_map: None or dictionaries) does not collate
        SelectItemsd(keys=[*keys, "id", "patient"] if label else keys),
    ]
    return Compose(steps)
