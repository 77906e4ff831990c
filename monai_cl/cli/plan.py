"""``python -m monai_cl plan``: settings of a training from the statistics of its scans, and what it will take."""

from __future__ import annotations

import json
import re
import shlex
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
        data_root: folder the list's paths start from; default: the folder of the list.
        statistics: JSON file of `datalist statistics` of this list; default: the scans are measured now.
        memory: of the device, such as 24GB; default: of the GPU of this machine, or its main memory.
        hours: that the training may take; default: the bundle's own number of iterations.
        step_seconds: of a step on the device that it will run on; default: measured on this CPU.
        output: JSON file to write the settings to, for --args_file of `monai.bundle run`.
        workers: processes that read scans.
        overrides: other keys of the bundle's config that the training will have, such as --backbone or --fold.
    """
    from monai_cl.cli.disk.answers import size_in_words
    from monai_cl.data.datalist.statistics.document import list_statistics, read_statistics
    from monai_cl.engines.planning.plan import make_plan, measure_step
    from monai_cl.engines.planning.step import BundleStep
    from monai_cl.files import write_atomically

    for name, value in (("hours", hours), ("step_seconds", step_seconds)):
        if value is not None and value <= 0:
            raise UserError(f"--{name}", expected="a number above 0", found=value)
    limit = _machine_memory() if memory is None else _bytes(memory)
    if hours is not None and step_seconds is None and _has_gpu():
        raise UserError(
            "--hours",
            expected="--step_seconds beside it: the training would run on the GPU, and a step is measured on the CPU",
            found="none",
            remedy="take the seconds of a step from a short run there",
        )
    if output is not None and Path(output).exists():
        raise UserError(output, found="exists already and is kept", remedy="choose another name")
    step = BundleStep(bundle, data_list=data_list, dataset_dir=data_root, overrides=overrides)
    lists = step.value("lists")
    found = (
        list_statistics(lists, workers=workers, progress=True) if statistics is None else read_statistics(statistics)
    )
    if found["data_list"]["sha256"] != lists.sha256:
        raise UserError(
            statistics,
            expected=f"the statistics of {data_list}",
            found=f"those of {found['data_list']['path']}, or of an earlier state of it",
            remedy=f"make them again: python -m monai_cl datalist statistics {shlex.quote(data_list)}",
        )
    for failed in found["unreadable"]:
        echo(f"not counted: {failed['reason']}")
    echo("measuring steps of the network at two small patches")
    plan = make_plan(
        step,
        found,
        measure_step(step),
        memory=limit,
        hours=hours,
        step_seconds=step_seconds,
        in_words=size_in_words,
    )
    echo(f"{bundle}, {lists.name}, a device of {size_in_words(int(limit))}:")
    echo("\n".join(f"  {key:11} {json.dumps(value):18} {plan.reasons[key]}" for key, value in plan.settings.items()))
    echo("\nestimated:\n" + "\n".join(f"  {name}: {text}" for name, text in plan.estimates.items()))
    paths = {"dataset_dir": step.config["dataset_dir"], "data_list": data_list}
    start, given = (
        [f"--{key} {shlex.quote(str(value))}" for key, value in options.items()] for options in (paths, overrides)
    )
    words = ["python -m monai.bundle run --config_file", shlex.quote(str(step.file)), *start, *plan.options(), *given]
    echo("\n" + " ".join(words))
    if output is not None:
        write_atomically(output, json.dumps(plan.settings, indent=1).encode())
        echo(f"wrote {output}")


def _bytes(text: str) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)", str(text).strip())
    if found is None or found[2].upper() not in _UNITS or float(found[1]) <= 0:
        raise UserError("--memory", expected="a size such as 24GB or 40GiB", found=repr(text))
    return float(found[1]) * _UNITS[found[2].upper()]


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _machine_memory() -> float:
    import os

    import torch

    if _has_gpu():
        return float(torch.cuda.get_device_properties(0).total_memory)
    if not hasattr(os, "sysconf"):
        raise UserError("--memory", expected="the memory of the device, such as 24GB", found="none")
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
