"""From a data list to slices: prepared natively on first use, liver masks found by name, patients' targets attached."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from monai_cl.data.list_model import DataList
from monai_cl.data.preparation import prepare
from monai_cl.data.slices import CTSlices, organ_ids, slice_volumes
from monai_cl.data.store import Preparation
from monai_cl.errors import UserError

NATIVE_SLICES = Preparation(spacing=None, layout="slices")


def ct_slices(
    data_list: DataList,
    items: Sequence[Mapping[str, Any]] | None = None,
    *,
    store: str | os.PathLike,
    split: str = "training",
    organ: str | None = "liver",
    fraction: float = 0.7,
    workers: int = 1,
    progress: bool = True,
    **options: Any,
) -> CTSlices:
    """The kept slices of a list's scans as a data set.

    Args:
        data_list: the list; a label called ``organ`` chooses the slices, in every data set by its own id.
        items: some of its items; default: those of ``split``.
        store: folder of the prepared store.
        split: see ``items``.
        organ: name of the mask's organ; None: the middle of every volume.
        fraction: central part that is kept.
        workers: processes that prepare.
        progress: show progress bars.
        options: of :class:`CTSlices`: window, size, pixel_size, neighbours.

    Raises:
        UserError: names every scan that cannot be prepared, with its patient, its file and the reason; masks without
            the organ.
    """
    items = data_list.items(split) if items is None else list(items)
    if not items:
        raise UserError(f"data list {data_list.path}: expected scans to take slices from, found none in {split}")
    prepared = prepare(items, store, NATIVE_SLICES, workers=workers, progress=progress, report=None)
    if prepared.skipped:
        raise UserError(
            "\n  ".join(
                [
                    f"data list {data_list.path}: {len(prepared.skipped)} of {len(items)} scans cannot be used; mend "
                    "them or take them off the list:",
                    *(f"patient {item.get('patient')}: {reason}" for item, reason in prepared.skipped),
                ]
            )
        )
    liver = organ_ids(data_list, organ) if organ is not None else None
    volumes = slice_volumes(
        prepared.store, prepared.keys, prepared.items, liver=liver, fraction=fraction, progress=progress
    )
    return CTSlices(prepared.store, volumes, **options)
