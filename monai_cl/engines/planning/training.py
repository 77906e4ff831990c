"""A training planned before it starts: its scans and two steps are measured, nothing is trained or prepared."""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from monai_cl.data.datalist.statistics.document import list_statistics, read_statistics
from monai_cl.engines.planning.plan import Plan, make_plan, measure_step
from monai_cl.engines.planning.step import BundleStep
from monai_cl.errors import UserError, echo


def plan_training(
    bundle: str,
    data_list: str | Path,
    *,
    data_root: str | Path | None = None,
    statistics: str | Path | Mapping[str, Any] | None = None,
    memory: float | None = None,
    hours: float | None = None,
    step_seconds: float | None = None,
    workers: int = 1,
    progress: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> Plan:
    """Settings of a training from its scans, and what memory, time and disk they take; docs/planning.md has the rules.

    Args:
        bundle: name or folder of a bundle that trains on patches of volumes.
        data_list: JSON file.
        data_root: folder the list's paths start from; None: the folder of the list.
        statistics: of this list, see `monai_cl.data.list_statistics`, or the JSON file that holds them; None: the
            scans are measured now.
        memory: bytes of the device; None: those of the GPU of this machine, or its main memory.
        hours: that the training may take; None: the bundle's own number of iterations.
        step_seconds: of a step on the device that it will run on; None: measured on this CPU.
        workers: processes that read scans.
        progress: say what is done.
        overrides: other keys of the bundle's config -> value; its ``dataset_dir`` is another word for ``data_root``.

    Raises:
        UserError: two lists or two folders of them, a bundle that does not train on patches, an unknown key, statistics
            of another list, too little memory, hours on a GPU without the seconds of its steps, a list without a scan
            to train on.
    """
    for name, value in (("hours", hours), ("step_seconds", step_seconds)):
        if value is not None and value <= 0:
            raise UserError(f"--{name}", expected="a number above 0", found=value)
    limit = _machine_memory() if memory is None else float(memory)
    if hours is not None and step_seconds is None and torch.cuda.is_available():
        raise UserError(
            "--hours",
            expected="--step_seconds beside it: the training would run on the GPU, and a step is measured on the CPU",
            found="none",
            remedy="take the seconds of a step from a short run there",
        )
    given = dict(overrides or {})
    data_root = _one_place("dataset_dir", given, "data_root", data_root)
    data_list = _one_place("data_list", given, "LIST", data_list)
    step = BundleStep(bundle, data_list=data_list, dataset_dir=data_root, overrides=given)
    lists = step.value("lists")
    if statistics is None:
        found = list_statistics(lists, workers=workers, progress=progress)
    else:
        found = dict(statistics) if isinstance(statistics, Mapping) else read_statistics(statistics)
    if found["data_list"]["sha256"] != lists.sha256:
        raise UserError(
            "--statistics" if isinstance(statistics, Mapping) else statistics,
            expected=f"the statistics of {data_list}",
            found=f"those of {found['data_list']['path']}, or of an earlier state of it",
            remedy=f"make them again: python -m monai_cl datalist statistics {shlex.quote(str(data_list))}",
        )
    if progress:
        for failed in found["unreadable"]:
            echo(f"not counted: {failed['reason']}")
        echo("measuring steps of the network at two small patches")
    plan = make_plan(step, found, measure_step(step), memory=limit, hours=hours, step_seconds=step_seconds)
    return replace(plan, data_list=lists.name, memory=limit, command=_command(step, plan, str(data_list), given))


def _one_place(key: str, given: dict[str, Any], name: str, stated: Any) -> Any:
    """What a key of the config says that `plan` has a word of its own for, taken out of ``given``; both may say it."""
    if (named := given.pop(key, None)) is None:
        return stated
    if stated is not None and Path(str(named)).resolve() != Path(str(stated)).resolve():
        raise UserError(
            f"--{key}", expected=f"that of {name}, {stated}", found=named, remedy=f"leave --{key} out, or name one"
        )
    return named


def _command(step: BundleStep, plan: Plan, data_list: str, given: Mapping[str, Any]) -> str:
    """The training as it can be pasted: with data, and a folder of its own for the results."""
    # an installed bundle asks for the folders that are written to
    paths = {"dataset_dir": step.config["dataset_dir"], "data_list": data_list, "store_dir": "runs/store"}
    paths |= {"output_dir": _new_folder(f"runs/{step.file.parents[1].name}_planned")}
    paths = {key: value for key, value in paths.items() if key not in given}
    start, own = (
        [f"--{key} {shlex.quote(str(value))}" for key, value in options.items()] for options in (paths, given)
    )
    file = shlex.quote(str(step.file))
    return " ".join(["python -m monai.bundle run --config_file", file, *start, *plan.options(), *own])


def _new_folder(name: str) -> str:
    """The name, or with the first number behind it that makes it a new one: a run there would be gone on with."""
    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    return next(one for one in names if not os.path.lexists(one))


def _machine_memory() -> float:
    if torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(0).total_memory)
    if not hasattr(os, "sysconf"):
        raise UserError("--memory", expected="the memory of the device, such as 24GB", found="none")
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
