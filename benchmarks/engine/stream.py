"""Does a store larger than the memory a process may use stream in bounded memory?

A child process, whose heap is limited to less than the voxels of the store, draws crops from 200 volumes and reports
its resident set. Files are dropped from the page cache first, so that the disk is read, too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

VOLUMES, SHAPE, SIZE = 200, (160, 144, 128), 96


def make_store(folder: Path, *, volumes: int = VOLUMES) -> tuple[Path, int]:
    """A store of synthetic volumes; returns its folder and the bytes of its voxels. Volumes are prepared one by one."""
    import nibabel as nib

    from monai_cl.data import Preparation, VolumeStore

    store = VolumeStore.create(folder / "stream", Preparation())
    if len(store) < volumes:
        rng = np.random.default_rng(0)
        noise = rng.normal(40, 20, SHAPE).astype(np.int16)
        noise[:, :4] = -1000  # a little air: a scan without fat and air is refused as no CT
        label = np.zeros(SHAPE, np.uint8)
        for value, (x, y, z) in enumerate(rng.integers(20, 100, (6, 3)), start=1):
            label[x : x + 24, y : y + 24, z : z + 24] = value
        for number in range(volumes):
            files = {kind: folder / f"stream_{kind}.nii" for kind in ("image", "label")}
            image = np.roll(noise, number * 7919 % noise.size) + 40 * label
            for kind, array in (("image", image.astype(np.int16)), ("label", np.roll(label, number % 20, axis=0))):
                nib.save(nib.Nifti1Image(array, np.diag([1.5, 1.5, 2.0, 1.0])), files[kind])
            store.add({"id": f"{number:03d}", "dataset": "stream", **{k: str(v) for k, v in files.items()}})
    return store.root, volumes * int(np.prod(SHAPE)) * 3  # int16 and uint8


def resident_mib() -> float:
    """Resident set of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def drop_from_page_cache(folder: Path) -> None:
    """Ask the system to forget the files' pages."""
    for path in folder.rglob("*.b2nd"):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def draw(folder: Path, *, crops: int, marks: tuple[int, ...], heap_mib: int) -> dict:
    """Draw crops of image and label in this process, its heap limited to what it has now plus ``heap_mib``."""
    from monai_cl.data import VolumeStore
    from monai_cl.data.patches.crops import crop_start, read_crop, sample_centre

    store = VolumeStore.open(folder)
    keys = store.keys()
    data = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[5]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_DATA, (data + heap_mib * 2**20,) * 2)
    rng = np.random.default_rng(0)
    resident, times = {}, []
    for number in range(1, crops + 1):
        key = keys[rng.integers(len(keys))]
        begin = time.perf_counter()
        entry = store.entry(key)
        start = crop_start(sample_centre(entry, rng, foreground_probability=2 / 3), (SIZE,) * 3, entry.shape)
        read_crop(store, key, start, (SIZE,) * 3, window=(-150.0, 250.0))
        times.append((time.perf_counter() - begin) * 1e3)
        if number in marks:
            resident[str(number)] = round(resident_mib(), 1)
    return {"resident_mib": resident, "first_ms": times[: len(keys)], "later_ms": times[len(keys) :]}


def measure(folder: Path, *, volumes: int = VOLUMES, crops: int = 2000, heap_mib: int = 400) -> dict:
    """Make the store, and draw from it in a child of its own."""
    root, voxels = make_store(folder, volumes=volumes)
    drop_from_page_cache(root)
    words = [sys.executable, str(Path(__file__).resolve()), str(root)]
    words += ["--crops", str(crops), "--heap", str(heap_mib)]
    child = subprocess.run(words, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    found = json.loads(child.stdout.splitlines()[-1])
    early, late = (found["resident_mib"][str(n)] for n in (max(1, crops // 10), crops))
    return {
        "what": f"{SIZE}³ image + label from {volumes} volumes, in a process whose heap may grow by {heap_mib} MiB",
        "voxels_mib": round(voxels / 2**20),
        "store_mib": round(sum(f.stat().st_size for f in root.rglob("*") if f.is_file()) / 2**20),
        "resident_mib": found["resident_mib"],
        "growth": round(late / early - 1, 4),
        "crop_ms, page cache dropped before": round(float(np.median(found["first_ms"])), 2),
        "crop_ms, later": round(float(np.median(found["later_ms"])), 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--crops", type=int, default=2000)
    parser.add_argument("--heap", type=int, default=400)
    options = parser.parse_args()
    number = options.crops
    print(json.dumps(draw(options.folder, crops=number, marks=(max(1, number // 10), number), heap_mib=options.heap)))
