"""Checkpoint files: written whole or not at all, and read only if every byte is the one that was written."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from monai_cl.errors import UserError
from monai_cl.networks.archive import checksum_error
from monai_cl.networks.weights_file import save_weights

logger = logging.getLogger(__name__)
_NAME = re.compile(r"checkpoint_iteration=(\d+)\.pt$")
_WRITTEN = r"(checkpoint_iteration=\d+|model)\.pt"
# the second form is that of earlier versions
_LEFT_OVER = re.compile(rf"\.tmp-{_WRITTEN}-\d+-[0-9a-f]+$|\.{_WRITTEN}\.\d+\.tmp$")
DAMAGED = ".damaged"
_ANOTHER = "name another checkpoint_iteration=N.pt, or --resume auto for the newest in output_dir that can be read"


def checkpoint_name(iteration: int) -> str:
    """Name of the checkpoint after an iteration."""
    return f"checkpoint_iteration={iteration}.pt"


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoint files of a folder, newest iteration first."""
    paths = [path for path in folder.glob("checkpoint_iteration=*.pt") if _NAME.search(path.name)]
    return sorted(paths, key=checkpoint_iteration, reverse=True)


def checkpoint_iteration(path: Path) -> int:
    """The iteration after which one of `checkpoints_in` was written, by its name."""
    match = _NAME.search(path.name)
    assert match is not None, path
    return int(match[1])


def save_atomically(content: Mapping[str, Any], path: Path, about: Mapping[str, Any] | None = None) -> None:
    """`save_weights` through a temporary file, fsync and rename: a kill leaves the old file or the new one.

    Args:
        content: a state dict, or a checkpoint of a run.
        path: the file.
        about: the record of the model, see `save_weights`.

    Raises:
        UserError: the disk is full, read-only or gone; says so, and which checkpoints are left. Nothing is changed
            then.
    """
    try:
        # where the folder has vanished a new one would lie on another disk
        save_weights(content, path, about, make_folder=False)
    except (OSError, RuntimeError) as error:
        # torch turns the system's error into its own, "unexpected pos 704 vs 598"
        system = error if isinstance(error, OSError) else error.__context__
        if not isinstance(system, OSError):
            raise
        raise UserError(_not_written(path, system)) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a run's checkpoint, checksums compared.

    Raises:
        UserError: no such file, a damaged one, or one that is not a checkpoint of a run.
    """
    if not path.is_file():
        raise UserError(path, found="no such checkpoint to resume from", remedy=_ANOTHER)
    try:
        fault = checksum_error(path)
        content = torch.load(path, map_location="cpu", weights_only=True) if fault is None else None
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(path, found=f"damaged, or not a checkpoint of a run ({reason})", remedy=_ANOTHER) from error
    if fault is not None:
        raise UserError(path, found=f"damaged, or not a checkpoint of a run ({fault})", remedy=_ANOTHER)
    if not isinstance(content, dict) or not {"network", "iteration", "epoch", "epoch_length"} <= content.keys():
        expected = "a run's checkpoint with network, iteration, epoch and epoch_length"
        raise UserError(path, expected=expected, found="another file", remedy=_ANOTHER)
    return content


def set_aside(path: Path) -> Path:
    """Rename a damaged checkpoint to ``….pt.damaged``, so that it no longer counts as one of those that are kept."""
    aside = path.with_name(path.name + DAMAGED)
    os.replace(path, aside)
    return aside


def left_overs(folder: Path) -> list[Path]:
    """Partly written files of a killed process, each maybe as large as a checkpoint."""
    return sorted(path for path in folder.glob(".*") if _LEFT_OVER.match(path.name))


def remove_left_overs(folder: Path) -> None:
    """Delete `left_overs`. Hold the run's lock."""
    for path in left_overs(folder):
        _remove(path)
        logger.info("removed %s, which a killed run left partly written", path)


def check_writable(folder: Path) -> None:
    """Create the folder and a file in it, so that a run does not fail after hours because it cannot save.

    Raises:
        UserError: it cannot be created, or nothing can be written into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(folder, found=f"cannot be created ({error})", remedy="choose another --output_dir") from error
    trial = folder / f".writable.{os.getpid()}.tmp"
    try:
        trial.write_bytes(b"1")
    except OSError as error:
        raise UserError(
            folder,
            found=f"nothing can be written there ({error.strerror or error})",
            remedy="free space, make it writable, or choose another --output_dir",
        ) from error
    finally:
        _remove(trial)


def _not_written(path: Path, error: OSError) -> str:
    kept = checkpoints_in(path.parent) if path.parent.is_dir() else []
    whole = f"the last complete checkpoint is {kept[0].name}" if kept else "no checkpoint has been written yet"
    try:
        free = f"{shutil.disk_usage(path.parent).free / 2**30:.1f} GiB free"
    except OSError:
        free = "the folder is gone"
    return (
        f"{path}: cannot be written ({error.strerror or error}; {free}); {whole}. Free space or restore the folder, "
        "then start the same command again: --resume auto continues from there"
    )


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # a disk that has become read-only or is gone; what matters is the error before
        logger.warning("%s: cannot be removed (%s)", path, error)
