"""From a data list to the boxes a bundle trains on and validates with."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Subset

from monai_cl.data import DataList, HeadBoxes, Preparation, boxed_scans
from monai_cl.data.boxes.head_boxes import WINDOW
from monai_cl.engines.classification.data import (
    classified_patients,
    fold_slices,
    require_both_classes,
    require_validation,
)
from monai_cl.engines.prepared_lists import (
    describe,
    describe_patients,
    fold_of,
    prepare_all,
    require_ct,
    require_two_sides,
)
from monai_cl.engines.probe.metrics import check_binary
from monai_cl.errors import UserError

logger = logging.getLogger(__name__)


def list_boxes(
    data_list: DataList,
    *,
    store: str | Path,
    size: Sequence[int],
    split: str = "training",
    find_head: bool = True,
    window: Sequence[float] = WINDOW,
    finding_names: Sequence[str] | None = None,
    prepare_workers: int = 1,
) -> HeadBoxes:
    """The head box of every scan of a split, prepared into the store on first use.

    Args:
        data_list: of head CT.
        store: folder of the prepared store.
        size: (D, H, W) of the box.
        split: which items.
        find_head: False: the scans are boxes already.
        window: (lower, upper) HU.
        finding_names: in the order of the network's outputs; None: those of the list.
        prepare_workers: processes that prepare.

    Raises:
        UserError: no item, one that the list says is no CT, or that cannot be prepared.
    """
    items = data_list.items(split)
    if not items:
        raise UserError(data_list.path, expected=f"at least one item under {split!r}", found="none")
    require_ct(data_list, items)
    names = data_list.finding_names if finding_names is None else finding_names
    preparation = Preparation(spacing=None, layout="slices", head_box=tuple(size), find_head=find_head)
    require_two_sides(data_list, items)
    # the outline of a finding is not trained on
    bare = [{key: value for key, value in item.items() if key != "label"} for item in items]
    done = prepare_all(bare, store, preparation, workers=prepare_workers)
    return HeadBoxes(done.store, boxed_scans(done.store, done.keys, bare, finding_names=names), window=window)


def scan_part(
    data_list: DataList,
    *,
    training: bool,
    fold: int | None = None,
    fold_count: int = 5,
    fold_seed: int = 0,
    **options: Any,
) -> HeadBoxes:
    """The scans that are trained on, or those that validate.

    Args:
        data_list: the list.
        training: which part.
        fold: the fold of the training items that is left out; None: the ``validation`` items of the list validate.
        fold_count: of folds that are made, see `patient_folds`.
        fold_seed: of these.
        **options: of `list_boxes`, without ``split``.

    Raises:
        UserError: no fold, and no validation items in the list; a class other than 0 and 1; see also `list_boxes` and
            `fold_slices`.
    """
    fold = fold_of(fold)
    split = "training" if training or fold is not None else "validation"
    known = {item["patient"]: item["target"] for item in data_list.items(split) if item.get("target") is not None}
    check_binary(known, source=str(data_list.path))
    if fold is not None:
        boxes = list_boxes(data_list, split=split, **options)
        return fold_slices(boxes, data_list, fold=fold, training=training, count=fold_count, seed=fold_seed)
    if not training:
        require_validation(data_list)
    if known or not training:  # findings may be all that is learned
        require_both_classes(known, data_list, split)
    boxes = list_boxes(data_list, split=split, **options)
    return boxes if training else with_class(boxes, data_list)


def with_class(boxes: HeadBoxes, data_list: DataList) -> HeadBoxes:
    """The scans whose class is known: an AUC needs it.

    Args:
        boxes: of the list.
        data_list: for messages.

    Raises:
        UserError: there is none, or a class is neither 0 nor 1.
    """
    classified_patients(boxes, source=data_list.path)
    known, field = [volume for volume in boxes.volumes if volume.target is not None], data_list.grade.field
    if not known:
        raise UserError(
            data_list.path,
            expected=f"scans with a {field}",
            found="none among those that are scored",
            remedy="add them",
        )
    if len(known) < len(boxes):
        logger.warning("%s: %d of %d scans have no %s and are not scored", data_list.path,
                       len(boxes) - len(known), len(boxes), field)  # fmt: skip
    return boxes.of(known)


class ScanSeries(Subset):
    """The scans of `HeadBoxes` that this process scores, one at a time.

    Args:
        boxes: all scans.
        share: numbers of those that are samples here, see `shard_indices`.
    """

    def __init__(self, boxes: HeadBoxes, *, share: Sequence[int]) -> None:
        super().__init__(boxes, list(share))


def describe_scans(data_list: DataList, boxes: HeadBoxes, **more: Any) -> dict[str, Any]:
    """The entry of a list in ``results.json``: as `describe`, with the scans and patients used.

    Args:
        data_list: the list.
        boxes: the scans that are used.
        **more: further entries.
    """
    settings = {**describe_patients(boxes.volumes), "finding_names": list(data_list.finding_names)}
    return describe(data_list, **settings | more)
