"""What a process does when another one of the run dies or hangs: it ends within the time-out and says so in a line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from monai_cl.engines.launch.failures import lost_process_in

pytestmark = [
    pytest.mark.skipif(torch.cuda.is_available(), reason="about gloo"),
    pytest.mark.timeout(600),
]
ROOT = str(Path(__file__).resolve().parents[3])
# a run's beginning and one exchange, which process 1 does not live to see
SCRIPT = """
import os, pathlib, signal, sys, time
import torch
import torch.distributed as dist
from monai_cl.engines import start_process_group
sys.argv = ["monai.bundle", "run", "--config_file", sys.argv[1]]
# imports take their time on a busy machine, and the time-out is also that of joining
pathlib.Path("ready" + os.environ["RANK"]).touch()
while not (pathlib.Path("ready0").exists() and pathlib.Path("ready1").exists()):
    time.sleep(0.05)
start_process_group(timeout={timeout})
dist.barrier()
if dist.get_rank() == 1:
    os.kill(os.getpid(), signal.{signal})
dist.all_reduce(torch.ones(1))
"""


@pytest.mark.parametrize(
    "said",
    [
        "Application timeout caused pair closure",
        "[Rank 1] NCCL communicator was aborted: remote process exited or there was a network error",
        "wait timeout after 60000ms, keys: /default_pg/0: The client socket has timed out: Socket Timeout",
    ],
)
def test_what_is_said_of_a_lost_process_beside_what_the_processes_below_show_is_known(said, monkeypatch):
    for name, value in ("is_initialized", True), ("get_rank", 1), ("get_world_size", 2):
        monkeypatch.setattr(dist, name, lambda value=value: value)
    outer = ValueError("while evaluating")
    outer.__cause__ = RuntimeError(said)
    assert "lost another one, which has ended or hangs" in lost_process_in(outer)
    assert lost_process_in(RuntimeError("a shape that does not fit")) is None


@pytest.mark.parametrize(("name", "timeout"), [("SIGKILL", 60), pytest.param("SIGSTOP", 10, marks=pytest.mark.slow)])
def test_the_others_end_with_one_line(name, timeout, free_port, tmp_path):
    (tmp_path / "train.yaml").write_text("seed: 0\n")
    script = SCRIPT.format(timeout=timeout, signal=name)
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", script, str(tmp_path / "train.yaml")]
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **group, "PYTHONPATH": ROOT, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for rank in (0, 1)
    ]
    try:
        began = time.monotonic()
        error = started[0].communicate(timeout=500)[1]
        assert time.monotonic() - began < 480  # not the half-hour that is the default; busy machines import for long
        assert started[0].returncode == 1
        (line,) = [line for line in error.splitlines() if "error: " in line]
        assert line.startswith("[rank0]: error: process 0 of 2 (on ")  # torch puts the number in front
        assert " lost another one, which has ended or hangs (" in line
        assert "Traceback" not in error
    finally:
        for process in started:
            process.kill()
            process.communicate()
    assert started[1].returncode == -signal.SIGKILL  # by itself, or stopped until it was ended here
