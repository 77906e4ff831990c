"""``python -m MODULE …`` without the seconds its imports take: one process has imported them, and forks one a command.

Run as a script it reads a JSON job a line and answers with the number of its process, then with its exit status.
`Launcher` is its other end.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# this file is a program too, and then its folder is not a package
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tests import network  # noqa: E402

sys.path.pop(0)

USED_THE_NETWORK = 98
"""Exit status of a command that asked for an address of another machine, whatever it made of the refusal."""


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    status: int
    out: str
    err: str
    seconds: float = 0.0  # of processor time, with its children's

    @property
    def last_error_line(self) -> str:
        """What a user sees last."""
        return (self.err.strip().splitlines() or [""])[-1]

    def check(self) -> Finished:
        """Fail, with what the command printed, unless it succeeded."""
        assert self.status == 0, f"status {self.status}\n{self.out[-2000:]}\n{self.err[-6000:]}"
        return self


class Running:
    """A command that keeps running; see `Launcher.start`."""

    def __init__(self, answers: IO[str], folder: tempfile.TemporaryDirectory) -> None:
        self._answers, self._folder = answers, folder
        self.pid = int(answers.readline())

    def send(self, number: int) -> None:
        """Send it a signal; it may have ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self) -> Finished:
        """Its end. The status of a process that a signal ended is that signal's number, negative."""
        try:
            status, seconds = self._answers.readline().split()
        except BaseException:  # a test's time limit: show where the command hangs, and leave no answer to the next
            self.send(signal.SIGABRT)  # faulthandler writes the stack of every thread
            time.sleep(1)
            self.send(signal.SIGKILL)
            self._answers.readline()
            print(*self._said(), sep="\n")
            raise
        out, err = self._said()
        return Finished(int(status), out, err, float(seconds))

    def _said(self) -> tuple[str, str]:
        with self._folder as folder:
            out, err = ((Path(folder) / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err"))
        return out, err

    def lives(self) -> bool:
        """Whether it has not ended."""
        return self._state()[0] not in "ZX"

    def used(self) -> float:
        """Seconds of processor time so far, as Linux counts them."""
        _, *fields = self._state()
        return (int(fields[10]) + int(fields[11])) / os.sysconf("SC_CLK_TCK")

    def _state(self) -> list[str]:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return ["X", *["0"] * 12]


class Launcher:
    """Starts commands as fresh processes of a warmed-up interpreter, one at a time."""

    def __init__(self) -> None:
        # One thread: the test machine is small, and a process with running threads must not fork.
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )

    def run(self, module: str, *arguments: object, cwd: str | Path, env: Mapping[str, str] | None = None) -> Finished:
        """``python -m module arguments`` in ``cwd``."""
        return self.start(module, *arguments, cwd=cwd, env=env).wait()

    def start(
        self,
        module: str,
        *arguments: object,
        cwd: str | Path,
        env: Mapping[str, str] | None = None,
        prelude: str = "",
    ) -> Running:
        """As `run`, without waiting for the end; wait for it before the next start.

        Args:
            module: ``-`` for none but the prelude.
            prelude: Python code that the process runs first.
        """
        folder = tempfile.TemporaryDirectory()
        job = {"module": module, "arguments": [str(a) for a in arguments], "cwd": str(cwd), "env": dict(env or {})}
        files = {name: str(Path(folder.name) / name) for name in ("out", "err")}
        self._server.stdin.write(json.dumps({**job, **files, "prelude": prelude}) + "\n")
        self._server.stdin.flush()
        return Running(self._server.stdout, folder)

    def close(self) -> None:
        """End the server."""
        self._server.stdin.close()
        self._server.wait(timeout=300)  # leaving takes a busy machine its time
        self._server.stdout.close()


def _serve() -> None:
    sys.path[0] = str(ROOT)  # a command puts its current folder here
    import tests.imported  # noqa: F401

    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(job)
        print(child, flush=True)
        _, status, used = os.wait4(child, 0)
        print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, flush=True)


def _run(job: dict) -> None:
    """In the forked process: become ``python -m module arguments``. Does not return."""
    import atexit
    import faulthandler
    import runpy
    import threading

    for number, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, job["out"], os.O_WRONLY | os.O_CREAT),
        (2, job["err"], os.O_WRONLY | os.O_CREAT),
    ):
        os.dup2(os.open(name, flags, 0o600), number)
    faulthandler.enable()
    network.forbid_network()
    os.chdir(job["cwd"])
    os.environ.update(job["env"])
    sys.path[0] = job["cwd"]
    sys.argv = [job["module"], *job["arguments"]]
    status = 0
    try:
        if job["module"] == "-":
            exec(compile(job["prelude"], "<stdin>", "exec"), {"__name__": "__main__"})
        else:
            exec(job["prelude"], {"__name__": "prelude"})
            runpy.run_module(job["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    # as an interpreter ends: without the first, joblib's idle workers would be waited for, for minutes
    threading._shutdown()
    atexit._run_exitfuncs()
    if network.ATTEMPTS:
        print(f"the network is not to be used: {', '.join(network.ATTEMPTS)}", file=sys.stderr)
        status = USED_THE_NETWORK
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _serve()
