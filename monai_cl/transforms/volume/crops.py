"""Crops of volumes in their slices: rescaled, cut and shaded in-plane, with all slices kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from monai_cl.addressing import Stream, address_rng
from monai_cl.transforms.crops.multi_crop import MultiCrop


class VolumeCrops(MultiCrop):
    """`MultiCrop` of volumes: every slice of a crop is rescaled, cut and shaded alike, and none is left out.

    Frequency bands lie within the slices; the energy of a band is its standard deviation over the whole volume, and the
    low-pass is scaled about the mean of the whole volume.

    Args:
        seed: the run's seed.
        flip: probability that left and right of a crop are exchanged.
        **options: of `MultiCrop`; ``size`` is (H, W), ``rescaled_side`` the least and greatest (H, W) of the whole
            volume's slices after rescaling, and ``energy`` of volumes.

    Raises:
        ValueError: ``flip`` outside [0, 1], or as `MultiCrop`.

    Source: Ghesu et al., arXiv 2201.01283, Table I; the paper gives sizes in-plane only.
    """

    least_crops = 1  # a supervised training takes one
    axes = 3

    def __init__(self, *, seed: int, flip: float = 0.0, **options: Any) -> None:
        if not 0 <= flip <= 1:
            raise ValueError(f"flip must be in [0, 1], got {flip}")
        super().__init__(seed=seed, **options)
        self.flip = float(flip)

    def forward(self, images: Tensor, positions: Sequence[int] | Tensor | None = None) -> Tensor | list[Tensor]:
        """Crops of volumes.

        Args:
            images: (N, 1, D, H, W) floating point, in [0, 1].
            positions: (N,) the samples' global positions; not needed at inference.

        Returns:
            The large crops (N, L, 1, D, H', W') and, where there are some, the small ones (N, S, 1, D, h, w); at
            inference (N, 1, 1, D, H, W), the volumes unchanged.
        """
        if not self.training:
            return images[:, None]
        crops = super().forward(images[:, 0], positions)  # slices take the place of channels
        assert positions is not None  # or it has raised
        first, result = 0, []
        for part in crops:
            numbers = range(first, first + part.shape[1])
            turn = torch.tensor(
                [[self._turns(int(p), number) for number in numbers] for p in positions], device=images.device
            )
            result.append(torch.where(turn[:, :, None, None, None], part.flip(-1), part)[:, :, None])
            first += part.shape[1]
        return result

    def _turns(self, position: int, number: int) -> bool:
        # one more number in the address than the draws of the crop itself
        return bool(address_rng(self.seed, Stream.VIEWS, position, number, 1).random() < self.flip)
