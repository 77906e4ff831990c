"""SIGTERM, which announces the end of a job, and Ctrl-C: recorded on arrival, handled when the state is consistent."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from ignite.engine import Engine

EXIT_SAVED = 75
"""Exit status of a training that SIGTERM or Ctrl-C ended once it was saved (``EX_TEMPFAIL``: start it again)."""
_SIGNALS = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}
# torchrun hands a Ctrl-C on to processes that got it from the terminal already
_SAME_SECONDS = 2.0


class Preempted(SystemExit):
    """Raised when a run has to stop; no ``except Exception`` catches it, and it sets the exit status."""

    def __init__(self) -> None:
        super().__init__(EXIT_SAVED)

    def __str__(self) -> str:
        return "SIGTERM or Ctrl-C: the run saves itself and ends"


def log_no_stop_as_error(engine: Engine) -> None:
    """Keep Ignite's line "Engine run is terminating due to exception" out of the log, where it is `Preempted`.

    Args:
        engine: whose logger, which all engines of its class share, is told so.
    """
    engine.logger.addFilter(_is_no_stop)


def _is_no_stop(record: logging.LogRecord) -> bool:
    return not isinstance(sys.exc_info()[1], Preempted)  # what Ignite is handling while it logs


class Termination:
    """Whether SIGTERM or Ctrl-C has arrived since `watch`; always False outside the main thread.

    Attributes:
        requested: whether the run has to stop.
        reason: the signal, in words.
    """

    def __init__(self) -> None:
        self.requested, self.reason = False, "SIGTERM"
        self._before: dict[signal.Signals, Any] = {}
        self._watching = False
        self._interrupted: float | None = None

    def watch(self) -> None:
        """Install the handler of both signals."""
        if not self._watching and threading.current_thread() is threading.main_thread():
            self.requested, self._interrupted = False, None
            # a shell without a terminal lets its background jobs ignore Ctrl-C
            wanted = [n for n in _SIGNALS if n is signal.SIGTERM or signal.getsignal(n) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._note) for number in wanted}
            self._watching = True
            atexit.unregister(end_workers)
            atexit.register(end_workers)

    def release(self) -> None:
        """Restore the previous handlers."""
        if self._watching:
            for number, before in self._before.items():
                signal.signal(number, before if before is not None else signal.SIG_DFL)
            self._watching = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            now = time.monotonic()
            if self._interrupted is not None and now - self._interrupted > _SAME_SECONDS:
                raise KeyboardInterrupt  # who presses it again does not want to wait
            if self._interrupted is None:
                # not print: the signal may have come in the middle of one
                os.write(2, b"\nCtrl-C: finishing this iteration, then saving; press it again to end at once\n")
                self._interrupted = now
        self.requested, self.reason = True, _SIGNALS[signal.Signals(number)]


def ignore_sigterm_in_worker(worker: int) -> None:
    """``worker_init_fn`` of a training's loader: its workers ignore SIGTERM and Ctrl-C.

    Slurm sends the one to all processes of a job, a terminal the other. Workers that died of it would end the training
    in the middle of a step, before it could save; this way they end with the training.

    Args:
        worker: the worker's number, as the loader gives it; not used.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def end_workers(seconds: float = 5.0) -> None:
    """Kill a loader's workers that have not ended by themselves after that many seconds.

    One that hangs in a read ignores SIGTERM, by which multiprocessing would end it, and would be waited for forever.
    """
    until = time.monotonic() + seconds
    for worker in multiprocessing.active_children():
        if worker.daemon:
            worker.join(max(0.0, until - time.monotonic()))
            worker.kill()
