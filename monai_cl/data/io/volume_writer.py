"""Predictions as NIfTI files of as many axes as their scans have."""

from __future__ import annotations

from typing import Any

from monai.config import NdarrayOrTensor
from monai.data import NibabelWriter


class VolumeWriter(NibabelWriter):
    """MONAI's NIfTI writer for ``SaveImaged(writer=...)``, except that a volume of one slice stays a volume.

    MONAI drops every axis of length one at the end, the channels' and then the slices'; readers of volumes, this
    project's among them, refuse what is left.
    """

    def set_data_array(
        self, data_array: NdarrayOrTensor, channel_dim: int | None = 0, squeeze_end_dims: bool = True, **kwargs: Any
    ) -> None:
        """Take the voxels to be written.

        Args:
            data_array: (C, X, Y, Z), or (X, Y, Z) with ``channel_dim`` None.
            channel_dim: the axis of the channels.
            squeeze_end_dims: drop the channels' axis where it has length one.
            kwargs: as MONAI's writer.
        """
        super().set_data_array(data_array, channel_dim=channel_dim, squeeze_end_dims=False, **kwargs)
        if squeeze_end_dims and self.data_obj.shape[-1] == 1:
            self.data_obj = self.data_obj[..., 0]
