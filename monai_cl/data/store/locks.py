"""Who is preparing a volume: one lock file per key, released by the system when its holder dies."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

from monai_cl.files import leftovers
from monai_cl.locks import Busy, Lock

__all__ = ["Busy", "entry_lock", "is_claimed"]


@contextlib.contextmanager
def entry_lock(root: Path, key: str, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of ``key`` in the ``with`` block; what a killed holder left under that name is removed first.

    The lock spares repeated work only. Entries stay whole without it, so a file system without locks is accepted.

    Raises:
        Busy: held by another process, and ``wait`` is false.
    """
    lock = _lock(root, key)
    held = lock.acquire(patience=math.inf if wait else 0.0)
    try:
        for leftover in leftovers(root, key) if held else []:
            shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        lock.release()


def is_claimed(root: Path, key: str) -> bool:
    """Whether a living process holds the lock of ``key``."""
    return _lock(root, key).is_busy()


def _lock(root: Path, key: str) -> Lock:
    folder = root / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return Lock(folder / key)
