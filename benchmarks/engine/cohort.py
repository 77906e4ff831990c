"""Synthetic CT for the benchmarks: phantoms on the grid of a prepared volume, with 13 structures as in BTCV."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from monai_cl.data import phantom_case

SPACING = (1.5, 1.5, 2.0)  # mm
CLASSES = 13


def prepared_volume(index: int, *, shape: tuple[int, int, int] = (256, 256, 160)) -> tuple[np.ndarray, np.ndarray]:
    """Image (int16 HU) and label (uint8, 0 to 13) at `SPACING`: a phantom in the middle of a field of view of air.

    The phantom has seven organs; the part of an organ beyond its own middle along x gets an id of its own, and the
    largest one is divided once more along z.
    """
    case = phantom_case(0, index, spacing=3.0)
    factors = case.spacing / SPACING
    image = zoom(case.image.astype(np.float32), factors, order=1)
    label = zoom(case.label, factors, order=0)
    rng = np.random.default_rng([1, index])
    whole = np.full(shape, -1000, np.float32)
    organs = np.zeros(shape, np.uint8)
    inner, outer = [], []
    for want, have in zip(shape, image.shape):
        length = min(want, have)
        inner.append(slice((have - length) // 2, (have - length) // 2 + length))
        outer.append(slice((want - length) // 2, (want - length) // 2 + length))
    whole[tuple(outer)], organs[tuple(outer)] = image[tuple(inner)], label[tuple(inner)]
    noise = gaussian_filter(rng.standard_normal(shape, np.float32), 0.8)
    whole += noise * (12 / noise.std())
    return np.clip(np.rint(whole), -1024, 3071).astype(np.int16), _divide(organs)


def _divide(organs: np.ndarray) -> np.ndarray:
    present = [int(value) for value in np.unique(organs) if value]
    result, following = np.zeros_like(organs), 1
    for value in present:
        places = np.argwhere(organs == value)
        half = places[:, 0] > np.median(places[:, 0])
        for part in (places[~half], places[half]):
            result[tuple(part.T)] = min(following, CLASSES)
            following += 1
    return result


def write_nifti(folder: Path, name: str, image: np.ndarray, label: np.ndarray, spacing=SPACING, **more) -> dict:
    """Write a pair of .nii.gz files and return its data-list item."""
    affine = np.diag([*spacing, 1.0])
    item = {"id": name, "patient": name, "dataset": "synthetic", **more}
    for kind, array in (("image", image), ("label", label)):
        item[kind] = str(folder / f"{name}_{kind}.nii.gz")
        nib.save(nib.Nifti1Image(array, affine), item[kind])
    return item
