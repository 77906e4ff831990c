"""The machine: GPUs, shared memory, disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from monai_cl.engines.doctor.check import NOTE, OK, PROBLEM, WARNING, Check

GIB, MIB = 2**30, 2**20
# two checkpoints, the best model, and the next checkpoint while it is written, 1.5 GiB each at the paper's size
DISK = 6 * GIB
# a loader's worker has two batches of two patches of 96³ float32 with labels in flight, 30 MiB; four workers, with a
# margin
SHARED = 256 * MIB


def gpus(processes: int = 1) -> list[Check]:
    """Every GPU that torch sees, tried with a small convolution."""
    import torch

    if not torch.cuda.is_available():
        there = shutil.which("nvidia-smi") is not None or Path("/dev/nvidia0").exists()
        return [judge_no_gpu(torch.__version__, torch.version.cuda, there=there)]
    checks = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        found = f"{torch.cuda.get_device_name(index)}, {free / GIB:.1f} of {total / GIB:.1f} GiB free"
        try:
            torch.nn.functional.conv3d(torch.ones(1, 1, 3, 3, 3, device=index), torch.ones(1, 1, 3, 3, 3, device=index))
            torch.cuda.synchronize(index)
            checks.append(Check(f"gpu {index}", OK, found))
        except RuntimeError as error:
            advice = "install a driver and a CUDA build of torch that know this card"
            checks.append(Check(f"gpu {index}", PROBLEM, f"{found}; {str(error).splitlines()[0]}", advice))
    if processes > len(checks):
        advice = f"torchrun --nproc_per_node={len(checks)}"
        checks.append(Check("gpus", PROBLEM, f"{len(checks)} for {processes} processes; each needs its own", advice))
    return checks


def judge_no_gpu(torch_version: str, cuda: str | None, *, there: bool) -> Check:
    """No GPU that torch can use; ``there``: the machine seems to have one."""
    if not there:
        return Check("gpu", NOTE, "none; everything runs on the CPU")
    if cuda is None:
        advice = f"install the CUDA build of torch {torch_version.split('+')[0]} first, then this package"
        return Check("gpu", WARNING, f"an NVIDIA GPU, but torch {torch_version} is a CPU build", advice)
    advice = "look at nvidia-smi, the driver's version and CUDA_VISIBLE_DEVICES"
    return Check("gpu", WARNING, f"an NVIDIA GPU that torch {torch_version} (CUDA {cuda}) cannot use", advice)


def shared_memory(processes: int = 1, *, place: str = "/dev/shm") -> Check:
    """The memory through which a loader's workers hand over batches: with the 64 MiB of a container they end with a
    bus error."""
    if not os.path.isdir(place):
        return Check("shared memory", NOTE, f"this system has no {place}")
    free = shutil.disk_usage(place).free
    if free < SHARED * processes:
        advice = "docker run --shm-size=8g (or --ipc=host); or train with --num_workers 0"
        return Check("shared memory", PROBLEM, f"{free / MIB:.0f} MiB free in {place}", advice)
    return Check("shared memory", OK, f"{free / GIB:.1f} GiB free in {place}")


def folder(name: str, path: str) -> Check:
    """Free space of a folder and whether it is writable; of one that does not exist yet, its nearest parent."""
    absolute = Path(path).absolute()
    place = next(parent for parent in (absolute, *absolute.parents) if parent.exists())
    if not place.is_dir():
        return Check(name, PROBLEM, f"{place} is a file", "name a folder")
    try:
        with tempfile.TemporaryFile(dir=place, prefix=".doctor-") as file:
            file.write(b"doctor")
    except OSError as error:
        advice = "choose another folder, or ask for the right to write there"
        return Check(name, PROBLEM, f"{place} cannot be written to ({error.strerror})", advice)
    free = shutil.disk_usage(place).free
    found = f"{place}: {free / GIB:.1f} GiB free"
    if free >= DISK:
        return Check(name, OK, found)
    advice = f"free the disk: a run at the paper's size keeps up to {DISK // GIB} GiB of checkpoints"
    return Check(name, PROBLEM if free < 256 * MIB else WARNING, found, advice)
