"""What to do about a store: repair it, fill it, or restore it where its disk was unmounted or its folder deleted."""

from __future__ import annotations

import shlex
from pathlib import Path

from monai_cl.errors import UserError


def damaged_error(
    path: Path, *, expected: str, found: object = None, cause: object = None, command: str | None = None
) -> UserError:
    """The error for a file of an entry that cannot be read: its fault, or that the whole store is no longer there.

    Args:
        path: ``store/entry/file``.
        expected, found, cause: of the fault, as for :class:`UserError`.
        command: the command line that fixes it; by default :func:`repair_line`.
    """
    root = path.parents[1]
    if not root.is_dir():
        return UserError(
            root,
            found="the store has vanished",
            remedy=(
                "is its disk still mounted? Restore it and start the same command again: a training continues from "
                "its last checkpoint with --resume auto"
            ),
        )
    return UserError(path, expected=expected, found=found, cause=cause, remedy=f"run `{command or repair_line(root)}`")


def repair_line(root: str | Path) -> str:
    """The command line that repairs the store at ``root``."""
    return f"python -m monai_cl store repair {shlex.quote(str(root))}"


def prepare_line(root: str | Path) -> str:
    """The command line that fills the store at ``root``, of a data list that is not known."""
    return f"python -m monai_cl prepare LIST --store {shlex.quote(str(root))}"
