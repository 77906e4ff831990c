"""Locks between processes: held by one, freed when it dies."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from monai_cl.locks import Busy, Lock


def holder(path: Path) -> subprocess.Popen:
    """Another process that holds the lock."""
    code = (
        "import sys, time; from pathlib import Path; from monai_cl.locks import Lock;"
        "assert Lock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdout.readline() == "held\n"
    return process


def kill(process: subprocess.Popen) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("name", ["", "lock"], ids=["folder", "file"])
def test_a_lock_is_held_by_one_process_until_it_is_killed(tmp_path, name):
    other, lock = holder(tmp_path / name), Lock(tmp_path / name)
    try:
        with pytest.raises(Busy):
            lock.acquire()
    finally:
        kill(other)
    assert lock.acquire()
    lock.release()
    assert [path.name for path in tmp_path.iterdir()] == ([name] if name else [])


def test_one_who_waits_gets_the_lock_when_it_is_given_back(tmp_path):
    first, second = Lock(tmp_path), Lock(tmp_path)
    assert first.acquire()
    with pytest.raises(Busy):
        second.acquire(patience=0.1)
    timer = threading.Timer(0.2, first.release)
    timer.start()
    assert second.acquire(patience=math.inf)
    timer.join()
    second.release()


def test_a_lock_is_taken_and_given_back_as_often_as_one_likes(tmp_path):
    lock = Lock(tmp_path / "lock")
    lock.release()
    for _ in range(3):
        assert lock.acquire()
        assert lock.acquire(), "it is held already"
        lock.release()
        lock.release()
    again = Lock(tmp_path / "lock")
    assert again.acquire()
    again.release()


def test_a_forked_child_neither_holds_the_lock_nor_closes_files_of_its_own_for_it(tmp_path):
    lock = Lock(tmp_path)
    assert lock.acquire()
    held = lock._handle
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.fstat(held)
        except OSError:  # closed on forking
            os.dup2(os.open(tmp_path, os.O_RDONLY), held)  # a file of the child's own gets that number
            lock.release()
            os.fstat(held)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(Busy):
        Lock(tmp_path).acquire()
    lock.release()


def test_what_cannot_be_locked_is_accepted(tmp_path):
    lock = Lock(tmp_path / "nowhere" / "lock")
    assert not lock.acquire()
    lock.release()


def test_whether_another_one_holds_it_is_found_out_without_keeping_or_losing_it(tmp_path):
    own, other = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert not own.is_busy()
    assert other.acquire()
    assert own.is_busy()
    assert not other.is_busy()  # its own
    assert own.is_busy()  # and it still has it
    other.release()
    assert not own.is_busy()
