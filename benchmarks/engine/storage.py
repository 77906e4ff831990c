"""How long does a 96³ image + label crop take from each kind of file? Identical positions, files in the page cache."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from engine.timing import interleave, ratio, without_samples
from monai_cl.data import Preparation, VolumeStore, prepare, read_volume

SIZE = (96, 96, 96)


def nnunet_dataset() -> type | None:
    """nnU-Net's own reader and writer of .b2nd, where it is installed."""
    if not importlib.util.find_spec("nnunetv2"):
        return None
    # nnU-Net warns about folders that only its training needs
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        os.environ.setdefault(name, os.devnull)
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    return nnUNetDatasetBlosc2


def write_nnunet(folder: Path, volumes: list[tuple[str, np.ndarray, np.ndarray]]) -> Any:
    """Volumes as nnU-Net keeps them (float32, class locations beside them); its data set over them, or None."""
    kind = nnunet_dataset()
    if kind is None:
        return None
    from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params

    folder.mkdir(parents=True, exist_ok=True)
    for name, image, label in volumes:
        if (folder / f"{name}.b2nd").exists():  # its writer does not write over a file
            continue
        data, segmentation = image[None].astype(np.float32), label[None].astype(np.int16)
        blocks, chunks = comp_blosc2_params(data.shape, SIZE, data.itemsize)
        blocks_label, chunks_label = comp_blosc2_params(segmentation.shape, SIZE, segmentation.itemsize)
        rng = np.random.default_rng(0)
        locations = {}
        for value in np.unique(label):
            places = np.argwhere(segmentation == value)
            locations[int(value)] = places[rng.permutation(len(places))[:10_000]] if value else []
        kind.save_case(
            data,
            segmentation,
            {"class_locations": locations},
            str(folder / name),
            chunks=chunks,
            blocks=blocks,
            chunks_seg=chunks_label,
            blocks_seg=blocks_label,
        )
    return kind(str(folder))


def measure(items: list[dict], arrays: list[tuple[np.ndarray, np.ndarray]], folder: Path, *, rounds: int) -> dict:
    """Crops of prepared volumes from .nii.gz, .nii, nnU-Net's .b2nd, this project's store, and memory.

    Args:
        items: of .nii.gz files on the prepared grid.
        arrays: the same volumes in memory.
        folder: for the other formats.
        rounds: crops; the compressed files take part in every fifth.
    """
    store, keys = prepared_store(items, folder / "store")
    dataset = write_nnunet(folder / "b2nd", [(item["id"], *pair) for item, pair in zip(items, arrays)])
    plain = []
    for item, pair in zip(items, arrays):
        paths = [folder / f"{item['id']}_{kind}.nii" for kind in ("image", "label")]
        for path, array in zip(paths, pair):
            nib.save(nib.Nifti1Image(array, np.eye(4)), path)
        plain.append(paths)

    def box(number: int) -> tuple[int, tuple[slice, ...]]:
        rng = np.random.default_rng([7, number + 1])
        shape = arrays[number % len(arrays)][0].shape
        start = [int(rng.integers(0, full - size + 1)) for full, size in zip(shape, SIZE)]
        return number % len(arrays), tuple(slice(s, s + size) for s, size in zip(start, SIZE))

    def from_memory(number: int):
        case, where = box(number)
        return [np.ascontiguousarray(array[where]) for array in arrays[case]]

    def from_store(number: int):
        case, where = box(number)
        start = [s.start for s in where]
        return [store.read_patch(keys[case], start, SIZE, kind=kind) for kind in ("image", "label")]

    def through_nibabel(paths: Callable[[int], list]) -> Callable[[int], list]:
        def read(number: int):
            case, where = box(number)
            return [np.asarray(nib.load(path).dataobj[where]) for path in paths(case)]

        return read

    def whole_by_isal(number: int):
        case, where = box(number)
        return [np.ascontiguousarray(read_volume(items[case][k]).array[where]) for k in ("image", "label")]

    def from_b2nd(number: int):
        case, where = box(number)
        data, segmentation, _, _ = dataset.load_case(items[case]["id"])
        return [data[(slice(None), *where)][0], segmentation[(slice(None), *where)][0]]

    contestants = {
        "memory": from_memory,
        "store": from_store,
        ".nii.gz, nibabel": through_nibabel(lambda case: [items[case][k] for k in ("image", "label")]),
        ".nii.gz, isal": whole_by_isal,
        ".nii, nibabel": through_nibabel(lambda case: plain[case]),
    }
    if dataset is not None:
        contestants["nnU-Net .b2nd"] = from_b2nd
    for name, read in contestants.items():  # everybody reads the same voxels
        for number in range(3):
            for mine, theirs in zip(read(number), from_memory(number)):
                if not np.array_equal(mine, theirs):
                    raise AssertionError(f"{name} does not read what is in memory")
    times = interleave(contestants, rounds=rounds, every={".nii.gz, nibabel": 5, ".nii.gz, isal": 5})
    return {
        "what": "96 x 96 x 96 image + label, one thread, page cache warm",
        "times": without_samples(times),
        "ratios": {
            "store against .nii.gz (nibabel)": ratio(times, ".nii.gz, nibabel", "store"),
            "store against .nii.gz (isal)": ratio(times, ".nii.gz, isal", "store"),
            "store over memory": ratio(times, "store", "memory"),
            **({"nnU-Net .b2nd over store": ratio(times, "nnU-Net .b2nd", "store")} if dataset is not None else {}),
        },
        "bytes": {
            "voxels": sum(a.nbytes + b.nbytes for a, b in arrays),
            "store": sum(f.stat().st_size for f in (folder / "store").rglob("*.*") if f.is_file()),
            ".nii.gz": sum(Path(item[k]).stat().st_size for item in items for k in ("image", "label")),
            **(
                {"nnU-Net .b2nd": sum(f.stat().st_size for f in (folder / "b2nd").iterdir())}
                if dataset is not None
                else {}
            ),
        },
    }


def prepared_store(items: list[dict], folder: Path, **preparation: Any) -> tuple[VolumeStore, list[str]]:
    """The items in a store, made if it is not there."""
    done = prepare(items, folder, Preparation(**preparation), progress=False)
    return done.store, done.keys
