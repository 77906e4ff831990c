"""Running the cells of a study: several at once, several processes at the same folder, killed at any moment.

A cell is locked while it runs, by the process that started it and by the cell's own process: a cell whose starter was
killed is left alone until its process has ended. What is done is recorded in one atomic write. A bundle continues from
its checkpoint, any other command starts again with an empty output folder.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from monai_cl.errors import UserError
from monai_cl.files import remove
from monai_cl.locks import Busy
from monai_cl.study.commands import command_of
from monai_cl.study.definition import StudyDefinition
from monai_cl.study.expansion import Cell, Expansion
from monai_cl.study.folder import CellFolder, StudyFolder
from monai_cl.study.identity import ABSENT

_POLL = 0.1  # seconds between two looks at a process, and at cells of others
_TERMINATION = 60.0  # seconds for a bundle's last checkpoint


@dataclass
class Progress:
    """What `Runner.run` did.

    Attributes:
        done: cells that it ran to their end.
        failed: identity -> reason.
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass
class Runner:
    """Takes the cells of a study one by one.

    Attributes:
        study: its definition.
        expansion: its cells.
        folder: where they lie.
        threads: of each cell's process (``OMP_NUM_THREADS``); None: as the environment has it.
        gpus: CUDA devices; worker k sees number ``k % len(gpus)`` alone. Empty: all see what the environment shows.
        say: gets a line for each cell that starts and ends.
        progress: what `run` has done.
        stopped: set where no further cell is to start, and the processes of those that run are to end.
    """

    study: StudyDefinition
    expansion: Expansion
    folder: StudyFolder
    threads: int | None = None
    gpus: Sequence[int | str] = ()
    say: Callable[[str], None] = print
    progress: Progress = field(default_factory=Progress)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, workers: int = 1) -> Progress:
        """Run all cells that are not done, ``workers`` at a time; those that fail are tried once per call.

        Raises:
            UserError: an input is absent, or the folder cannot be locked.
        """
        absent = [name for name, found in self.expansion.inputs.items() if found == ABSENT]
        if absent:
            raise UserError(
                self.study.path,
                expected=f"the input {absent[0]!r}",
                found=f"nothing at {self.study.inputs[absent[0]]}",
                remedy=f'name it: --inputs "{{{", ".join(f"{name!r}: PATH" for name in absent)}}}"',
            )
        (self.folder.path / "cells").mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(max_workers=workers) as pool:
            try:
                for task in [pool.submit(self._work, worker) for worker in range(workers)]:
                    task.result()
            finally:
                self.stopped.set()
        return self.progress

    def _work(self, worker: int) -> None:
        try:
            while not self.stopped.is_set():
                todo = self._todo()
                if not todo:
                    return
                if not any(self._try(cell, worker) for cell in todo):  # the first that is free
                    time.sleep(_POLL)  # what is left runs elsewhere, or waits for that
        except BaseException:
            self.stopped.set()
            raise

    def _todo(self) -> list[Cell]:
        """Cells that are not done and may be some time: neither they nor what they need has failed in this call."""
        lost = set(self.progress.failed)
        todo = []
        for identity, cell in self.expansion.cells.items():  # what a cell needs comes before it
            if lost & {identity, *cell.needs.values()}:
                lost.add(identity)
            elif not self.folder.of(cell).is_done():
                todo.append(cell)
        return todo

    def _try(self, cell: Cell, worker: int) -> bool:
        """Run a cell if it is free and ready."""
        needed = [self.folder.of(self.expansion.cells[identity]) for identity in cell.needs.values()]
        place = self.folder.of(cell)
        if self.stopped.is_set() or not all(one.is_done() for one in needed):
            return False
        place.path.mkdir(exist_ok=True)
        lock = place.lock()
        try:
            if not lock.acquire():
                raise UserError(
                    place.path,
                    expected="a file system with locks",
                    found="one without",
                    remedy="use a folder on a local disk",
                )
        except Busy:
            return False
        try:
            # another process may have ended it between the look and the lock
            if place.is_done() or cell.identity in self.progress.failed:
                return False
            self._run(cell, place, worker, lock.handle)
        finally:
            lock.release()
        return True

    def _run(self, cell: Cell, place: CellFolder, worker: int, handle: int | None) -> None:
        words = command_of(cell, self.study, self.expansion, self.folder)
        if cell.kind != "bundle" and place.output.exists():
            remove(place.output)
        place.output.mkdir(exist_ok=True)
        self.folder.describe(cell)
        self.say(f"[{cell.name}] started")
        started = time.monotonic()
        status = self._execute(words, place.log, self._environment(worker), handle)
        seconds = time.monotonic() - started
        if cell.kind == "bundle":  # which goes on from its checkpoint
            seconds += place.spent()
            if status:
                place.spend(seconds=seconds)
        if self.stopped.is_set() and status:
            self.say(f"[{cell.name}] stopped")
        elif status or self._lacks_results(cell, place):
            reason = f"status {status}: {last_line(place.log)}" if status else f"no {self.study.measure.file}"
            place.fail(status=status, reason=reason)
            self.progress.failed[cell.identity] = reason
            self.say(f"[{cell.name}] failed, {reason} (whole log: {place.log})")
        else:
            place.finish(seconds=seconds)
            self.progress.done.append(cell.identity)
            self.say(f"[{cell.name}] done in {seconds:.0f} s")

    def _lacks_results(self, cell: Cell, place: CellFolder) -> bool:
        measure = self.study.measure
        return cell.step == measure.step and not (place.output / measure.file).is_file()

    def _environment(self, worker: int) -> dict[str, str]:
        environment = {**os.environ}
        if self.threads is not None:
            environment["OMP_NUM_THREADS"] = str(self.threads)
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = str(self.gpus[worker % len(self.gpus)])
        return environment

    def _execute(self, words: list[str], log: Path, environment: Mapping[str, str], handle: int | None) -> int:
        kept = (handle,) if handle is not None and sys.platform != "win32" else ()
        with log.open("ab") as stream:
            before = "\n" if log.stat().st_size else ""  # a killed process leaves a line without its end
            stream.write(f"{before}$ {shlex.join(words)}\n".encode())
            stream.flush()
            try:
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    pass_fds=kept,
                )
            except OSError as error:  # no such program
                stream.write(f"{error}\n".encode())
                return 127
            while (status := process.poll()) is None and not self.stopped.is_set():
                time.sleep(_POLL)
            if status is None:
                process.terminate()
                try:
                    status = process.wait(_TERMINATION)
                except subprocess.TimeoutExpired:
                    process.kill()
                    status = process.wait()
        return status


def last_line(log: Path) -> str:
    """The last line of a log that is not empty, not its command and no progress bar, cut to 300 characters."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 4096))
        lines = stream.read().decode("utf-8", errors="replace").replace("\r", "\n").split("\n")
    said = (line.strip()[:300] for line in reversed(lines) if line.strip() and not line.startswith("$ "))
    return next(said, "no output")


def estimated_hours(expansion: Expansion, folder: StudyFolder, *, workers: int = 1) -> tuple[float, list[str]]:
    """Hours that the cells that are not done will take, from the mean of those of their step that are.

    Returns:
        the hours, and the steps that are left out because no cell of theirs is done.
    """
    known: Mapping[str, list[float]] = folder.seconds(expansion.cells)
    todo = [cell for cell in expansion.cells.values() if not folder.of(cell).is_done()]
    seconds = sum(sum(known[cell.step]) / len(known[cell.step]) for cell in todo if cell.step in known)
    return seconds / 3600 / workers, sorted({cell.step for cell in todo} - known.keys())
