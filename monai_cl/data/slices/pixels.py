"""From stored HU to a network's input: window, then the whole field of view or a fixed pixel size on a square."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import default_collate


def window_slices(array: np.ndarray, window: tuple[float, float]) -> torch.Tensor:
    """Axial slices in HU as a network sees them: in [0, 1], turned as a radiologist looks at them.

    Args:
        array: (X, Y, N) in RAS.
        window: (lower, upper) HU, clipped and scaled to [0, 1].

    Returns:
        (N, H, W) float32, contiguous; rows from the patient's front to the back, columns from the right to the left.
    """
    low, high = window
    array = array.transpose(2, 1, 0)  # (z, y, x), the order in which the store keeps slices
    whole = float(low).is_integer() and float(high).is_integer()
    if array.dtype == np.int16 and whole and low >= -32768 and high <= 32767 and high - low <= 32767:
        # half the bytes of float32: this is most of the time a slice takes
        array = np.clip(array, int(low), int(high), order="C")
        array -= np.int16(low)
    else:
        array = np.clip(array.astype(np.float32, order="C"), low, high) - np.float32(low)
    return torch.from_numpy(array).flip(1, 2).to(torch.float32).div_(high - low)


def fit_slices(
    images: torch.Tensor, spacing: tuple[float, float], *, size: int, pixel_size: float | None = None
) -> torch.Tensor:
    """Bring slices onto a square of ``size`` pixels per side without distorting them.

    Without ``pixel_size`` the longer side of the field of view becomes ``size`` pixels, so a square matrix of that
    size is left as it is. With it, pixels get that size and the middle is cut out. What the image does not cover is
    filled with 0 (air). Linear; averaged over the wider pixel when shrinking.

    Args:
        images: (N, H, W).
        spacing: mm along H and W.
        size: pixels per side of the result.
        pixel_size: mm, or None.

    Returns:
        (N, size, size).
    """
    target = _fitted(images.shape[1:], spacing, size=size, pixel_size=pixel_size)
    if target != list(images.shape[1:]):
        images = F.interpolate(images[None], size=target, mode="bilinear", antialias=True)[0]
    return _centred(images, [size, size]).contiguous()


def fit_masks(
    masks: torch.Tensor, spacing: tuple[float, float], *, size: int, pixel_size: float | None = None
) -> torch.Tensor:
    """Label maps onto the square of :func:`fit_slices`, by nearest neighbour; 0 where they do not reach.

    Args:
        masks: (N, H, W) integers.
        spacing: mm along H and W.
        size: pixels per side of the result.
        pixel_size: mm, or None.

    Returns:
        (N, size, size), of the same type.
    """
    target = _fitted(masks.shape[1:], spacing, size=size, pixel_size=pixel_size)
    if target != list(masks.shape[1:]):
        masks = F.interpolate(masks[None].float(), size=target, mode="nearest-exact")[0].to(masks.dtype)
    return _centred(masks, [size, size]).contiguous()


def unfit_slices(
    images: torch.Tensor, shape: Sequence[int], spacing: tuple[float, float], *, pixel_size: float | None = None
) -> torch.Tensor:
    """Back from the square of :func:`fit_slices` to the slice's own pixels; 0 in what the square did not show.

    Args:
        images: (N, C, size, size) numbers, such as logits.
        shape: (H, W) of the slices.
        spacing: mm along H and W.
        pixel_size: as it was given to :func:`fit_slices`.

    Returns:
        (N, C, H, W); linear, averaged over the wider pixel when shrinking.
    """
    target = _fitted(shape, spacing, size=images.shape[-1], pixel_size=pixel_size)
    images = _centred(images, target, back=True)
    if target != list(shape):
        images = F.interpolate(images, size=list(shape), mode="bilinear", antialias=True)
    return images


def _fitted(shape: Sequence[int], spacing: tuple[float, float], *, size: int, pixel_size: float | None) -> list[int]:
    """Pixels of a slice along H and W once its pixels have the size of the result's."""
    sides = [length * step for length, step in zip(shape, spacing)]
    pixel = pixel_size if pixel_size is not None else max(sides) / size
    return [max(1, round(side / pixel)) for side in sides]


def _centred(images: torch.Tensor, shape: Sequence[int], *, back: bool = False) -> torch.Tensor:
    """The middle of (…, H, W) on another shape, cut or filled with 0; with ``back`` the way from there."""
    spare = [after - before for before, after in zip(images.shape[-2:], shape)]
    if not any(spare):
        return images
    # negative padding cuts
    first = [-(-length // 2) if back else length // 2 for length in spare]
    return F.pad(images, (first[1], spare[1] - first[1], first[0], spare[0] - first[0]))


class SliceSamples(list):
    """Samples of `CTSlices` whose images are contiguous in memory.

    Args:
        images: (N, 2k + 1, H, W); the i-th row is the image of the i-th sample.
    """

    def __init__(self, images: torch.Tensor) -> None:
        super().__init__()
        self.images = images


def collate_slices(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What ``default_collate`` makes of slices, without copying images that are contiguous already.

    Args:
        samples: as `CTSlices` gives them to a `DataLoader`; other lists of its samples are collated as usual.

    Returns:
        image (N, 2k + 1, H, W), depth (N,), label (N,), index (N,), and the other keys as ``default_collate`` has them.
    """
    if not isinstance(samples, SliceSamples):
        return default_collate(list(samples))
    rest = [{key: value for key, value in sample.items() if key != "image"} for sample in samples]
    return {"image": samples.images} | default_collate(rest)
