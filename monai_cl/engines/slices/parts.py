"""Batches of scans × parts with their meta-labels, for the contrast of Peng et al."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_cl.data import CTSlices, DataList, MetaLabelledSlices, PartSampler, meta_labels_of, slice_parts
from monai_cl.data.slices.meta_labels import position_count
from monai_cl.engines.slices.data import PatientSlices
from monai_cl.losses import check_meta_labels

_LABEL = "label_"


def part_slices(
    slices: CTSlices,
    data_list: DataList,
    *,
    meta_labels: Mapping[str, Mapping[str, Any]],
    targets: Sequence[str],
    scans_per_batch: int,
    seed: int,
    split: str = "training",
    parts: int | None = None,
    world_size: int | None = None,
) -> PatientSlices:
    """Slices by global position: of each scan of a batch one random slice of every part.

    Give it to a loader with a `PositionSampler` of the batch size that its ``sampler`` has.

    Args:
        slices: of all scans of the split.
        data_list: the list they are of.
        meta_labels: see `meta_labels_of`; those that the loss takes are worked out.
        targets: what the loss takes of a batch: ``label_<name>``.
        scans_per_batch: scans per process and iteration.
        seed: of the run.
        split: of the list.
        parts: S; None: the ``parts`` of the meta-labels whose field is the position, see `position_count`.
        world_size: processes; None: of this run.

    Raises:
        UserError: as `check_meta_labels`; a field that no scan has, a part that no scan has, two numbers of parts.
    """
    names = [target.removeprefix(_LABEL) for target in targets]
    check_meta_labels(meta_labels, targets=targets)
    wanted = {name: meta_labels[name] for name in names}
    labels = meta_labels_of(slices, data_list.items(split), wanted, seed=seed)
    parts = position_count(meta_labels) if parts is None else parts
    scans = np.repeat(np.arange(len(slices.volumes)), [len(volume.slices) for volume in slices.volumes])
    sampler = PartSampler(
        scans,
        slice_parts(slices, parts),
        count=parts,
        scans_per_batch=scans_per_batch,
        seed=seed,
        world_size=world_size,
    )
    return PatientSlices(MetaLabelledSlices(slices, labels), sampler)
