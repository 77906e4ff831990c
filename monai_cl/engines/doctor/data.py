"""A quick check of a data list and a store: headers and descriptions, not voxels."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from monai_cl.data import VolumeStore, load_data_list, validate_data_list
from monai_cl.data.datalist.model import SPLITS
from monai_cl.data.store.remedies import prepare_line, repair_line
from monai_cl.engines.doctor.check import NOTE, OK, PROBLEM, Check
from monai_cl.errors import UserError


def listed(data_list: str, **reading: Any) -> Check:
    """The list and the headers of its files.

    Args:
        data_list: JSON file.
        **reading: how a run will read it: ``data_root``, ``allow_outside``.
    """
    problems = validate_data_list(data_list, read_voxels=False, **reading)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        advice = f"python -m monai_cl datalist validate {shlex.quote(data_list)}{_options(reading)} lists them all"
        if not reading.get("data_root"):
            advice += "; paths start from the list's folder unless --data_root names another"
        return Check("data list", PROBLEM, f"{problems[0]}{more}", advice)
    content = load_data_list(data_list, **reading)
    items = sum(len(content.items(split)) for split in SPLITS)
    return Check("data list", OK, f"{content.path}: {items} items, headers read; voxels not looked at")


def stored(store: str, data_list: str | None = None, **reading: Any) -> list[Check]:
    """The store's description and entries; with a list, how much of it is prepared.

    Args:
        store: folder of prepared volumes.
        data_list: JSON file.
        **reading: see :func:`listed`.
    """
    try:
        opened = VolumeStore.open(store)
    except UserError as error:
        # bundles create it on first use, and name what they cannot use
        advice = f"bundles fill it on first use; ahead: {prepare_line(store, data_list)}{_options(reading)}"
        return [Check("store", NOTE, str(error), advice)]
    keys, damaged = opened.all_keys(), []
    for key in keys:
        try:
            opened.entry(key)
        except UserError as error:
            damaged.append(str(error))
    if damaged:
        more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        checks = [Check("prepared volumes", PROBLEM, damaged[0] + more, repair_line(store))]
    else:
        found = f"{len(keys)} with readable descriptions; python -m monai_cl store verify reads them whole"
        checks = [Check("prepared volumes", OK, found)]
    if data_list is not None:
        checks.append(_prepared(opened, data_list, reading))
    return checks


def _prepared(store: VolumeStore, data_list: str, reading: Mapping[str, Any]) -> Check:
    content = load_data_list(data_list, **reading)
    items = [item for split in SPLITS for item in content.items(split)]
    done = sum(store.find(item) is not None for item in items)
    found = f"{done} of {len(items)} items, as the store was made ({store.preparation})"
    if done == len(items):
        return Check("prepared of the list", OK, found)
    advice = f"the rest is prepared on first use; ahead: {prepare_line(store.root, data_list)}{_options(reading)}"
    return Check("prepared of the list", NOTE, found, advice)


def _options(reading: Mapping[str, Any]) -> str:
    return "".join(f" --{key} {shlex.quote(str(value))}" for key, value in reading.items() if value)
