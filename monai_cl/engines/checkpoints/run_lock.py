"""One run a folder: two that write into the same one would overwrite each other's checkpoints."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from monai_cl.errors import UserError

_held: set[int] = set()


class RunLock:
    """A lock on a run's folder itself, freed by the system when its holder dies; leaves no file.

    A file system (NFS) or a system (Windows) that cannot lock folders is let pass.

    Args:
        patience: seconds to wait for a holder that is about to end, such as the workers of a killed run.
    """

    def __init__(self, folder: Path, *, patience: float = 15.0) -> None:
        self.folder, self.patience = folder, patience
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            UserError: another process holds it.
        """
        try:
            import fcntl
        except ImportError:
            return
        if self._handle is not None:
            return
        handle = os.open(self.folder, os.O_RDONLY)
        until = time.monotonic() + self.patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    os.close(handle)
                    raise UserError(
                        f"{self.folder}: another run is writing there; wait for its end, or choose another --output_dir"
                    ) from error
                time.sleep(0.2)
            except OSError:
                os.close(handle)
                return
        self._handle = handle
        _held.add(handle)

    def release(self) -> None:
        """Give the lock back."""
        if self._handle is not None:
            _held.discard(self._handle)
            os.close(self._handle)
            self._handle = None


def _close_in_child() -> None:
    # a loader's workers outlive a killed parent by seconds, and with them the lock would
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
