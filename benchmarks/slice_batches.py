"""How long does a batch of 64 slices from 64 patients take, out of the store and on one core?

    OMP_NUM_THREADS=1 python benchmarks/slice_batches.py --patients 192 --size 512

Synthetic volumes of 512 x 512 pixels with a body, organs and noise; the time is from the sampler's draw to the collated
batch. Patients are more than the store keeps open, so files are opened as in a large cohort.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from torch.utils.data import DataLoader

from monai_cl.data import CTSlices, PatientSampler, Preparation, collate_slices, prepare, slice_volumes


def write_volume(folder: Path, number: int, slices: int) -> dict:
    """A body of 512 x 512 pixels with noise, and a disc of a liver in the middle half of the slices."""
    rng = np.random.default_rng(number)
    x, y = np.meshgrid(*(np.linspace(-1, 1, 512),) * 2, indexing="ij")
    plane = np.where((x / 0.8) ** 2 + (y / 0.6) ** 2 < 1, 40.0, -1000.0)
    noise = rng.normal(0, 14, (512, 512, slices))
    liver = np.zeros((512, 512, slices), np.uint8)
    liver[..., slices // 4 : -(slices // 4)] = ((x - 0.3) ** 2 + y**2 < 0.06)[..., None]
    hu = np.where(plane[..., None] > -500, plane[..., None] + noise + 60 * liver, -1000)
    affine = np.diag([0.75, 0.75, 5.0, 1.0])
    item = {"id": f"{number:04d}", "patient": f"{number:04d}", "target": number % 4, "dataset": "synthetic"}
    for kind, array in (("image", hu.astype(np.int16)), ("label", liver)):
        item[kind] = str(folder / f"{kind}_{number:04d}.nii")
        nib.save(nib.Nifti1Image(array, affine), item[kind])
    return item


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=192)
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--size", type=int, nargs="+", default=[512, 256, 160])
    parser.add_argument("--neighbours", type=int, default=0)
    parser.add_argument("--batches", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        kept, keys = [], []
        for number in range(options.patients):
            item = write_volume(root, number, options.slices)
            prepared = prepare([item], root / "store", Preparation(spacing=None, layout="slices"), progress=False)
            kept, keys = [*kept, item], [*keys, *prepared.keys]
            for kind in ("image", "label"):
                Path(item[kind]).unlink()
        for when in ("the first time", "afterwards"):
            begin = time.perf_counter()
            volumes = slice_volumes(prepared.store, keys, kept, liver=1)
            print(
                f"choosing slices by mask, {when}: {(time.perf_counter() - begin) / len(keys) * 1e3:.2f} ms a patient"
            )
        for size in options.size:
            dataset = CTSlices(prepared.store, volumes, size=size, neighbours=options.neighbours)
            sampler = PatientSampler(dataset.patients, dataset.targets, batch_size=64)
            batches, times, busy = (
                iter(DataLoader(dataset, batch_size=64, sampler=sampler, collate_fn=collate_slices)),
                [],
                [],
            )
            for _ in range(options.batches):
                begin, begin_busy = time.perf_counter(), time.process_time()
                batch = next(batches)
                times.append((time.perf_counter() - begin) * 1e3)
                busy.append((time.process_time() - begin_busy) * 1e3)
            assert len(set(batch["patient"])) == 64
            print(
                f"{size} x {size}, {dataset.channels} channels: first batch {times[0]:.0f} ms, "
                f"then median {np.median(times[1:]):.1f} ms (least {min(times[1:]):.1f}, most {max(times[1:]):.1f}), "
                f"of it {np.median(busy[1:]):.1f} ms on the processor"
            )


if __name__ == "__main__":
    main()
