"""A Slurm script whose tasks share the cells of a study: each takes the next free one until none is left."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

_SCRIPT = """#!/bin/bash
# {name}: {count} cells. Every task of the array works through the cells of the study that are free, through locks on
# the shared folder; a task that ends early, or is added later, leaves no cell twice and none out.
# Adapt account, partition, time and the environment; then: sbatch {file}
#SBATCH --job-name=monai_cl_study
#SBATCH --array=0-{last}
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:1
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
#SBATCH --output=study-%A_%a.log
cd {here}
exec {command}
"""


def slurm_script(
    study: Path,
    output: Path,
    *,
    name: str,
    count: int,
    tasks: int,
    file: Path,
    python: str,
    inputs: Mapping[str, str],
    threads: int | None = None,
) -> str:
    """The script.

    Args:
        study: the YAML file.
        output: folder of the study, on a disk that all nodes share.
        name: of the study, for the comment.
        count: cells that are left.
        tasks: of the array, at least 1.
        file: where the script will lie, for the comment.
        python: interpreter of the environment.
        inputs: paths that replace those of the study.
        threads: of each cell; None: as `study run` decides in the task.
    """
    words = [python, "-m", "monai_cl", "study", "run", str(study.resolve()), "--output", str(output.resolve())]
    if inputs:
        words += ["--inputs", repr(dict(inputs))]
    if threads is not None:
        words += ["--threads", str(threads)]
    return _SCRIPT.format(
        name=" ".join(name.split()),
        count=count,
        file=shlex.quote(str(file)),
        last=max(tasks, 1) - 1,
        here=shlex.quote(str(Path.cwd())),
        command=shlex.join(words),
    )
