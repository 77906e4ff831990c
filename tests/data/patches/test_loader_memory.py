"""What a loader's processes hold does not grow: neither shared memory from epoch to epoch, nor a worker's own."""

from __future__ import annotations

import os
import time
from itertools import islice
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from monai_cl.data import MixCLPatches, PositionSampler
from tests.data.memory_store import MemoryStore, small_case

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads Linux's /proc")


def memory_kib(process: int, field: str) -> int:
    """A line of the process's status: RssAnon, RssShmem."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise AssertionError(field)


def shared_files(process: int) -> int:
    """Open files in shared memory, which torch passes tensors through (their names are gone at once)."""
    links = []
    for link in Path(f"/proc/{process}/fd").iterdir():
        try:
            links.append(os.readlink(link))
        except FileNotFoundError:  # the one that listed the folder
            continue
    return sum("/dev/shm/" in link or "/memfd:" in link for link in links)


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_neither_shared_memory_nor_a_worker_grows_over_epochs(start):
    store = MemoryStore({str(n): small_case(n) for n in range(4)})
    patches = MixCLPatches(store, {"tiny": list("0123")}, patch_size=32, voxels_per_class=8)
    loader = DataLoader(
        patches,
        batch_size=2,
        sampler=PositionSampler(batch_size=2),
        num_workers=2,
        multiprocessing_context=start,
        prefetch_factor=2,
    )
    batches = iter(loader)
    workers = [worker.pid for worker in batches._workers]
    here = os.getpid()
    seen = []
    for _ in range(5):
        for batch in islice(batches, 15):
            assert batch["image1"].is_shared()  # it does come through shared memory
        del batch
        time.sleep(0.3)  # the workers fill up what they hold ready
        seen.append(
            (
                shared_files(here),
                memory_kib(here, "RssShmem"),
                *(memory_kib(worker, "RssShmem") for worker in workers),
                *(memory_kib(worker, "RssAnon") for worker in workers),
            )
        )
    # what is on its way differs from moment to moment, by no more than prefetch allows: 4 batches of 9 tensors
    batch_kib = 2 * 2 * (4 + 1) * 32**3 // 1024
    for files, *memory in seen[1:]:
        assert files <= seen[0][0] + 4 * 16
        for now, first in zip(memory, seen[0][1:]):
            assert now <= first + 6 * batch_kib + 2048
    del batches
