"""Disks that are full, read-only or gone, and two runs in one folder."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from monai_cl.engines.checkpoints.checkpoint_file import (
    check_writable,
    read_checkpoint,
    remove_left_overs,
    save_atomically,
)
from monai_cl.engines.checkpoints.run_lock import RunLock
from monai_cl.errors import UserError
from tests.engines.runs import TinyRun, same

CONTENT = {"network": {"weight": torch.zeros(50_000)}, "iteration": 4, "epoch": 2, "epoch_length": 2}


@contextmanager
def files_no_larger_than(size: int):
    """The system refuses to write more into a file, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_the_system_refuses_leaves_the_file_before_it_whole(tmp_path):
    path = tmp_path / "checkpoint_iteration=4.pt"
    save_atomically(CONTENT, path)
    before = path.read_bytes()
    with (
        files_no_larger_than(100_000),
        pytest.raises(UserError, match=r"File too large.*GiB free.*iteration=4") as caught,
    ):
        save_atomically({**CONTENT, "iteration": 6}, path)
    assert "--resume auto" in str(caught.value)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_without_any_checkpoint_the_message_does_not_promise_one(tmp_path):
    with files_no_larger_than(1000), pytest.raises(UserError, match="no checkpoint has been written yet"):
        save_atomically(CONTENT, tmp_path / "checkpoint_iteration=4.pt")


def test_a_folder_that_is_gone_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone/checkpoint_iteration=4\.pt: cannot be written .*the folder is gone"):
        save_atomically(CONTENT, tmp_path / "gone" / "checkpoint_iteration=4.pt")


def test_what_cannot_be_saved_at_all_is_a_bug_and_reported_as_one(tmp_path):
    with pytest.raises(Exception, match="<lambda>") as caught:
        save_atomically({"function": lambda: 0}, tmp_path / "model.pt")
    assert not isinstance(caught.value, UserError)
    assert list(tmp_path.iterdir()) == []


ON_A_SMALL_DISK = """
import sys, torch
from pathlib import Path
from tests.engines.runs import TinyRun
from monai_cl.errors import UserError
try:
    run = TinyRun(Path(sys.argv[1]) / "run", features=int(sys.argv[2])).go(epochs=4)
    torch.save(run.weights, sys.argv[3])
except UserError as error:
    print("error:", error)
"""


@pytest.mark.slow
def test_on_a_disk_that_fills_up_the_checkpoint_before_stays_and_the_run_continues_when_there_is_room(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    # 20,000 weights, thrice with the optimiser's: two checkpoints fit, a third beside them does not
    once = f"{sys.executable} -c '{ON_A_SMALL_DISK}' {disk} 20000 {tmp_path}/weights.pt"
    script = (
        f"mount -t tmpfs -o size=600k none {disk} || exit 77\n{once}\nls -A {disk}/run\n"
        f"mount -o remount,size=9m {disk}\necho again\n{once}\nls -A {disk}/run"
    )
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", timeout=280, cwd=Path(__file__).parents[3]
        )
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no disk of its own for a test here: {done.stderr.strip()[-100:]}")
    full, again = done.stdout.split("again\n")
    lines = full.splitlines()
    assert lines[0].startswith(
        f"error: {disk}/run/checkpoint_iteration=6.pt: cannot be written (No space left on device"
    )
    assert "the last complete checkpoint is checkpoint_iteration=4.pt" in lines[0]
    assert lines[1:] == ["checkpoint_iteration=2.pt", "checkpoint_iteration=4.pt"]
    assert again.split() == ["checkpoint_iteration=6.pt", "checkpoint_iteration=8.pt", "model.pt"]
    whole = TinyRun(tmp_path / "whole", features=20000).go(epochs=4)
    assert same(torch.load(tmp_path / "weights.pt", weights_only=True), whole.weights)


def test_a_folder_in_which_nothing_can_be_written_is_named_before_the_run():
    with pytest.raises(UserError, match=r"^/proc: nothing can be written there .*--output_dir"):
        check_writable(Path("/proc"))


def test_half_written_files_of_killed_runs_are_removed_and_others_stay(tmp_path):
    left = (".tmp-checkpoint_iteration=4.pt-123-0f3a", ".tmp-model.pt-9-0f3a")
    left += (".checkpoint_iteration=4.pt.123.tmp", ".model.pt.9.tmp")  # of earlier versions
    for name in (*left, ".tmp-mine", "notes.tmp"):
        (tmp_path / name).write_bytes(b"half")
    remove_left_overs(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tmp-mine", "notes.tmp"]


def test_a_run_removes_what_a_killed_one_left_and_keeps_what_was_set_aside(tmp_path):
    TinyRun(tmp_path).go(epochs=2)
    (tmp_path / ".tmp-checkpoint_iteration=6.pt-123-0f3a").write_bytes(b"half")
    (tmp_path / "checkpoint_iteration=4.pt").write_bytes(b"")
    TinyRun(tmp_path).go(epochs=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint_iteration=4.pt.damaged",
        "checkpoint_iteration=6.pt",
        "checkpoint_iteration=8.pt",
        "model.pt",
    ]


def test_a_weight_of_another_bit_is_not_a_checkpoint(tmp_path):
    path = tmp_path / "checkpoint_iteration=4.pt"
    save_atomically({**CONTENT, "network": {"weight": torch.ones(50_000)}}, path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    assert not torch.equal(torch.load(path, weights_only=True)["network"]["weight"], torch.ones(50_000))
    with pytest.raises(
        UserError, match=r"iteration=4\.pt: damaged, or not a checkpoint of a run \(the checksum of .* is"
    ):
        read_checkpoint(path)


def holder(folder: Path) -> subprocess.Popen:
    """Another process that holds the lock of a folder."""
    code = (
        "import sys, time; from pathlib import Path; from monai_cl.engines.checkpoints.run_lock import RunLock;"
        "RunLock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_in_which_another_run_writes_is_refused_until_that_one_is_dead(tmp_path):
    other = holder(tmp_path)
    lock = RunLock(tmp_path)
    with pytest.raises(UserError, match="another run is writing there"):
        lock.acquire(patience=0.3)
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    other.stdout.close()
    lock.acquire()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_outlives_a_killed_run_does_not_hold_its_lock(tmp_path):
    lock = RunLock(tmp_path)
    lock.acquire()
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    lock.release()  # as the kernel does at the parent's death
    try:
        again = RunLock(tmp_path)
        again.acquire(patience=10.0)
        again.release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
