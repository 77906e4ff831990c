"""Crops of prepared volumes: where they are centred, and reading them clipped to a window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_cl.data.sampling.positions import Stream, permutation
from monai_cl.transforms.label_table import IGNORED
from monai_cl.transforms.scan_scale import SCALE
from monai_cl.transforms.warp import WarpParameters, apply_warp, source_box

AIR = -1024  # HU, outside the volume
BODY = -1  # the store's key of voxels inside the body


def crop_size(patch_size: int | Sequence[int]) -> tuple[int, int, int]:
    """``patch_size`` as three integers.

    Raises:
        ValueError: if it is neither an integer nor three, or one is below 2.
    """
    size = (patch_size,) * 3 if isinstance(patch_size, (int, np.integer)) else tuple(patch_size)
    if len(size) != 3 or any(int(s) != s or s < 2 for s in size):
        raise ValueError(f"patch_size must be one or three integers >= 2, got {patch_size}")
    height, width, depth = (int(s) for s in size)
    return height, width, depth


def hu_window(window: Sequence[float]) -> tuple[float, float]:
    """``window`` as (lower, upper) HU.

    Raises:
        ValueError: if it is not two increasing numbers.
    """
    if len(window) != 2 or not window[0] < window[1]:
        raise ValueError(f"window must be (lower, upper) HU with lower < upper, got {tuple(window)}")
    return float(window[0]), float(window[1])


def sample_centre(entry: Any, rng: np.random.Generator, *, foreground_probability: float) -> tuple[int, ...]:
    """A voxel of a class, drawn at random among the foreground classes of a case, or a voxel of the body.

    Args:
        entry: the case's `StoreEntry`.
        rng: where every draw comes from.
        foreground_probability: of the former; a case without foreground always gives the latter, and one without
            body (nothing above -500 HU) any voxel.
    """
    foreground = rng.random() < foreground_probability
    kind = BODY
    if foreground and len(entry.classes):
        kind = entry.classes[rng.integers(len(entry.classes))]
    return sample_voxel_of(entry, rng, kind)


def class_in_turn(visit: int, classes: Sequence[int], *, foreground_probability: float, seed: int, case: int) -> int:
    """The class on whose voxel a case's crop is centred at its ``visit``, or `BODY`; every class comes in its turn.

    Of any n visits that follow each other, ``foreground_probability · n`` (rounded up or down) are centred on a class.
    These go through all classes of the case, each time in another order, so that a class of few voxels is as frequent
    as the others in a short run too.

    Args:
        visit: how often the case was drawn before.
        classes: the case's foreground classes; none always gives `BODY`.
        foreground_probability: share of the crops that are centred on a class, in [0, 1].
        seed: the run's seed.
        case: index of the case: each has its own orders.
    """
    turn = math.floor(visit * foreground_probability)
    if not len(classes) or math.floor((visit + 1) * foreground_probability) == turn:
        return BODY
    lap, place = divmod(turn, len(classes))
    return int(classes[permutation(seed, lap, len(classes), case, Stream.SEGMENTATION)[place]])


def sample_voxel_of(entry: Any, rng: np.random.Generator, kind: int) -> tuple[int, ...]:
    """A voxel of a class of a case, or of its body; any voxel where there is none.

    Args:
        entry: the case's `StoreEntry`.
        rng: where the draw comes from.
        kind: a class of the case, or `BODY`.
    """
    coordinates = entry.coordinates(kind)
    if len(coordinates) == 0:
        return tuple(int(rng.integers(s)) for s in entry.shape)
    return tuple(int(c) for c in coordinates[rng.integers(len(coordinates))])


def crop_start(centre: Sequence[int], size: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """First voxel of a crop whose voxel ``size // 2`` is ``centre``, shifted to lie inside the volume where it fits.

    Along an axis on which the volume is smaller than the crop, the volume lies in the crop's middle.
    """
    return tuple(min(max(c - s // 2, 0), n - s) if n >= s else (n - s) // 2 for c, s, n in zip(centre, size, shape))


def read_crop(
    store: Any, key: str, start: Sequence[int], size: Sequence[int], *, window: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Image and label of a box; beyond the volume there is air and label 0.

    Args:
        store: a `VolumeStore`.
        key: of the case.
        start, size: the box, in voxels; it may leave the volume.
        window: (lower, upper) HU, clipped and scaled to [0, 1]; of a case that is not in HU its whole scale is.

    Returns:
        image (1, H, W, D) float32 in [0, 1]; label (1, H, W, D) int16, `IGNORED` everywhere where the case has none.
    """
    lower, upper = SCALE if store.entry(key).preparation.get("intensity") else window
    image = store.read_patch(key, start, size, kind="image", fill=AIR)
    if store.entry(key).has_label:
        label = store.read_patch(key, start, size, kind="label", fill=0)
    else:
        label = np.full(image.shape, IGNORED, np.int16)
    # astype copies: the store's arrays may be read-only, which torch does not know
    scaled = torch.from_numpy(image.astype(np.float32)).clamp_(lower, upper).sub_(lower).div_(upper - lower)
    return scaled[None], torch.from_numpy(label.astype(np.int16))[None]


def read_warped_crop(
    store: Any, key: str, start: Sequence[int], warp: WarpParameters, *, window: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Image and label of a warped crop; what the warp needs beyond the crop is read from the volume.

    Args:
        store: a `VolumeStore`.
        key: of the case.
        start: first voxel of the crop before the warp, which has the size of the crop.
        warp: what is done to both.
        window: (lower, upper) HU, clipped and scaled to [0, 1].

    Returns:
        as `read_crop`.
    """
    origin, size = source_box(warp)
    image, label = read_crop(store, key, [s + o for s, o in zip(start, origin)], size, window=window)
    image, warped = apply_warp(image, label, warp, origin=origin)
    assert warped is not None  # there is one for a label
    return image.clamp_(0, 1), warped  # interpolation rounds


def label_dtype(store: Any, keys: Sequence[str]) -> torch.dtype:
    """uint8 where every class of every case fits, int64 otherwise: one type for all, so that samples collate."""
    narrow = all(0 < label <= 255 for key in keys for label in store.label_ids(key))
    return torch.uint8 if narrow else torch.int64
