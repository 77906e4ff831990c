"""A store that was there and is gone: a disk that was unmounted, a folder that was deleted under a run."""

from __future__ import annotations

from pathlib import Path


def unreadable(path: Path, fault: str, *, remedy: str = "store repair") -> str:
    """What to say of a file of an entry that cannot be read: the fault, or that the whole store is no longer there.

    Args:
        path: ``store/entry/file``.
        fault: what was expected, and what was found.
        remedy: the command of ``python -m monai_cl`` that mends it.
    """
    root = path.parents[1]
    if not root.is_dir():
        return (
            f"{root}: the store has vanished; is its disk still mounted? Bring it back and start the same command "
            "again: a training goes on from its last checkpoint with --resume auto"
        )
    return f"{path}: {fault}; run `python -m monai_cl {remedy}`"
