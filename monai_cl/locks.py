"""A lock on a file or folder between processes, which the system frees when its holder dies, however it dies."""

from __future__ import annotations

import os
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_POLL = 0.05  # seconds between two tries
_held: set[Lock] = set()


class Busy(Exception):
    """Another process holds the lock."""


class Lock:
    """An exclusive lock on ``path`` itself.

    A folder is locked as it is, which leaves no file; anything else is a lock file, made if absent and left there. A
    child that is forked while the lock is held does not hold it.

    Args:
        path: the folder, or the lock file; the folder of a lock file must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self, *, patience: float = 0.0) -> bool:
        """Take the lock.

        Args:
            patience: seconds to wait for a holder; ``math.inf`` for as long as it takes.

        Returns:
            False where the file system (NFS) or the system (Windows: folders) cannot lock this: nothing is held then.

        Raises:
            Busy: held by another process, or by this one through another `Lock`.
        """
        if self._handle is not None:
            return True
        until = time.monotonic() + patience
        try:
            handle = os.open(self.path, os.O_RDONLY if self.path.is_dir() else os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:
            return False
        try:
            while True:
                try:
                    _lock(handle)
                    break
                except BlockingIOError as error:
                    if time.monotonic() >= until:
                        raise Busy(str(self.path)) from error
                    time.sleep(_POLL)
        except OSError:
            os.close(handle)
            return False
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        _held.add(self)
        return True

    def is_busy(self) -> bool:
        """Whether another one holds the lock now; if it is free it is taken for a moment to find out."""
        if self._handle is not None:
            return False
        try:
            self.acquire()
        except Busy:
            return True
        self.release()
        return False

    @property
    def handle(self) -> int | None:
        """The open file while the lock is held; a child that inherits it (``pass_fds``) holds the lock as well."""
        return self._handle

    def release(self) -> None:
        """Give the lock back; does nothing where it is not held."""
        if self._handle is not None:
            _held.discard(self)
            os.close(self._handle)
            self._handle = None


def _lock(handle: int) -> None:
    """Lock an open file now or raise: BlockingIOError where another one has it, OSError where that is impossible."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except PermissionError as error:
        raise BlockingIOError(*error.args) from error


def _let_go_in_child() -> None:
    # a loader's workers outlive a killed parent by seconds, and would keep the lock
    for lock in list(_held):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)
