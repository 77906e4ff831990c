"""``python -m monai_cl plan``: settings of a training from the statistics of its scans, and what it will take."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from monai_cl.errors import UserError, echo

_UNITS = {"": 1e9, "GB": 1e9, "GIB": 2**30, "MB": 1e6, "MIB": 2**20}


def plan_command(
    bundle: str,
    data_list: str,
    *,
    data_root: str | None = None,
    statistics: str | None = None,
    memory: str | None = None,
    hours: float | None = None,
    step_seconds: float | None = None,
    output: str | None = None,
    workers: int = 1,
    **overrides: Any,
) -> None:
    """Suggest spacing, patch size, batch size, window and iterations, and say what memory, time and disk they take.

    Nothing is trained or prepared: the scans are measured, and two steps of the network at small patches. For bundles
    that train on patches of volumes. The rules are nnU-Net's; docs/planning.md has them.

    Example:
        python -m monai_cl plan spleen_unetr_segmentation folds.json --data_root /data --memory 24GB

    Args:
        bundle: its name or folder.
        data_list: JSON file.
        data_root: folder the list's paths start from, as --dataset_dir; default: the folder of the list.
        statistics: JSON file of `datalist statistics` of this list; default: the scans are measured now.
        memory: of the device, such as 24GB; default: of the GPU of this machine, or its main memory.
        hours: that the training may take; default: the bundle's own number of iterations.
        step_seconds: of a step on the device that it will run on; default: measured on this CPU.
        output: JSON file to write the settings to, for --args_file of `monai.bundle run`.
        workers: processes that read scans.
        overrides: other keys of the bundle's config that the training will have, such as --backbone or --fold.
    """
    from monai_cl.engines import plan_training
    from monai_cl.files import size_in_words, write_atomically

    limit = None if memory is None else _bytes(memory)
    if output is not None and Path(output).exists():
        raise UserError(output, found="exists already and is kept", remedy="choose another name")
    plan = plan_training(
        bundle,
        data_list,
        data_root=data_root,
        statistics=statistics,
        memory=limit,
        hours=hours,
        step_seconds=step_seconds,
        workers=workers,
        progress=True,
        overrides=overrides,
    )
    echo(f"{bundle}, {plan.data_list}, a device of {size_in_words(int(plan.memory))}:")
    echo("\n".join(f"  {key:11} {json.dumps(value):18} {plan.reasons[key]}" for key, value in plan.settings.items()))
    echo("\nestimated:\n" + "\n".join(f"  {name}: {text}" for name, text in plan.estimates.items()))
    echo("\n" + plan.command)
    if output is not None:
        write_atomically(output, json.dumps(plan.settings, indent=1).encode())
        echo(f"wrote {output}")


def _bytes(text: str) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)", str(text).strip())
    if found is None or found[2].upper() not in _UNITS or float(found[1]) <= 0:
        raise UserError("--memory", expected="a size such as 24GB or 40GiB", found=repr(text))
    return float(found[1]) * _UNITS[found[2].upper()]
