"""One run per folder: two runs that write into one folder would overwrite each other's checkpoints."""

from __future__ import annotations

from pathlib import Path

from monai_cl.errors import UserError
from monai_cl.locks import Busy, Lock


class RunLock:
    """A lock on a run's folder itself, which leaves no file; see `Lock`.

    Args:
        folder: of the run.
        patience: seconds to wait for a holder that is about to end, such as the workers of a killed run.
    """

    def __init__(self, folder: Path, *, patience: float = 15.0) -> None:
        self.folder, self.patience = folder, patience
        self._lock = Lock(folder)

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            UserError: another process holds it.
        """
        try:
            self._lock.acquire(patience=self.patience)
        except Busy as error:
            raise UserError(
                self.folder,
                found="another run is writing there",
                remedy="wait for its end, or choose another --output_dir",
            ) from error

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()
