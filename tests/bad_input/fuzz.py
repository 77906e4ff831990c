"""Damage files at random and read them: ``python -m tests.bad_input.fuzz FORMAT|all SEED COUNT``.

A reader may give the file's content or raise a `UserError`; of a file with checksums, only its true content. Anything
else ends the process with what happened and the number of the damage; so does a crash, for the parent to see.
"""

from __future__ import annotations

import gzip
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl.errors import UserError
from tests.bad_input.world import AFFINE
from tests.data.volume_files import ct_array, write_itk, write_nifti

MEMORY = 8 << 30  # more than that for a file of some kilobytes is a fault, too
SHAPE = (12, 10, 8)


def damage(raw: bytes, rng: np.random.Generator) -> bytes:
    """One to four of: a bit changed, a byte overwritten, a piece cut out, doubled, moved or zeroed, the end cut off."""
    data = bytearray(raw)
    for _ in range(int(rng.integers(1, 5))):
        if not data:
            break
        # the front holds headers, where most can go wrong
        reach = len(data) if rng.random() < 0.5 else min(len(data), 400)
        at, length = int(rng.integers(reach)), int(rng.integers(1, 40))
        kind = int(rng.integers(7))
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at] = int(rng.choice([0, 1, 127, 128, 255, ord("9"), ord("-"), int(rng.integers(256))]))
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = data[at : at + length]
        elif kind == 4:
            to = int(rng.integers(reach))
            data[to : to + length] = data[at : at + length]
        elif kind == 5:
            data[at : at + length] = bytes(len(data[at : at + length]))
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def _volume(path: Path) -> Any:
    from monai_cl.data.io.reading import read_volume

    return read_volume(path).array


def _nifti(folder: Path) -> tuple[Path, Callable, Callable, bool]:
    return write_nifti(folder / "a.nii.gz", ct_array(SHAPE), AFFINE), _volume, damage, True


def _nifti_inside(folder: Path) -> tuple[Path, Callable, Callable, bool]:
    """Damaged before it was compressed: the checksum is right and the header nonsense."""
    path, read, _, _ = _nifti(folder)

    def inside(raw: bytes, rng: np.random.Generator) -> bytes:
        return gzip.compress(damage(gzip.decompress(raw), rng), 1)

    return path, read, inside, False


def _nrrd(folder: Path) -> tuple[Path, Callable, Callable, bool]:
    return write_itk(folder / "a.nrrd", ct_array(SHAPE), AFFINE), _volume, damage, False


def _mha(folder: Path) -> tuple[Path, Callable, Callable, bool]:
    return write_itk(folder / "a.mha", ct_array(SHAPE), AFFINE), _volume, damage, False


def _b2nd(folder: Path) -> tuple[Path, Callable, Callable, bool]:
    from monai_cl.data.store.arrays import StoredArray, write_array

    write_array(folder / "a.b2nd", ct_array((40, 36, 32)), "volume")

    def read(path: Path) -> Any:
        return StoredArray(path, "volume")[(slice(None),) * 3]

    return folder / "a.b2nd", read, damage, False


def _entry(folder: Path) -> tuple[Path, Callable, Callable, bool]:
    from monai_cl.data import Preparation, VolumeStore
    from monai_cl.data.store.entry import load_entry

    write_nifti(folder / "a.nii.gz", ct_array(SHAPE), AFFINE)
    store = VolumeStore.create(folder / "store", Preparation())
    entry = store.root / store.add({"image": str(folder / "a.nii.gz")}) / "entry.json"
    return entry, lambda path: load_entry(path.parent).affine, damage, True


def _checkpoint(folder: Path) -> tuple[Path, Callable, Callable, bool]:
    import torch

    from monai_cl.networks.transfer import read_weights

    torch.manual_seed(0)
    torch.save({"network": torch.nn.Linear(9, 9).state_dict(), "epoch": 1}, folder / "a.pt")
    return folder / "a.pt", lambda path: np.concatenate([t.ravel() for t in read_weights(path).values()]), damage, True


def _json(folder: Path) -> tuple[Path, Callable, Callable, bool]:
    import json

    from monai_cl.data.datalist.loading import load_data_list

    labels = {"0": "background", "1": "liver"}
    items = [{"image": f"{n}.nii.gz", "label": f"{n}_seg.nii.gz", "fold": n, "patient": f"P{n}"} for n in range(3)]
    path = folder / "a.json"
    path.write_text(
        json.dumps({"name": "a", "labels": labels, "training": items, "meta": {}}).replace(', "meta": {}', "")
    )

    def read(file: Path) -> None:
        for item in load_data_list(file).items():
            assert Path(item["image"]).is_relative_to(folder), item

    return path, read, damage, False


def _features(folder: Path) -> tuple[Path, Callable, Callable, bool]:
    from monai_cl.data import read_features, write_features
    from tests.engines.probe.feature_cohorts import feature_cohort

    made = write_features(folder / "a.npz", feature_cohort(patients=4, slices=2))
    return made, lambda path: read_features(path).features, damage, False


FORMATS = {
    "nii.gz": _nifti,
    "nii.gz, damaged inside": _nifti_inside,
    "nrrd": _nrrd,
    "mha": _mha,
    "b2nd": _b2nd,
    "entry.json": _entry,
    "checkpoint": _checkpoint,
    "data list": _json,
    "features": _features,
}
if sys.version_info < (3, 11):
    del FORMATS["b2nd"]  # blosc2 4.3.3, the last for Python 3.10, divides by zero in some damaged files


def fuzz(name: str, seed: int, count: int) -> dict[str, int]:
    """Damage and read ``count`` times; how often it was noticed, and how often read."""
    found = {"noticed": 0, "read": 0}
    with tempfile.TemporaryDirectory() as folder:
        path, read, change, checked = FORMATS[name](Path(folder))
        whole, true = path.read_bytes(), read(path)
        for number in range(count):
            damaged = change(whole, np.random.default_rng([seed, number]))
            print(number, file=sys.stderr, flush=True)
            path.write_bytes(damaged)
            try:
                content = read(path)
            except UserError as error:
                if path.name not in str(error):
                    raise AssertionError(f"it names no file: {error}") from error
                found["noticed"] += 1
                continue
            found["read"] += 1
            if checked:
                np.testing.assert_array_equal(content, true, err_msg=f"damage {number} was not noticed")
    return found


def main() -> None:
    """See the module."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    chosen, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for name in FORMATS if chosen == "all" else [chosen]:
        print(name, file=sys.stderr, flush=True)
        print(name, fuzz(name, seed, count), flush=True)


if __name__ == "__main__":
    main()
