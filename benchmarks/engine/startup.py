"""How long until the command line answers: help, and a data list of 1,000 items checked without reading voxels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from engine.timing import interleave, without_samples


def write_list(folder: Path, *, items: int = 1000) -> Path:
    """A data list of so many items, each with files of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    affine = np.diag([1.5, 1.5, 2.0, 1.0])
    training = []
    for number in range(items):
        rng = np.random.default_rng(number)  # no two files alike: duplicates are reported
        item = {"patient": f"{number:04d}"}
        for kind, array in (
            ("image", rng.integers(-1000, 1000, (16, 16, 12)).astype(np.int16)),
            ("label", rng.integers(0, 2, (16, 16, 12)).astype(np.uint8)),
        ):
            item[kind] = f"{kind}_{number:04d}.nii.gz"
            nib.save(nib.Nifti1Image(array, affine), folder / item[kind])
        training.append(item)
    path = folder / "list.json"
    labels = {"0": "background", "1": "liver"}
    path.write_text(json.dumps({"name": "many", "labels": labels, "training": training}), encoding="utf-8")
    return path


def measure(folder: Path, *, rounds: int) -> dict:
    """Seconds of whole processes, wall and processor (of the child)."""
    path = write_list(folder / "list")

    def run(*words: str):
        def once(_: int) -> None:
            done = subprocess.run([sys.executable, *words], capture_output=True, encoding="utf-8")
            if done.returncode:
                raise AssertionError(done.stdout[-1000:] + done.stderr[-1000:])

        return once

    contestants = {
        "python -m monai_cl --help": run("-m", "monai_cl", "--help"),
        "python -m monai_cl datalist validate, 1000 items, headers only": run(
            "-m", "monai_cl", "datalist", "validate", str(path), "--read_voxels=False"
        ),
        "python -c pass": run("-c", "pass"),
    }
    times: dict[str, dict] = {}
    for name, once in contestants.items():
        before = os.times()
        times |= without_samples(interleave({name: once}, rounds=rounds, warmup=0))
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        # the parent's own processor time says nothing here
        times[name] = {"wall_ms": times[name]["wall_ms"], "processor_ms_mean": round(spent / rounds * 1e3, 1)}
    return {"what": "whole processes, from start to end", "times": times}
