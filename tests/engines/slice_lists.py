"""A data list of small CT volumes with a box of liver, each patient with a target."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np


def write_scan(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> str:
    """A NIfTI file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([2.0, 2.0, 5.0, 1.0]) if affine is None else affine
    nib.save(nib.Nifti1Image(array, affine), path)
    return str(path)


def volume(seed: int, *, shape: tuple[int, int, int] = (24, 24, 10), liver: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """HU noise, and a mask with ``liver`` in the slices 2 to 7."""
    rng = np.random.default_rng(seed)
    label = np.zeros(shape, np.uint8)
    label[8:16, 8:16, 2:8] = liver
    return rng.integers(-90, 300, shape).astype(np.int16), label


def write_list(folder: Path, targets: list[int | None], *, name: str = "list", **changes: dict) -> Path:
    """A list of one scan a patient; ``changes`` are ``p<number>`` -> entries of that item."""
    items = []
    for number, target in enumerate(targets):
        image, label = volume(number)
        item = {"patient": f"p{number}", "image": f"image_{number}.nii.gz", "label": f"label_{number}.nii.gz"}
        write_scan(folder / item["image"], image)
        write_scan(folder / item["label"], label)
        items.append(item | ({} if target is None else {"target": target}) | changes.get(f"p{number}", {}))
    labels = {"0": "background", "1": "liver"}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, "labels": labels, "training": items}), encoding="utf-8")
    return path
