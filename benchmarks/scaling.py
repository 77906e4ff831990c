"""What grows with the data: the index in memory, the folder of a store, and how often a node-local cache is hit.

    python benchmarks/scaling.py --volumes 20000 --entries 2000 --output benchmarks/results/scaling.json

The index is the real one (`CTSlices` and `PatientSampler`) over volumes that are only named. The folder is a real store
whose entries are hard links of one. The cache is simulated: least recently used out, epochs in random order, the two
ways in which nodes share the data. `docs/scaling.md` says what follows from the numbers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from engine.cohort import write_nifti
from provenance import provenance, write_record

from monai_cl.data import CTSlices, PatientSampler, Preparation, SliceVolume, VolumeStore


def resident_mib() -> float:
    """Resident set of this process, MiB."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure_index(*, volumes: int, slices: int, batches: int = 20) -> dict:
    """Memory and start of the index over ``volumes`` volumes of ``slices`` slices, and a batch's draw."""
    before, begin = resident_mib(), time.process_time()
    places, depths = np.arange(slices), (np.arange(slices) + 0.5) / slices
    named = [
        SliceVolume(
            f"ct.{n:08d}.0123456789abcdef.01234567", f"{n:08d}", f"{n:08d}", n % 4, places.copy(), depths.copy()
        )
        for n in range(volumes)
    ]
    unread = SimpleNamespace(entry=lambda key: None)  # a store whose entries are not looked at
    data = CTSlices(unread, named)
    listed = time.process_time(), resident_mib()
    sampler = PatientSampler(data.patients, data.targets, batch_size=64)
    ready = time.process_time(), resident_mib()
    times = []
    for number in range(batches):
        start = time.process_time()
        sampler.batch(number)
        times.append((time.process_time() - start) * 1e3)
    total = volumes * slices
    return {
        "volumes": volumes,
        "slices": total,
        "list: bytes a slice": round((listed[1] - before) * 2**20 / total, 1),
        "list: processor microseconds a slice": round((listed[0] - begin) * 1e6 / total, 3),
        "sampler: bytes a slice": round((ready[1] - listed[1]) * 2**20 / total, 1),
        "sampler: processor microseconds a slice": round((ready[0] - listed[0]) * 1e6 / total, 3),
        "batch of 64: processor ms": round(float(np.median(times)), 2),
    }


def measure_folder(folder: Path, *, entries: int, reads: int = 300) -> dict:
    """Time to list a store of so many entries, and to open and read one slice of one that is not open."""
    shape = (512, 512, 8)
    rng = np.random.default_rng(0)
    item = write_nifti(folder, "one", rng.integers(-100, 200, shape).astype(np.int16), np.ones(shape, np.uint8))
    store = VolumeStore.create(folder / "store", Preparation(spacing=None, layout="slices"))
    key = store.add(item)
    head, _, tail = key.partition("one")
    for number in range(entries - 1):
        copy = store.root / f"{head}{number:07d}{tail}"
        copy.mkdir()
        for file in (store.root / key).iterdir():
            os.link(file, copy / file.name)
    begin = time.process_time()
    keys = store.keys()
    listing = time.process_time() - begin
    times = []
    for number in rng.permutation(len(keys))[:reads]:
        begin = time.process_time()
        store.entry(keys[number])
        store.read(keys[number], (slice(None), slice(None), slice(3, 4)))
        times.append((time.process_time() - begin) * 1e3)
    begin = time.process_time()
    for _ in range(reads):
        store.find(item)
    found = (time.process_time() - begin) / reads * 1e3
    return {
        "entries": len(keys),
        "files": len(keys) * 4,
        "listing: processor microseconds an entry": round(listing * 1e6 / len(keys), 1),
        "first slice of a volume not open: processor ms": round(float(np.median(times)), 3),
        "is an item prepared: processor ms": round(found, 3),
    }


def hit_rate(*, objects: int, capacity: int, nodes: int, partitioned: bool, epochs: int = 3, seed: int = 0) -> float:
    """Share of reads that a node's cache serves after the first epoch.

    Args:
        objects: volumes or shards, each read once an epoch by one of the nodes.
        capacity: how many a node's cache holds.
        nodes: they share an epoch's reads.
        partitioned: a node reads the same part of the data in every epoch; otherwise any part.
    """
    rng = np.random.default_rng(seed)
    cache: OrderedDict[int, None] = OrderedDict()
    hits = reads = 0
    own = np.arange(objects)[::nodes]
    for epoch in range(epochs):
        order = rng.permutation(own) if partitioned else rng.permutation(objects)[::nodes]
        for item in order.tolist():
            there = item in cache
            if epoch:
                hits, reads = hits + there, reads + 1
            cache[item] = None
            cache.move_to_end(item)
            if len(cache) > capacity:
                cache.popitem(last=False)
    return round(hits / reads, 3)


def measure_cache() -> list[dict]:
    """Hit rates over cache sizes: the part of the whole data that one node holds."""
    objects, nodes = 16_000, 8
    return [
        {
            "nodes": nodes,
            "a node's cache holds, part of the data": part,
            **{
                f"hits, {'own part' if partitioned else 'any part'}": hit_rate(
                    objects=objects, capacity=int(part * objects), nodes=nodes, partitioned=partitioned
                )
                for partitioned in (False, True)
            },
        }
        for part in (0.05, 0.1, 0.125, 0.25, 0.5, 1.0)
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, default=20_000)
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--entries", type=int, default=2000)
    parser.add_argument("--output", type=Path, help="JSON file; printed in any case")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        record = {
            "index": measure_index(volumes=options.volumes, slices=options.slices),
            "folder": measure_folder(folder, entries=options.entries),
            "cache": measure_cache(),
            **provenance(),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    write_record(record, options.output)


if __name__ == "__main__":
    main()
