"""A real shell for the commands of the documentation, in which ``python`` starts without the seconds of its imports.

``python`` on its PATH is a small program that hands ``-m``, and the code of ``python -``, over a socket to a `Launcher`
and everything else to the real interpreter. Quoting, variables, pipes and continuation lines are the shell's own
business.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.bundles.launcher import Finished, Launcher, Running

_CLIENT = """#!{python} -IS
import json, os, socket, sys
if sys.argv[1:2] != ["-m"] and sys.argv[1:] != ["-"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    code = sys.stdin.read() if sys.argv[1] == "-" else ""
    job = {{"words": sys.argv[2:] or ["-"], "code": code, "cwd": os.getcwd(), "env": dict(os.environ)}}
    line.sendall(json.dumps(job).encode() + b"\\n")
    answer = json.loads(line.makefile().readline())
sys.stdout.write(answer["out"]); sys.stdout.flush()
sys.stderr.write(answer["err"]); sys.stderr.flush()
os._exit(answer["status"] & 255)
"""


class Shell:
    """Runs scripts; see above.

    Args:
        launcher: that starts the programs.
        folder: for the socket and the program; its path must be short (a socket's name has 107 bytes).
    """

    def __init__(self, launcher: Launcher, folder: Path) -> None:
        self._launcher, self._folder = launcher, folder
        self._running: Running | None = None
        (folder / "bin").mkdir(parents=True)
        address = folder / "s"
        for name in ("python", "python3"):
            program = folder / "bin" / name
            program.write_text(_CLIENT.format(python=sys.executable, address=str(address)))
            program.chmod(0o755)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(address))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def run(self, script: str, *, cwd: Path, timeout: float = 600) -> Finished:
        """A script in bash, which continues after a command that failed; after ``timeout`` seconds its command ends."""
        path = os.pathsep.join([str(self._folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                [shutil.which("bash"), "--norc", "-c", script],
                cwd=cwd,
                env=environment,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            self._end()
            raise
        return Finished(done.returncode, done.stdout, done.stderr)

    def close(self) -> None:
        """Take no more commands."""
        self._socket.close()

    def _end(self) -> None:
        """End the command that runs: the launcher starts no other before it."""
        running = self._running
        if running is None:
            return
        running.send(signal.SIGTERM)  # it ends what it has started
        deadline = time.monotonic() + 20
        while running.lives() and time.monotonic() < deadline:
            time.sleep(0.2)
        running.send(signal.SIGKILL)

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            with line, line.makefile("rw") as stream:
                job = json.loads(stream.readline())
                module, *words = job["words"]
                start = self._launcher.start
                self._running = start(module, *words, cwd=job["cwd"], env=job["env"], prelude=job["code"])
                done = self._running.wait()
                self._running = None
                with contextlib.suppress(OSError):  # nobody waits any more
                    stream.write(json.dumps({"status": done.status, "out": done.out, "err": done.err}) + "\n")
                    stream.flush()
