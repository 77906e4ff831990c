"""The organs of a data list by name: which label ids of several data sets mean the same, for MixCL's bank."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import combinations

from monai_cl.data import DataList
from monai_cl.data.datalist.model import DataSet
from monai_cl.data.dicom.organ_codes import may_overlap, names_organ, organ_key
from monai_cl.errors import UserError
from monai_cl.losses import NamedOrgans
from monai_cl.processes import rank

logger = logging.getLogger(__name__)


def bank_organs(data_list: DataList, *, same_dataset: bool = False) -> NamedOrgans:
    """``organs`` of `monai_cl.losses.OrganBank`: those that the data sets of a list have in common, and the others.

    Names that `monai_cl.data.dicom.organ_codes.organ_key` gives one text are one organ (``right_kidney``, ``Kidney,
    right``). Left out are names that name none: ``label 1``, and ``tumour`` without its organ, which may be another's
    in another data set. The log says what meets, and what is left out.

    Args:
        data_list: of several data sets, each with its ``labels``; those without a labelled training scan do not count.
        same_dataset: the bank's option; with it one data set is enough.

    Raises:
        UserError: no organ that two data sets have, or no other one: nothing could meet, or the loss would always be 0.
    """
    organs, unnamed = [], []
    for dataset in data_list.datasets:
        names = _classes(dataset)
        organs.append({label: organ_key(name) for label, name in names.items() if names_organ(name)})
        unnamed += [f"{name} ({dataset.name})" for name in names.values() if not names_organ(name)]
    found = {name: [d.name for d, own in zip(data_list.datasets, organs) if name in own.values()]
             for name in sorted({name for own in organs for name in own.values()})}  # fmt: skip
    meeting = [name for name, sets in found.items() if len(sets) > 1]
    overlapping = [pair for pair in combinations(found, 2) if may_overlap(*pair)]
    compared = found if same_dataset else meeting
    if not any(a != b and (a, b) not in overlapping and (b, a) not in overlapping for a in compared for b in found):
        raise UserError(
            data_list.path,
            expected="an organ that two of its data sets name alike, and another organ to tell it from",
            found="; ".join(f"{d.name}: {_some(own)}" for d, own in zip(data_list.datasets, organs)),
            remedy="use the same name in `labels` of both, or leave the bank out with --bank_weight 0",
        )
    if rank() == 0:
        for name in meeting:
            logger.info("bank: %s is compared between %s", name, ", ".join(found[name]))
        if unnamed:
            logger.warning("bank: what names no organ is left out: %s", ", ".join(unnamed))
    return NamedOrgans(organs, overlapping)


def _classes(dataset: DataSet) -> dict[int, str]:
    """Of a data set that trains with labels."""
    return dataset.classes if any("label" in item for item in dataset.splits.get("training", ())) else {}


def _some(organs: Mapping[int, str]) -> str:
    names = list(organs.values())
    return ", ".join([*names[:5], *(["…"] if len(names) > 5 else [])]) or "none"
