"""Resuming from a named checkpoint: where that is allowed, and whether the best model is copied too."""

from __future__ import annotations

import shutil
from pathlib import Path

from monai_cl.engines.checkpoints.checkpoint_file import checkpoint_iteration, checkpoints_in
from monai_cl.errors import UserError
from monai_cl.files import new_file

MODEL = "model.pt"


def require_no_other_run(path: Path, iteration: int, output_dir: Path) -> None:
    """Refuse to resume from ``path``, written after ``iteration``, where the run would delete existing checkpoints.

    A run keeps the last few by number, whichever run wrote them: its own would be deleted as soon as they are written
    where later ones exist, or replace earlier ones of another run.

    Raises:
        UserError: later checkpoints of the same folder, any of another one.
    """
    existing = checkpoints_in(output_dir)
    if not _same_folder(path.parent, output_dir):
        if existing:
            raise UserError(
                existing[0],
                found=f"a checkpoint of another run than {path}, which would be lost",
                remedy="continue that run with --resume auto, or choose another --output_dir",
            )
        return
    newer = [other for other in existing if checkpoint_iteration(other) > iteration]
    if newer:
        raise UserError(
            newer[0],
            found=f"newer than {path}, which was to be resumed",
            remedy=f"move it ({len(newer)} such) away, or choose another --output_dir",
        )


def bring_best_model(path: Path, iteration: int, output_dir: Path, *, write: bool) -> bool:
    """Copy ``model.pt`` from beside a checkpoint into the run's folder; returns whether the best model is available.

    It is not where the file is missing, nor, for another folder, where its run has continued after ``iteration``, the
    checkpoint's: the file may be a later model then.

    Args:
        write: whether this process writes (rank 0).
    """
    source = path.parent / MODEL
    if not source.is_file():
        return False
    if _same_folder(path.parent, output_dir):
        return True
    if any(checkpoint_iteration(other) > iteration for other in checkpoints_in(path.parent)):
        return False
    if write:
        with new_file(output_dir / MODEL) as temporary:
            shutil.copyfile(source, temporary)
    return True


def _same_folder(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
