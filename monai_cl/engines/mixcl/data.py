"""From a pre-training data list to the patch data set a bundle trains on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl.data import DataList, MixCLPatches, Preparation, PreparedItems, VolumeStore, load_data_list, prepare
from monai_cl.data.store.keys import whose
from monai_cl.errors import UserError


def read_list(data_list: str | Path, *, data_root: str | Path | None = None, allow_outside: bool = False) -> DataList:
    """`load_data_list` for configs, where an unset root is written ``null`` or an empty string.

    Raises:
        UserError: also where ``allow_outside`` is neither true nor false: the text "false" must not allow anything.
    """
    if not isinstance(allow_outside, bool):
        raise UserError(f"allow_outside must be true or false, got {allow_outside!r}")
    return load_data_list(data_list, data_root=data_root or None, allow_outside=allow_outside)


def class_counts(data_list: DataList) -> list[int]:
    """Number of classes, background included, of each data set (label ids must be 0 … n−1 for the supervised head).

    Raises:
        UserError: names the data set whose ids have a gap.
    """
    counts = []
    for dataset in data_list.datasets:
        ids = sorted(dataset.labels)
        if ids != list(range(len(ids))):
            raise UserError(
                f"{data_list.path}: data set {dataset.name!r} declares the label ids {ids}; expected "
                f"0 … {len(ids) - 1} without gaps. Renumber them with a label_map in the list"
            )
        counts.append(len(ids))
    return counts


def fold_of(fold: int | str | None) -> int | None:
    """A fold as the data layer takes it; ``none`` or ``null`` is None, which MONAI's command line cannot say."""
    return None if isinstance(fold, str) and fold.lower() in ("none", "null") else fold


def describe(data_list: DataList, **more: Any) -> dict[str, Any]:
    """What ``results.json`` says of a data list; the training cases: all labelled ones, unless ``more`` names some."""
    sources = [str(d.document["source"]) for d in data_list.datasets if d.document.get("source")]
    return {
        "name": data_list.name,
        "source": "; ".join(dict.fromkeys(sources)) or None,
        "path": str(data_list.path),
        "sha256": data_list.sha256,
        "label_fraction": 1.0,
        "training_cases": [item["id"] for item in data_list.items("training") if "label" in item],
        "datasets": {d.name: {"labels": list(d.labels.values())} for d in data_list.datasets},
        **more,
        "fold": fold_of(more.get("fold")),
    }


def prepare_all(
    items: Sequence[Mapping[str, Any]], store: str | Path, preparation: Preparation, *, workers: int = 1
) -> PreparedItems:
    """Prepare every item into the store (those already there are not touched); the keys are in the items' order.

    Raises:
        UserError: names every item that could not be prepared, with the reason. What was prepared stays.
    """
    if not items:
        raise UserError(f"store {store}: nothing to prepare, the data list selects no item; check fold and split")
    done = prepare(items, store, preparation, workers=workers)
    if done.skipped:
        lines = "; ".join(f"{whose(item)}: {reason}" for item, reason in done.skipped)
        raise UserError(
            f"{len(done.skipped)} of {len(items)} items cannot be prepared: {lines}. "
            "Mend them or take them off the list"
        )
    return done


def mixcl_patches(
    data_list: DataList,
    *,
    store: str | Path,
    spacing: Sequence[float] = (1.5, 1.5, 2.0),
    prepare_workers: int = 1,
    antialias: bool = False,
    split: str = "training",
    **patches: Any,
) -> MixCLPatches:
    """`MixCLPatches` over every labelled item of a list, prepared on first use.

    Args:
        data_list: of one or several data sets.
        store: folder of the prepared store.
        spacing: mm, RAS.
        prepare_workers: processes that prepare.
        antialias: average over the new voxel where the spacing grows, instead of the paper's linear interpolation.
        patches: options of `MixCLPatches`.

    Raises:
        UserError: when the list has no labelled training item, or an item cannot be prepared.
    """
    items = [item for item in data_list.items(split) if "label" in item]
    if not items:
        raise UserError(
            f"{data_list.path}: no item with image and label under {split!r}; MixCL learns from labelled volumes"
        )
    done = prepare_all(items, store, Preparation(spacing=spacing, antialias=antialias), workers=prepare_workers)
    grouped: dict[str, list[str]] = {dataset.name: [] for dataset in data_list.datasets}
    for item, key in zip(items, done.keys):
        grouped[item["dataset"]].append(key)
    # an empty data set keeps its place: a data set's index is its place in the list, as in `class_counts`
    return MixCLPatches(VolumeStore.open(store), grouped, **patches)


def identity_levels(levels: Sequence[int] | None, identity_weight: float) -> list[int]:
    """Encoder levels that need a projector for the identity term: all five for None, none when it is off."""
    if not identity_weight:
        return []
    return list(range(5)) if levels is None else [int(level) for level in levels]
