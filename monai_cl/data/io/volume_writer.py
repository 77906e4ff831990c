"""Predictions as NIfTI files of as many axes as their scans have."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from monai.config import NdarrayOrTensor
from monai.data import NibabelWriter
from monai.utils import convert_to_numpy, get_equivalent_dtype

from monai_cl.data.io.nifti_output import write_volume
from monai_cl.data.io.reading import Volume
from monai_cl.data.io.rectify import rectified, sheared_message

logger = logging.getLogger(__name__)


class VolumeWriter(NibabelWriter):
    """MONAI's NIfTI writer for ``SaveImaged(writer=...)``, except that a volume of one slice stays a volume.

    MONAI drops every axis of length one at the end, the channels' and then the slices'; readers of volumes, this
    project's among them, refuse what is left. A file is whole or absent, and its header says one place: see
    :func:`write_volume`. A sheared grid (a tilted gantry) is reported.

    Args:
        output_dtype: of the voxels.
        rectify: resample what lies on a sheared grid to right angles, by ``mode`` of ``SaveImaged``.
        kwargs: as MONAI's writer.
    """

    def __init__(self, output_dtype: Any = np.float32, *, rectify: bool = False, **kwargs: Any) -> None:
        super().__init__(output_dtype=output_dtype, **kwargs)
        self.rectify, self.nearest = rectify, True

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

    def set_metadata(self, meta_dict: Mapping | None = None, resample: bool = True, **options: Any) -> None:
        """Take the affine, and resample as MONAI's writer does.

        Args:
            meta_dict: with ``affine``.
            resample: to ``original_affine`` and ``spatial_shape``.
            options: as MONAI's writer; ``mode`` is that of ``rectify`` too.
        """
        self.nearest = options.get("mode", "nearest") == "nearest"
        if resample:
            super().set_metadata(meta_dict, resample=True, **options)
        else:  # MONAI's writer counts the axes of the voxels and takes as many of the affine
            self.affine = self.get_meta_info(meta_dict)[1]

    def write(self, filename: str | os.PathLike, verbose: bool = False, **kwargs: Any) -> None:
        """Write the file.

        Args:
            filename: ending in .nii or .nii.gz.
            verbose: report the path.
            kwargs: ignored.
        """
        array = convert_to_numpy(self.data_obj).astype(
            get_equivalent_dtype(self.output_dtype or self.data_obj.dtype, np.ndarray), copy=False
        )
        affine = np.eye(4) if self.affine is None else convert_to_numpy(self.affine).astype(float)
        volume = Volume(array, affine)
        if array.ndim == 3:
            if self.rectify:
                volume = rectified(volume, nearest=self.nearest)
            elif said := sheared_message(filename, volume.affine, remedy="--rectify True writes it resampled"):
                logger.warning(said)
        path = write_volume(filename, volume)
        if verbose:
            logger.info("writing: %s", path)
