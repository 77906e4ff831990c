"""SIGTERM, with which Slurm and others announce the end: noted when it comes, obeyed where the run's state is whole."""

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
    """Raised once a run has to leave; nobody's ``except Exception`` holds it up, and it sets the exit status."""

    def __init__(self) -> None:
        super().__init__(EXIT_SAVED)

    def __str__(self) -> str:
        return "SIGTERM: the run saves itself and ends"


class Termination:
    """Whether SIGTERM has come since `watch`; outside the main thread it never has."""

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None
        self._watching = False

    def watch(self) -> None:
        """Take SIGTERM over."""
        if not self._watching and threading.current_thread() is threading.main_thread():
            self.requested = False
            self._before = signal.signal(signal.SIGTERM, self._note)
            self._watching = True
            atexit.unregister(end_workers)
            atexit.register(end_workers)

    def release(self) -> None:
        """Give SIGTERM back to whoever had it."""
        if self._watching:
            signal.signal(signal.SIGTERM, self._before if self._before is not None else signal.SIG_DFL)
            self._watching = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True


def ignore_sigterm_in_worker(worker: int) -> None:
    """``worker_init_fn`` of a training's loader: its workers let SIGTERM pass.

    Slurm sends it to all processes of a job. Workers that died of it would tear the training down in the middle of a
    step, before it could save; as it is they end with the training.

    Args:
        worker: the worker's number, as the loader gives it; not used.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def end_workers(seconds: float = 5.0) -> None:
    """Kill a loader's workers that have not ended by themselves after that many seconds.

    One that hangs in a read lets SIGTERM pass, by which multiprocessing would end it, and then wait for it for ever.
    """
    until = time.monotonic() + seconds
    for worker in multiprocessing.active_children():
        if worker.daemon:
            worker.join(max(0.0, until - time.monotonic()))
            worker.kill()
