"""What a failure other than a `UserError` means to a user: out of memory, a full disk, a missing folder."""

from __future__ import annotations

import errno
import re
import socket
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist

# what to lower, the cheapest first
TRAINING_KEYS = ("batch_size", "patch_size", "image_size", "neighbours", "feature_size")
_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|Unable to allocate|Cannot allocate", re.I)
_GONE = {
    errno.ENOENT: "has vanished",
    errno.ESTALE: "has vanished",
    errno.ENOTCONN: "has vanished",
    errno.EIO: "cannot be read or written",
    errno.EACCES: "may not be read or written",
    errno.EPERM: "may not be read or written",
    errno.EROFS: "lies on a disk that is read-only",
    errno.ENOSPC: "cannot be written, the disk is full",
    errno.EDQUOT: "cannot be written, the quota is used up",
}


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def explain_failure(error: BaseException, config: Mapping[str, Any] | None = None) -> str | None:
    """One line for the user, or None where the failure is none of these.

    Args:
        error: that ended the run.
        config: of the run, as written; the line names its keys.
    """
    for cause in chain(error):
        if _is_memory(cause):
            return _out_of_memory(cause, error, config or {})
        if isinstance(cause, RuntimeError) and "DataLoader worker" in str(cause) and "killed by signal" in str(cause):
            return _worker_killed(str(cause), config or {})
        if isinstance(cause, OSError) and cause.errno in _GONE and (cause.filename or cause.errno == errno.ENOSPC):
            name = cause.filename if isinstance(cause.filename, str) else cause.filename or "a file"
            name = name.decode(errors="replace") if isinstance(name, bytes) else name
            return (
                f"{name}: {_GONE[cause.errno]} ({cause.strerror}); restore it or free space, then start the same "
                "command again: a training continues from its last checkpoint with --resume auto"
            )
    return None


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and bool(_MEMORY.search(str(error)))


def _out_of_memory(found: BaseException, error: BaseException, config: Mapping[str, Any]) -> str:
    validating = any("evaluator" in frame.f_globals.get("__name__", "") for e in chain(error) for frame in _frames(e))
    training = "batch_size" in config and not validating
    paths = [] if training else list(_paths(config, "sw_batch_size"))
    # the size of a trained network cannot be changed
    usable = TRAINING_KEYS if training else () if "checkpoint" in config else TRAINING_KEYS[1:]
    keys = [*paths, *(key for key in usable if key in config)]
    lower = " or ".join(f"--{key}" + _now(config, key) for key in keys[:3]) or "the size of what it works on"
    on_gpu = isinstance(found, torch.OutOfMemoryError) or "CUDA" in str(found)
    elsewhere = ", or set --invert_device cpu" if on_gpu and not training and "invert_device" in config else ""
    where = "the GPU" if on_gpu else "this machine"
    what = "validating" if validating else "training" if training else "working"
    reason = " ".join(str(found).split("\n")[0].split())[:160]
    return f"out of memory on {where} for {what}: lower {lower}{elsewhere} ({reason or type(found).__name__})"


def _worker_killed(text: str, config: Mapping[str, Any]) -> str:
    number = next(_paths(config, "num_workers"), "num_workers")  # at the top where it is an option of training
    if "Bus error" in text or "shared memory" in text:
        return (
            "a worker of the loader ran out of shared memory: raise /dev/shm (docker run --shm-size=8g), or lower "
            f"--{number} ({text.splitlines()[0]})"
        )
    again = "; the same command with --resume auto continues from the last checkpoint" if "resume" in config else ""
    return (
        f"a worker of the loader was killed, most likely for lack of memory: lower --{number} "
        f"({text.splitlines()[0]}){again}"
    )


def _frames(error: BaseException) -> Iterator[Any]:
    return (frame for frame, _ in traceback.walk_tb(error.__traceback__))


def _paths(config: Any, wanted: str, before: str = "") -> Iterator[str]:
    """Where a key lies in a nested config, as MONAI's command line writes it: ``validate#inferer#sw_batch_size``."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key == wanted:
                yield before + str(key)
            else:
                yield from _paths(value, wanted, f"{before}{key}#")


def _now(config: Mapping[str, Any], path: str) -> str:
    value: Any = config
    for key in path.split("#"):
        value = value[key]
    return "" if isinstance(value, str) and value[:1] in "@$" else f" (now {value})"


# what gloo, nccl and the rendezvous store report when a process is gone or silent
_LOST = re.compile(
    r"Connection (closed|reset) by peer|Broken pipe|Timed out waiting \d+ms|gloo.*[Tt]imed? ?out|Socket Timeout"
    r"|caused pair closure"
    r"|NCCL.*(remote process exited|timeout|unhandled system error)|client has timed out|(recvValue|sendBytes) failed"
)


def lost_process_in(error: BaseException | None) -> str | None:
    """What to report where an exception in one of several processes was caused by the loss of another; or None."""
    if not dist.is_initialized():
        return None
    for cause in chain(error):
        text = " ".join(str(cause).split())
        if isinstance(cause, (RuntimeError, ConnectionError)) and _LOST.search(text):
            return (
                f"process {dist.get_rank()} of {dist.get_world_size()} (on {socket.gethostname()}) lost another one, "
                f"which has ended or hangs ({text[:160]}); look for its own message, above or on its machine, fix "
                "that and start the same command again: it continues from the last checkpoint"
            )
    return None
