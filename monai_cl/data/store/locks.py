"""Who is preparing a volume: a lock file a key, freed by the system when its holder dies."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import filelock

from monai_cl.files import leftovers


class Busy(Exception):
    """Another process is preparing this volume now."""


@contextlib.contextmanager
def claim(root: Path, key: str, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of ``key`` in the ``with`` block; what a killed holder left under that name is removed first.

    The lock spares repeated work only. Entries stay whole without it, so a file system that knows no locks is let pass.

    Raises:
        Busy: held by another process, and ``wait`` is false.
    """
    lock = _lock(root, key, wait)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise Busy(key) from error
    except (OSError, NotImplementedError):
        yield
        return
    try:
        for left in leftovers(root, key):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()


def is_claimed(root: Path, key: str) -> bool:
    """Whether a living process holds the lock of ``key``."""
    lock = _lock(root, key, wait=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        return True
    except (OSError, NotImplementedError):
        return False
    lock.release()
    return False


def _lock(root: Path, key: str, wait: bool) -> filelock.BaseFileLock:
    folder = root / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(folder / key, timeout=-1 if wait else 0)
