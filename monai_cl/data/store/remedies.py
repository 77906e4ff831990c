"""What to do about a store: mend it, fill it, or bring it back, where its disk was unmounted or its folder deleted."""

from __future__ import annotations

import shlex
from pathlib import Path


def unreadable(path: Path, fault: str, *, remedy: str | None = None) -> str:
    """What to say of a file of an entry that cannot be read: the fault, or that the whole store is no longer there.

    Args:
        path: ``store/entry/file``.
        fault: what was expected, and what was found.
        remedy: the command line that mends it; by default :func:`repair_line`.
    """
    root = path.parents[1]
    if not root.is_dir():
        return (
            f"{root}: the store has vanished; is its disk still mounted? Bring it back and start the same command "
            "again: a training goes on from its last checkpoint with --resume auto"
        )
    return f"{path}: {fault}; run `{remedy or repair_line(root)}`"


def repair_line(root: str | Path) -> str:
    """The command line that mends the store at ``root``."""
    return f"python -m monai_cl store repair {shlex.quote(str(root))}"


def prepare_line(root: str | Path, data_list: str | Path | None = None) -> str:
    """The command line that fills the store at ``root``; LIST stands for a data list that is not known."""
    name = "LIST" if data_list is None else shlex.quote(str(data_list))
    return f"python -m monai_cl prepare {name} --store {shlex.quote(str(root))}"
