"""One run per folder: two runs that write into one folder would overwrite each other's checkpoints."""

from __future__ import annotations

from monai_cl.errors import UserError
from monai_cl.locks import Busy, Lock


class RunLock(Lock):
    """A lock on a run's folder itself, which leaves no file."""

    def acquire(self, *, patience: float = 15.0) -> bool:
        """Take the lock.

        Args:
            patience: seconds to wait for a holder that is about to end, such as the workers of a killed run.

        Raises:
            UserError: another process holds it.
        """
        try:
            return super().acquire(patience=patience)
        except Busy as error:
            raise UserError(
                self.path,
                found="another run is writing there",
                remedy="wait for its end, or choose another --output_dir",
            ) from error
