"""SIGTERM, which announces the end of a job: recorded when it arrives, handled when the state is consistent."""

from __future__ import annotations

import atexit
import multiprocessing
import signal
import threading
import time
from types import FrameType
from typing import Any

EXIT_SAVED = 75
"""Exit status of a training that SIGTERM ended and that has saved itself (``EX_TEMPFAIL``: start it again)."""


class Preempted(SystemExit):
    """Raised when a run has to stop; no ``except Exception`` catches it, and it sets the exit status."""

    def __init__(self) -> None:
        super().__init__(EXIT_SAVED)

    def __str__(self) -> str:
        return "SIGTERM: the run saves itself and ends"


class Termination:
    """Whether SIGTERM has arrived since `watch`; always False outside the main thread."""

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None
        self._watching = False

    def watch(self) -> None:
        """Install the handler for SIGTERM."""
        if not self._watching and threading.current_thread() is threading.main_thread():
            self.requested = False
            self._before = signal.signal(signal.SIGTERM, self._note)
            self._watching = True
            atexit.unregister(end_workers)
            atexit.register(end_workers)

    def release(self) -> None:
        """Restore the previous handler of SIGTERM."""
        if self._watching:
            signal.signal(signal.SIGTERM, self._before if self._before is not None else signal.SIG_DFL)
            self._watching = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True


def ignore_sigterm_in_worker(worker: int) -> None:
    """``worker_init_fn`` of a training's loader: its workers ignore SIGTERM.

    Slurm sends it to all processes of a job. Workers that died of it would end the training in the middle of a step,
    before it could save; this way they end with the training.

    Args:
        worker: the worker's number, as the loader gives it; not used.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def end_workers(seconds: float = 5.0) -> None:
    """Kill a loader's workers that have not ended by themselves after that many seconds.

    One that hangs in a read ignores SIGTERM, by which multiprocessing would end it, and would be waited for forever.
    """
    until = time.monotonic() + seconds
    for worker in multiprocessing.active_children():
        if worker.daemon:
            worker.join(max(0.0, until - time.monotonic()))
            worker.kill()
