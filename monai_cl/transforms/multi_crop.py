"""Crops of two sizes of one slice, each at a scale, brightness and place of its own: the views of online clustering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from monai_cl.addressing import Stream, address_rng


@dataclass(frozen=True)
class Crop:
    """One crop of an image of (H, W) pixels.

    Attributes:
        rescaled: (H', W') of the whole image before the crop is cut.
        start: first row and column of the crop in the rescaled image; negative where the image is smaller.
        size: (h, w) of the crop.
        gamma: exponent; 1 leaves the crop as it is.
        slope: a of ``a·I + b``.
        offset: b, as a share of the whole image's range.
    """

    rescaled: tuple[int, int]
    start: tuple[int, int]
    size: tuple[int, int]
    gamma: float = 1.0
    slope: float = 1.0
    offset: float = 0.0


def draw_crop(
    rng: np.random.Generator,
    *,
    image_size: tuple[int, int],
    size: int | tuple[int, int],
    scale: tuple[float, float] = (0.1, 0.7),
    rescaled_side: tuple[int, int] | None = None,
    gamma: tuple[float, float] = (1.8, 2.6),
    slope: tuple[float, float] = (0.9, 1.1),
    offset: tuple[float, float] = (-0.2, 0.2),
    probability: float = 0.5,
) -> Crop:
    """Draw a crop; as many numbers are taken from ``rng`` whatever is chosen.

    Args:
        rng: source of every choice.
        image_size: (H, W) of the image.
        size: of the crop, one number for a square.
        scale: least and greatest factor on the whole image.
        rescaled_side: least and greatest shorter side of the rescaled image, in pixels, which narrows ``scale``; where
            both cannot hold the nearest allowed side is taken. None: ``scale`` alone.
        gamma: range of the exponent; above 1 it darkens.
        slope: range of a.
        offset: range of b, as shares of the image's range.
        probability: of gamma, and of slope and offset together.

    Returns:
        The crop; at a uniform place, where the image is smaller than it the image lies at a uniform place in it.

    Raises:
        ValueError: an empty range, a size below 1, or a probability outside [0, 1].

    Source: Ghesu et al., arXiv 2201.01283, section 3.2 and Table I.
    """
    height, width = (size, size) if isinstance(size, int) else size
    ranges = {"scale": scale, "rescaled_side": rescaled_side or (1, 1), "gamma": gamma, "slope": slope}
    for name, (low, high) in ranges.items():
        if not 0 < low <= high:
            raise ValueError(f"{name} must be two numbers 0 < low <= high, got {low} and {high}")
    if min(height, width) < 1 or not 0 <= probability <= 1 or offset[0] > offset[1]:
        raise ValueError(
            f"size must be >= 1, probability in [0, 1] and offset low <= high, got {size}, {probability} and {offset}"
        )
    u = rng.random(8)
    low, high = scale
    if rescaled_side is not None:
        least, most = (side / min(image_size) for side in rescaled_side)
        low, high = max(low, least), min(high, most)
        if low > high:
            low = high = least if scale[1] < least else most
    factor = low + (high - low) * u[0]
    rescaled = max(1, round(image_size[0] * factor)), max(1, round(image_size[1] * factor))
    room = [side - crop for side, crop in zip(rescaled, (height, width))]
    # floor of a uniform number: every place is as likely, to the left of 0 too
    places = [int(np.floor(u[1 + k] * (abs(r) + 1))) * (1 if r >= 0 else -1) for k, r in enumerate(room)]
    exponent = gamma[0] + (gamma[1] - gamma[0]) * u[4] if u[3] < probability else 1.0
    a = slope[0] + (slope[1] - slope[0]) * u[6] if u[5] < probability else 1.0
    b = offset[0] + (offset[1] - offset[0]) * u[7] if u[5] < probability else 0.0
    return Crop(rescaled, (places[0], places[1]), (height, width), exponent, a, b)


@torch.no_grad()
def apply_crop(image: Tensor, crop: Crop, *, air: float = 0.0) -> Tensor:
    """Cut a crop: rescale the whole image with antialiasing, cut, gamma, ``a·I + b``, clip to [0, 1].

    Gamma and the linear map act on single pixels: behind the cut they are the same and cost less.

    Args:
        image: (C, H, W) floating point, in [0, 1].
        crop: see `draw_crop`.
        air: value beyond the image.

    Returns:
        (C, h, w).
    """
    rescaled = image
    if crop.rescaled != tuple(image.shape[-2:]):
        rescaled = nn.functional.interpolate(
            image[None], crop.rescaled, mode="bilinear", align_corners=False, antialias=True
        )[0]
    result = image.new_full((image.shape[0], *crop.size), air)
    source, target = zip(*(_overlap(*axis) for axis in zip(crop.start, crop.size, crop.rescaled)))
    result[(slice(None), *target)] = rescaled[(slice(None), *source)]
    if crop.gamma != 1:
        result = result.clamp(0, 1) ** crop.gamma
    if (crop.slope, crop.offset) != (1, 0):
        low, high = image.aminmax()
        result = crop.slope * result + crop.offset * (high - low)
    return result.clamp(0, 1)


def _overlap(start: int, size: int, length: int) -> tuple[slice, slice]:
    """Where a crop lies in an image of ``length``, and where that part lies in the crop."""
    first, last = max(start, 0), min(start + size, length)
    return slice(first, last), slice(first - start, last - start)


class MultiCrop(nn.Module):
    """Crops of every slice of a batch: in training large and small ones, at inference the slice itself.

    Args:
        seed: the run's seed.
        count: number of large and of small crops.
        size: of the large and of the small crops, pixels.
        air: value beyond the slice's border: 0 for slices windowed to [0, 1].
        **options: of `draw_crop`.

    Raises:
        ValueError: fewer than two crops in all, no large one, or an option out of its range.
    """

    def __init__(
        self,
        *,
        seed: int,
        count: Sequence[int] = (2, 6),
        size: Sequence[int | tuple[int, int]] = (224, 92),
        air: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__()
        if len(count) != 2 or len(size) != 2 or count[0] < 1 or count[1] < 0 or sum(count) < 2:
            raise ValueError(f"count must be two numbers, 1 or more large crops and 2 in all, got {list(count)}")
        self.seed, self.count, self.air, self.options = int(seed), tuple(count), air, dict(options)
        self.size = [(side, side) if isinstance(side, int) else (side[0], side[1]) for side in size]
        for side in self.size:  # errors now, not at the first batch
            draw_crop(np.random.default_rng(0), image_size=(64, 64), size=side, **self.options)

    def forward(self, images: Tensor, positions: Sequence[int] | Tensor | None = None) -> Tensor | list[Tensor]:
        """Crops of slices.

        Args:
            images: (N, C, H, W) floating point, in [0, 1].
            positions: (N,) the samples' global positions; not needed at inference.

        Returns:
            The large crops (N, L, C, H', W') and, where there are some, the small ones (N, S, C, h, w); at inference
            (N, 1, C, H, W), the slices unchanged. What is drawn depends on (seed, position, crop) alone.
        """
        if not self.training:
            return images[:, None]
        if positions is None or len(positions) != len(images):
            number = "none" if positions is None else len(positions)
            raise ValueError(f"positions must be given, one for each of {len(images)} slices, got {number}")
        sizes, first = [], 0
        for count, size in zip(self.count, self.size):
            rows = [
                torch.stack([self._cut(image, int(p), first + v, size) for v in range(count)])
                for image, p in zip(images, positions)
                if count
            ]
            first += count
            if rows:
                sizes.append(torch.stack(rows))
        return sizes

    def _cut(self, image: Tensor, position: int, number: int, size: tuple[int, int]) -> Tensor:
        rng = address_rng(self.seed, Stream.VIEWS, position, number)
        height, width = image.shape[-2:]
        crop = draw_crop(rng, image_size=(height, width), size=size, **self.options)
        return apply_crop(image, crop, air=self.air)
