"""One crop of an image: its scale, place, brightness and energies, drawn apart from cutting it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monai_cl.transforms.crops.energy import BandEnergies


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
        energies: that the image's bands are brought to, high frequencies first; () leaves them as they are.
    """

    rescaled: tuple[int, int]
    start: tuple[int, int]
    size: tuple[int, int]
    gamma: float = 1.0
    slope: float = 1.0
    offset: float = 0.0
    energies: tuple[float, ...] = ()


def draw_crop(
    rng: np.random.Generator,
    *,
    image_size: tuple[int, int],
    size: int | tuple[int, int],
    scale: tuple[float, float] = (0.1, 0.7),
    rescaled_side: Sequence[int] | Sequence[Sequence[int]] | None = None,
    gamma: tuple[float, float] = (1.8, 2.6),
    slope: tuple[float, float] = (0.9, 1.1),
    offset: tuple[float, float] = (-0.2, 0.2),
    probability: float = 0.5,
    energy: BandEnergies | None = None,
    energy_probability: float = 0.5,
) -> Crop:
    """Draw a crop; as many numbers are taken from ``rng`` whatever is chosen.

    Args:
        rng: source of every choice.
        image_size: (H, W) of the image.
        size: of the crop, one number for a square.
        scale: least and greatest factor on the whole image.
        rescaled_side: least and greatest shorter side of the rescaled image, in pixels, which narrows ``scale``; where
            both cannot hold the nearest allowed side is taken. Or least and greatest (H', W') of the rescaled image, in
            place of ``scale``. None: ``scale`` alone.
        gamma: range of the exponent; above 1 it darkens.
        slope: range of a.
        offset: range of b, as shares of the image's range.
        probability: of gamma, and of slope and offset together.
        energy: what energies are drawn from; None: the image's bands stay.
        energy_probability: of other energies.

    Returns:
        The crop; at a uniform place, where the image is smaller than it the image lies at a uniform place in it.

    Raises:
        ValueError: an empty range, a size below 1, or a probability outside [0, 1].

    Source: Ghesu et al., arXiv 2201.01283, section 3.2 and Table I.
    """
    height, width = pair(size)
    sides = rescaled_side or (1, 1)
    ranges = {
        "scale": scale,
        "rescaled_side": (min(pair(sides[0])), min(pair(sides[1]))),
        "gamma": gamma,
        "slope": slope,
    }
    for name, (low, high) in ranges.items():
        if not 0 < low <= high:
            raise ValueError(f"{name} must be two numbers 0 < low <= high, got {low} and {high}")
    if (
        min(height, width) < 1
        or offset[0] > offset[1]
        or not all(0 <= p <= 1 for p in (probability, energy_probability))
    ):
        raise ValueError(
            "size must be >= 1, probabilities in [0, 1] and offset low <= high, got "
            f"{size}, {probability}, {energy_probability} and {offset}"
        )
    u = rng.random(8)
    rescaled = _rescaled(image_size, u[0], scale=scale, side=rescaled_side)
    room = [side - crop for side, crop in zip(rescaled, (height, width))]
    # floor of a uniform number: every place is as likely, to the left of 0 too
    places = [int(np.floor(u[1 + k] * (abs(r) + 1))) * (1 if r >= 0 else -1) for k, r in enumerate(room)]
    exponent = gamma[0] + (gamma[1] - gamma[0]) * u[4] if u[3] < probability else 1.0
    a = slope[0] + (slope[1] - slope[0]) * u[6] if u[5] < probability else 1.0
    b = offset[0] + (offset[1] - offset[0]) * u[7] if u[5] < probability else 0.0
    energies: tuple[float, ...] = ()
    if energy is not None:
        chosen, *shares = rng.random(1 + len(energy.mean))
        energies = energy.at(shares) if chosen < energy_probability else ()
    return Crop(rescaled, (places[0], places[1]), (height, width), exponent, a, b, energies)


def _rescaled(
    image_size: tuple[int, int],
    u: float,
    *,
    scale: tuple[float, float],
    side: Sequence[int] | Sequence[Sequence[int]] | None,
) -> tuple[int, int]:
    if side is not None and not isinstance(side[0], int):
        least_size, most_size = pair(side[0]), pair(side[1])
        height, width = (round(low + (high - low) * u) for low, high in zip(least_size, most_size))
        return height, width
    low, high = scale
    if side is not None:
        least, most = (pair(length)[0] / min(image_size) for length in side)
        low, high = max(low, least), min(high, most)
        if low > high:
            low = high = least if scale[1] < least else most
    factor = low + (high - low) * u
    return max(1, round(image_size[0] * factor)), max(1, round(image_size[1] * factor))


def pair(side: int | Sequence[int]) -> tuple[int, int]:
    """One number for both axes, or two.

    Args:
        side: pixels.
    """
    return (side, side) if isinstance(side, int) else (side[0], side[1])
