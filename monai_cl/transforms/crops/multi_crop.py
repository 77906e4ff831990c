"""Crops of two sizes of one slice, each at a scale, brightness and place of its own: the views of online clustering.

Energy bands, rescaling, cut, gamma, ``a·I + b``, clip to [0, 1], in this order; the crops of an image are cut together,
as products of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from monai_cl.addressing import Stream, address_rng
from monai_cl.transforms.crops.crop import Crop, draw_crop, pair
from monai_cl.transforms.crops.energy import (
    EnergyReference,
    Spectrum,
    band_factors,
    scaled_images,
    spectrum,
)
from monai_cl.transforms.crops.resampling import axis_spans, resampling_matrices


@torch.no_grad()
def apply_crops(
    image: Tensor,
    crops: Sequence[Crop],
    *,
    air: float = 0.0,
    sigmas: Sequence[float] = (),
    found: Spectrum | None = None,
    dense: bool | None = None,
) -> Tensor:
    """Cut the crops of an image: energies, rescaling with antialiasing, cut, gamma, ``a·I + b``, clip to [0, 1].

    Gamma and the linear map act on single pixels: behind the cut they are the same and cost less.

    Args:
        image: (C, H, W) floating point, in [0, 1]; a volume as its slices: all of it is cut in-plane alike.
        crops: see `draw_crop`; of one size.
        air: value beyond the image.
        sigmas: of the bands, where a crop has ``energies``.
        found: the image's `spectrum`; None: it is worked out where a crop needs it.
        dense: multiply whole matrices, one kernel for all crops; None: except on a CPU, where empty parts are left out.

    Returns:
        (V, C, h, w).
    """
    height, width = crops[0].size
    dense = image.device.type != "cpu" if dense is None else dense
    spans = None if dense else [_spans(crop, image) for crop in crops]
    rows, columns = (
        resampling_matrices(
            [crop.rescaled[axis] for crop in crops],
            [crop.start[axis] for crop in crops],
            length=image.shape[1 + axis],
            size=(height, width)[axis],
            like=image,
            windows=None if spans is None else [own[axis][1] for own in spans],
        )
        for axis in range(2)
    )
    varied = [number for number, crop in enumerate(crops) if crop.energies]
    if varied:
        found = spectrum(image, sigmas) if found is None else found
        wanted = torch.tensor([crops[number].energies for number in varied], dtype=torch.float64)
        change = partial(scaled_images, found, sigmas=sigmas)
        factors = band_factors(found.energies, wanted.to(found.energies))
    if spans is None:
        images = image.expand(len(crops), *image.shape)
        if varied:
            images = images.clone()
            images[varied] = change(factors)
        cut = rows[:, None] @ images @ columns.mT[:, None]
    else:
        cut = image.new_zeros(len(crops), len(image), height, width)
        for number, ((top, above), (side, beside)) in enumerate(spans):
            part = image[:, above, beside]
            if number in varied:
                own = varied.index(number)
                (part,) = change(factors[own : own + 1], rows=above, columns=beside)
            left, right = rows[number, top, : part.shape[1]], columns[number, side, : part.shape[2]]
            cut[number, :, top, side] = _product(left, part, right)
    if air:
        cut = cut + air * (1 - rows.sum(dim=2)[:, None, :, None] * columns.sum(dim=2)[:, None, None])
    if bent := [number for number, crop in enumerate(crops) if crop.gamma != 1]:
        exponents = _each([crops[number].gamma for number in bent], cut)
        cut[bent] = (cut[bent].clamp(0, 1).log() * exponents).exp()  # a quarter of the time of a power
    low, high = image.aminmax()
    cut = _each([crop.slope for crop in crops], cut) * cut + _each([crop.offset for crop in crops], cut) * (high - low)
    return cut.clamp(0, 1)


Spans = Sequence[tuple[slice, slice]]


def _spans(crop: Crop, image: Tensor) -> Spans:
    return [
        axis_spans(rescaled, start, length=length, size=size)
        for rescaled, start, length, size in zip(crop.rescaled, crop.start, image.shape[1:], crop.size)
    ]


def _product(left: Tensor, image: Tensor, right: Tensor) -> Tensor:
    """``left · image · rightᵀ`` of C slices as two products of matrices, (C, h, w)."""
    above = left @ image.transpose(0, 1).flatten(1)
    return (above.reshape(-1, image.shape[2]) @ right.T).unflatten(0, (len(left), -1)).transpose(0, 1)


def _each(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).to(like)[:, None, None, None]


class MultiCrop(nn.Module):
    """Crops of every slice of a batch: in training large and small ones, at inference the slice itself.

    Args:
        seed: the run's seed.
        count: number of large and of small crops.
        size: of the large and of the small crops, pixels.
        air: value beyond the slice's border: 0 for slices windowed to [0, 1].
        energy: energies of the bands that crops are brought to; None: the bands stay.
        modalities: names of the modalities; the sample at position p is of modality p mod M.
        flip: probability that left and right of a crop are exchanged.
        whole: give the whole slice too, rescaled to the size of the large crops, as a further entry (N, 1, C, H', W').
        **options: of `draw_crop`.

    Raises:
        ValueError: fewer than two crops in all, no large one, an option out of its range, a reference without one of
            the modalities, or of volumes; from a call: slices of another size than the reference's.
    """

    least_crops = 2  # of a sample: one is predicted from the other
    axes = 2  # of what energies are measured over

    def __init__(
        self,
        *,
        seed: int,
        count: Sequence[int] = (2, 6),
        size: Sequence[int | tuple[int, int]] = (224, 92),
        air: float = 0.0,
        energy: EnergyReference | None = None,
        modalities: Sequence[str] = ("CT",),
        flip: float = 0.0,
        whole: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        least = self.least_crops
        if len(count) != 2 or len(size) != 2 or count[0] < 1 or count[1] < 0 or sum(count) < least:
            raise ValueError(f"count must be two numbers, 1 or more large crops and {least} in all, got {list(count)}")
        if not 0 <= flip <= 1:
            raise ValueError(f"flip must be in [0, 1], got {flip}")
        self.seed, self.count, self.air, self.options = int(seed), tuple(count), air, dict(options)
        self.flip = float(flip)
        self.size = [pair(side) for side in size]
        self.energy, self.modalities, self.whole = energy, tuple(modalities), whole
        absent = [name for name in modalities if energy is not None and name not in energy.modalities]
        if absent or not modalities:
            known = ", ".join(energy.modalities) if energy is not None else ""
            raise ValueError(f"energy must have the modalities {', '.join(modalities) or '(none)'}, got {known}")
        if energy is not None and len(energy.size) != self.axes:
            raise ValueError(f"energy must be of images of {self.axes} axes, got of {energy.size}")
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
        if self.energy is not None and images.shape[-self.axes :] != self.energy.size:
            found = tuple(images.shape[-self.axes :])
            raise ValueError(f"slices must be of {self.energy.size}, as the energies', got {found}")
        samples = [self._crops(image, int(position)) for image, position in zip(images, positions)]
        sizes = [torch.stack(crops) for crops in zip(*samples)]
        if self.flip:
            sizes = self._flipped(sizes, [int(position) for position in positions])
        if self.whole:
            slices = nn.functional.interpolate(images, self.size[0], mode="bilinear", antialias=True)
            sizes.append(slices[:, None])
        return sizes

    def _flipped(self, sizes: Sequence[Tensor], positions: Sequence[int]) -> list[Tensor]:
        """Large and small crops, (N, V, C, h, w) each, of which some are mirrored."""
        result, first = [], 0
        for crops in sizes:
            numbers = range(first, first + crops.shape[1])
            # one more number in the address than the draws of the crop itself
            turns = [
                [address_rng(self.seed, Stream.VIEWS, position, number, 1).random() < self.flip for number in numbers]
                for position in positions
            ]
            result.append(
                torch.where(torch.tensor(turns, device=crops.device)[..., None, None, None], crops.flip(-1), crops)
            )
            first += crops.shape[1]
        return result

    def _crops(self, image: Tensor, position: int) -> list[Tensor]:
        """Large and small crops of one slice."""
        drawn, first = [], 0
        for count, size in zip(self.count, self.size):
            drawn.append([self._draw(image, position, first + v, size) for v in range(count)])
            first += count
        sigmas = () if self.energy is None else self.energy.sigmas
        varied = any(crop.energies for crops in drawn for crop in crops)
        found = spectrum(image, sigmas) if varied else None
        return [apply_crops(image, crops, air=self.air, sigmas=sigmas, found=found) for crops in drawn if crops]

    def _draw(self, image: Tensor, position: int, number: int, size: tuple[int, int]) -> Crop:
        rng = address_rng(self.seed, Stream.VIEWS, position, number)
        energy = None
        if self.energy is not None:
            energy = self.energy.modalities[self.modalities[position % len(self.modalities)]]
        height, width = image.shape[-2:]
        return draw_crop(rng, image_size=(height, width), size=size, energy=energy, **self.options)
