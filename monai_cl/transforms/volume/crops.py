"""Crops of volumes in their slices: rescaled, cut and shaded in-plane, with all slices kept."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from monai_cl.transforms.crops.multi_crop import MultiCrop


class VolumeCrops(MultiCrop):
    """`MultiCrop` of volumes: every slice of a crop is rescaled, cut and shaded alike, and none is left out.

    Frequency bands lie within the slices; the energy of a band is its standard deviation over the whole volume, and the
    low-pass is scaled about the mean of the whole volume.

    Args:
        **options: of `MultiCrop`; ``size`` is (H, W), ``rescaled_side`` the least and greatest (H, W) of the whole
            volume's slices after rescaling, and ``energy`` of volumes.

    Raises:
        ValueError: as `MultiCrop`.

    Source: Ghesu et al., arXiv 2201.01283, Table I; the paper gives sizes in-plane only.
    """

    least_crops = 1  # a supervised training takes one
    axes = 3

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
        return [part[:, :, None] for part in super().forward(images[:, 0], positions)]  # slices in place of channels
