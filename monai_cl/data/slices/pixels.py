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
    sides = [length * step for length, step in zip(images.shape[1:], spacing)]
    pixel = pixel_size if pixel_size is not None else max(sides) / size
    target = [max(1, round(side / pixel)) for side in sides]
    if target != list(images.shape[1:]):
        images = F.interpolate(images[None], size=target, mode="bilinear", antialias=True)[0]
    spare = [size - length for length in target]
    if any(spare):
        # negative padding cuts
        images = F.pad(images, (spare[1] // 2, spare[1] - spare[1] // 2, spare[0] // 2, spare[0] - spare[0] // 2))
    return images.contiguous()


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
        return default_collate(samples)
    rest = [{key: value for key, value in sample.items() if key != "image"} for sample in samples]
    return {"image": samples.images} | default_collate(rest)
