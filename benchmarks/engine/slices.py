"""How many slices a second for WSP: out of the store, against reading .nii.gz; 512 x 512 pixels, one core."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from engine.cohort import write_nifti
from engine.timing import interleave, ratio, without_samples
from monai_cl.data import CTSlices, PatientSampler, Preparation, collate_slices, prepare, read_volume, slice_volumes

WINDOW = (-100.0, 400.0)
BATCH = 64


def body(number: int, slices: int) -> tuple[np.ndarray, np.ndarray]:
    """A body of 512 x 512 pixels with noise, and a disc of a liver in the middle half of the slices."""
    rng = np.random.default_rng(number)
    x, y = np.meshgrid(*(np.linspace(-1, 1, 512),) * 2, indexing="ij")
    inside = (x / 0.8) ** 2 + (y / 0.6) ** 2 < 1
    noise = np.rint(rng.normal(0, 14, 2**20)).astype(np.int16)
    liver = np.zeros((512, 512, slices), np.uint8)
    liver[..., slices // 4 : -(slices // 4)] = ((x - 0.3) ** 2 + y**2 < 0.06)[..., None]
    image = np.resize(noise, liver.shape) + np.where(inside, 40, -1000).astype(np.int16)[..., None]
    return image + np.int16(60) * liver, liver


def measure(folder: Path, *, patients: int, slices: int, rounds: int) -> dict:
    """Single slices by identical positions, and batches of 64 from 64 patients.

    Args:
        folder: for the files.
        patients: volumes; as many .nii.gz files are read in turn.
        slices: of a volume.
        rounds: slices; .nii.gz takes part in every tenth.
    """
    items = [
        write_nifti(folder, f"p{n:03d}", *body(n, slices), spacing=(0.75, 0.75, 2.5), target=n % 4)
        for n in range(patients)
    ]
    done = prepare(items, folder / "slices", Preparation(spacing=None, layout="slices"), progress=False)
    data = CTSlices(done.store, slice_volumes(done.store, done.keys, items, liver=1), window=WINDOW)

    def place(number: int) -> tuple[int, int]:
        index = int(np.random.default_rng([3, number + 1]).integers(len(data)))
        return index, data.locate(index)[0]

    def scaled(plane: np.ndarray) -> np.ndarray:
        low, high = WINDOW
        return (np.clip(plane.astype(np.float32), low, high) - low) / (high - low)

    def middle(number: int) -> int:
        index, volume = place(number)
        return int(data.volumes[volume].slices[data.locate(index)[1]])

    def by_nibabel(number: int) -> np.ndarray:
        path = items[place(number)[1]]["image"]
        return scaled(np.asarray(nib.load(path).dataobj[..., middle(number)]))

    def whole_by_nibabel(number: int) -> np.ndarray:
        whole = np.asarray(nib.load(items[place(number)[1]]["image"]).dataobj)
        return scaled(whole[..., middle(number)])

    def by_isal(number: int) -> np.ndarray:
        return scaled(read_volume(items[place(number)[1]]["image"]).array[..., middle(number)])

    contestants = {
        "store": lambda number: data[place(number)[0]]["image"],
        ".nii.gz, nibabel, up to the slice": by_nibabel,
        ".nii.gz, nibabel, whole": whole_by_nibabel,
        ".nii.gz, isal, whole": by_isal,
    }
    for number in range(2):
        mine, theirs = contestants["store"](number)[0].numpy(), by_nibabel(number).T[::-1, ::-1]
        if not np.allclose(mine, theirs, atol=1e-6):
            raise AssertionError("the slices differ")
    times = interleave(contestants, rounds=rounds, every=dict.fromkeys([n for n in contestants if n != "store"], 10))
    sampler = PatientSampler(data.patients, data.targets, batch_size=BATCH)
    batches = interleave(
        {f"batch of {BATCH}": lambda number: collate_slices(data.__getitems__(sampler.batch(number + 1)))}, rounds=8
    )
    return {
        "what": f"512 x 512, {patients} volumes of {slices} slices; a batch is {BATCH} of them, windowed and collated",
        "times": without_samples(times) | without_samples(batches),
        "slices a second of one core, batches": round(
            BATCH / batches[f"batch of {BATCH}"]["processor_ms"]["median"] * 1e3
        ),
        "ratios": {
            **{f"store against {n}": ratio(times, n, "store") for n in contestants if n != "store"},
            # nobody needs to read 64 files to know what they take
            "batch against 64 files, .nii.gz, nibabel, whole": {
                kind: round(
                    BATCH
                    * times[".nii.gz, nibabel, whole"][f"{kind}_ms"]["median"]
                    / batches[f"batch of {BATCH}"][f"{kind}_ms"]["median"],
                    1,
                )
                for kind in ("wall", "processor")
            },
        },
    }
