"""Bundles started as users start them on one machine or on several: torchrun's agents as real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.bundles.launcher import Finished


@dataclass
class Agents:
    """torchrun on every "machine" of a run; all of them are this one, and meet on the loopback.

    Args:
        arguments: of ``monai.bundle run``.
        cwd: where they run; their output goes to files there.
        port: where they meet.
        machines: agents, of ``processes`` each.
        only: start this one of them alone.
    """

    arguments: list[str]
    cwd: Path
    port: int
    machines: int = 1
    processes: int = 2
    only: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        launch = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={self.processes}"]
        if self.machines == 1:
            launch += [f"--master_port={self.port}"]
        else:
            launch += [f"--nnodes={self.machines}", "--rdzv_backend=c10d", f"--rdzv_endpoint=127.0.0.1:{self.port}"]
            launch += [f"--rdzv_id=run{self.port}", "--local_addr=127.0.0.1"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **self.environment}
        environment |= {"MONAI_CL_TEST_RUN": str(self.port), "PYTHONFAULTHANDLER": "1"}
        self.cwd.mkdir(parents=True, exist_ok=True)
        self.agents = []
        self.numbers = range(self.machines) if self.only is None else [self.only]
        for machine in self.numbers:
            with (
                open(self.out(machine), "w", encoding="utf-8") as out,
                open(self.err(machine), "w", encoding="utf-8") as err,
            ):
                command = [*launch, "-m", "monai.bundle", "run", *self.arguments]
                self.agents.append(subprocess.Popen(command, cwd=self.cwd, env=environment, stdout=out, stderr=err))

    def out(self, machine: int) -> Path:
        return self.cwd / f"machine{machine}.out"

    def err(self, machine: int) -> Path:
        return self.cwd / f"machine{machine}.err"

    def wait(self, timeout: float = 800) -> list[Finished]:
        """Until all agents have ended; none is left behind."""
        end = time.monotonic() + timeout
        try:
            for agent in self.agents:
                agent.wait(max(1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.show_where_they_are()
            raise
        finally:
            self.kill()
        texts = (
            (self.out(m).read_text(errors="replace"), self.err(m).read_text(errors="replace")) for m in self.numbers
        )
        return [Finished(agent.returncode, *text) for agent, text in zip(self.agents, texts)]

    def process(self, rank: int) -> int:
        """The id of the process of that rank."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = dict(
                    pair.split(b"=", 1) for pair in (folder / "environ").read_bytes().split(b"\0") if b"=" in pair
                )
            except OSError:  # another user's, or gone
                continue
            mine = environment.get(b"MONAI_CL_TEST_RUN") == str(self.port).encode()
            if mine and environment.get(b"RANK") == str(rank).encode():
                return int(folder.name)
        raise AssertionError(f"no process of rank {rank}")

    def when(self, happened: Callable[[], bool], timeout: float = 300) -> None:
        """Wait for something while all agents run."""
        end = time.monotonic() + timeout
        while not happened():
            assert time.monotonic() < end, "it did not happen"
            for machine, agent in zip(self.numbers, self.agents):
                assert agent.poll() is None, self.err(machine).read_text(errors="replace")[-4000:]
            time.sleep(0.05)

    def show_where_they_are(self) -> None:
        """Print the output of a run that does not end, and the stacks of its processes."""
        for rank in range(self.machines * self.processes):
            with contextlib.suppress(AssertionError, ProcessLookupError):
                os.kill(self.process(rank), signal.SIGABRT)  # faulthandler writes the stack of every thread
        time.sleep(2)
        for machine in self.numbers:
            print(f"machine {machine}:", self.out(machine).read_text(errors="replace")[-4000:])
            print(self.err(machine).read_text(errors="replace")[-12000:])

    def kill(self) -> None:
        """End whatever still runs."""
        for agent in self.agents:
            if agent.poll() is None:
                agent.kill()
                agent.wait()
        for rank in range(self.machines * self.processes):
            try:
                os.kill(self.process(rank), signal.SIGKILL)
            except (AssertionError, ProcessLookupError):
                continue
