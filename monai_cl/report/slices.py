"""Slices of a volume as pictures: which one, turned which way."""

from __future__ import annotations

from typing import Any

import numpy as np

PLANE_AXIS = {"axial": 2, "coronal": 1}


def busiest_slice(segmentation: np.ndarray | None, *, axis: int, size: int) -> int:
    """Index of the slice along ``axis`` with the most foreground, each organ measured by its own largest slice.

    So a gallbladder counts as much as a liver, and with one organ it is the slice where that is largest. The middle
    slice of ``size`` without a foreground.
    """
    if segmentation is None or not segmentation.any():
        return size // 2
    others = tuple(number for number in range(3) if number != axis)
    score = np.zeros(segmentation.shape[axis])
    for label in np.unique(segmentation):
        if label != 0:
            area = (segmentation == label).sum(axis=others)
            score += area / area.max()
    return int(score.argmax())


def radiological_slice(volume: np.ndarray, plane: str, index: int) -> np.ndarray:
    """A slice of an (X, Y, Z) RAS+ volume as an image: patient right in column 0, anterior or head in row 0."""
    flat = volume[:, :, index] if plane == "axial" else volume[:, index, :]
    return flat[::-1, ::-1].T


def as_volume(volume: Any) -> np.ndarray:
    """A tensor or array (X, Y, Z) or (1, X, Y, Z) as an array (X, Y, Z)."""
    if hasattr(volume, "detach"):  # a torch tensor, on any device, with or without gradient, of any float type
        volume = volume.detach().cpu()
        volume = volume.float() if volume.is_floating_point() else volume
    volume = np.asarray(volume)
    return volume[0] if volume.ndim == 4 and volume.shape[0] == 1 else volume


def same_shape(image: Any, *segmentations: Any | None) -> list[np.ndarray | None]:
    """Image and segmentations as arrays (X, Y, Z) of one shape; ``ValueError`` where they differ."""
    image = as_volume(image)
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"image must be (X, Y, Z) and not empty, got shape {image.shape}")
    arrays = [None if volume is None else as_volume(volume) for volume in segmentations]
    for volume in arrays:
        if volume is not None and volume.shape != image.shape:
            raise ValueError(f"all volumes must have shape {image.shape}, got {volume.shape}")
    return [image, *arrays]


def as_labels(name: str, volume: np.ndarray | None) -> np.ndarray | None:
    """Labels in an integer type; ``ValueError`` where a value is not an integer."""
    if volume is None or volume.dtype.kind in "iub":
        return volume
    whole = volume.astype(np.int64) if np.isfinite(volume).all() else None
    if whole is None or not (whole == volume).all():
        raise ValueError(f"{name} must hold integer labels, got other values of type {volume.dtype}")
    return whole
