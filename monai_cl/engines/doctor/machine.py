"""The machine: GPUs, how processes talk, processors, memory, shared memory, open files, folders."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

from monai_cl.engines.doctor.check import NOTE, OK, PROBLEM, WARNING, Check

GIB, MIB = 2**30, 2**20
# the README's "Memory at the paper's size": a run peaks at 7.1 GiB, a checkpoint takes 1.42 GiB
RUN, CHECKPOINT = 8 * GIB, 1.5 * GIB
# two checkpoints, the best model, and the next checkpoint while it is written
DISK = 4 * CHECKPOINT
# a loader's worker has two batches of two patches of 96³ float32 with labels under way, 30 MiB; four of them, and room
SHARED = 256 * MIB
# a process may have 128 arrays of a store open, and its loader's workers hand over tensors as open files
FILES_LEAST, FILES = 256, 1024


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


def backend() -> Check:
    """nccl with CUDA, gloo without; gloo is tried in a group of this process alone."""
    import torch
    import torch.distributed as dist

    if not dist.is_available():
        return Check(
            "backend", WARNING, "this torch is built without distributed", "one process works; several need it"
        )
    if torch.cuda.is_available():
        if not dist.is_nccl_available():
            return Check("backend", WARNING, "no nccl", "use one GPU, or a build of torch with nccl")
        return Check("backend", OK, f"nccl {'.'.join(map(str, torch.cuda.nccl.version()))}")
    if not dist.is_initialized():
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        try:
            dist.all_reduce(torch.ones(1))
        finally:
            dist.destroy_process_group()
    return Check("backend", OK, "gloo")


def host_name() -> Check:
    """Whether this machine knows its own name: torchrun's agents tell each other theirs."""
    name = socket.gethostname()
    try:
        return Check("host name", OK, f"{name} is {socket.gethostbyname(name)}")
    except OSError:
        advice = "for several machines put it into /etc/hosts, or give torchrun --local_addr"
        return Check("host name", WARNING, f"{name} has no address", advice)


def processors(processes: int = 1) -> Check:
    """Processors this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count < processes:
        advice = f"start {count} processes or fewer"
        return Check("processors", WARNING, f"{count} for {processes} processes", advice)
    return Check("processors", OK, str(count))


def memory(processes: int = 1) -> Check:
    """Memory that is available, within the limit of the container."""
    return judge_memory(available_memory(), processes=processes)


def judge_memory(available: int | None, *, processes: int = 1) -> Check:
    """A run at the paper's size, per process, against what there is."""
    if available is None:
        return Check("memory", NOTE, "not known on this system")
    found = f"{available / GIB:.1f} GiB available"
    if available < RUN * processes:
        advice = (
            f"a run at the paper's size on the CPU takes {RUN // GIB} GiB a process: lower patch_size, feature_size or "
            "the number of processes"
        )
        return Check("memory", WARNING, found, advice)
    return Check("memory", OK, found)


def available_memory(root: str = "/") -> int | None:
    """Bytes, from /proc/meminfo and the control group's limit; None where neither can be read."""
    values = []
    meminfo = Path(root, "proc/meminfo")
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text(encoding="utf-8").splitlines() if ":" in line)
        if "MemAvailable" in lines:
            values.append(int(lines["MemAvailable"].split()[0]) * 1024)
    limit, used = Path(root, "sys/fs/cgroup/memory.max"), Path(root, "sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and limit.read_text(encoding="utf-8").strip() != "max":
        values.append(int(limit.read_text(encoding="utf-8")) - int(used.read_text(encoding="utf-8")))
    return min(values) if values else None


def shared_memory(processes: int = 1) -> Check:
    """``/dev/shm``, through which a loader's workers hand over batches."""
    place = Path("/dev/shm")
    return judge_shared_memory(shutil.disk_usage(place).free if place.is_dir() else None, processes=processes)


def judge_shared_memory(free: int | None, *, processes: int = 1) -> Check:
    """Containers often have 64 MiB: workers then end with a bus error."""
    if free is None:
        return Check("shared memory", NOTE, "this system has no /dev/shm")
    if free < SHARED * processes:
        advice = "docker run --shm-size=8g (or --ipc=host); or train with --num_workers 0"
        return Check("shared memory", PROBLEM, f"{free / MIB:.0f} MiB free in /dev/shm", advice)
    return Check("shared memory", OK, f"{free / GIB:.1f} GiB free in /dev/shm")


def open_files() -> Check:
    """How many files this process may open."""
    try:
        import resource
    except ImportError:  # Windows
        return Check("open files", NOTE, "this system knows no such limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return judge_open_files(soft, hard)


def judge_open_files(soft: int, hard: int) -> Check:
    """The soft limit; -1 is none."""
    if soft == -1 or soft >= FILES:
        return Check("open files", OK, "no limit" if soft == -1 else f"{soft} at once")
    if hard == -1 or hard >= FILES:
        advice = f"ulimit -n {FILES * 4 if hard == -1 else min(hard, FILES * 4)}"
    else:
        advice = f"ask for a higher limit than {hard}"
    return Check("open files", PROBLEM if soft < FILES_LEAST else WARNING, f"only {soft} at once", advice)


def folder(name: str, path: str | None) -> Check:
    """Room in a folder and whether it can be written to; of one that is not there yet, its nearest parent."""
    wanted = Path(path if path is not None else tempfile.gettempdir()).absolute()
    place = next(parent for parent in (wanted, *wanted.parents) if parent.exists())
    if not place.is_dir():
        return Check(name, PROBLEM, f"{place} is a file", "name a folder")
    try:
        _write_and_rename(place)
    except OSError as error:
        advice = "choose another folder, or ask for the right to write there"
        return Check(name, PROBLEM, f"{place} cannot be written to ({error.strerror})", advice)
    return judge_room(name, place, shutil.disk_usage(place).free, least=GIB if path is None else DISK)


def judge_room(name: str, place: Path, free: int, *, least: float) -> Check:
    """Free bytes of a folder that can be written to."""
    found = f"{place}: {free / GIB:.1f} GiB free"
    if free >= least:
        return Check(name, OK, found)
    advice = f"free the disk: a run at the paper's size keeps up to {DISK / GIB:.0f} GiB of checkpoints"
    if least < DISK:
        advice = "free it, or point TMPDIR elsewhere"
    return Check(name, PROBLEM if free < 256 * MIB else WARNING, found, advice)


def _write_and_rename(place: Path) -> None:
    """As checkpoints are written."""
    handle, name = tempfile.mkstemp(dir=place, prefix=".doctor-")
    names: Sequence[Path] = (Path(name), Path(name + ".renamed"))
    try:
        os.write(handle, b"doctor")
        os.fsync(handle)
        os.replace(*names)
    finally:
        os.close(handle)
        for left in names:
            left.unlink(missing_ok=True)
