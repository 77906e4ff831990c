"""A prediction is written with as many axes as its scan has."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImage

from monai_cl.data import VolumeWriter, read_volume


@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4, 1), (5, 1, 1), (1, 1, 1)])
def test_a_volume_stays_one_however_thin_it_is(tmp_path, shape):
    label = torch.randint(0, 5, (1, *shape), dtype=torch.uint8)
    affine = torch.diag(torch.tensor([-1.5, -1.5, 5.0, 1.0], dtype=torch.float64))
    image = MetaTensor(label, affine=affine, meta={"filename_or_obj": "scan.nii.gz"})
    SaveImage(
        output_dir=tmp_path,
        output_postfix="seg",
        output_dtype=np.uint8,
        separate_folder=False,
        resample=False,
        writer=VolumeWriter,
        print_log=False,
    )(image)
    written = nib.load(tmp_path / "scan_seg.nii.gz")
    assert written.shape == shape
    assert (written.get_sform(coded=True)[1], written.get_qform(coded=True)[1]) != (0, 0)
    read = read_volume(tmp_path / "scan_seg.nii.gz")
    np.testing.assert_array_equal(read.array, label[0].numpy())
    np.testing.assert_allclose(read.affine, affine.numpy())


def test_several_channels_stay(tmp_path):
    image = MetaTensor(torch.zeros(2, 4, 3, 1), meta={"filename_or_obj": "scan.nii.gz"})
    SaveImage(output_dir=tmp_path, separate_folder=False, resample=False, writer=VolumeWriter, print_log=False)(image)
    assert nib.load(tmp_path / "scan_trans.nii.gz").shape == (4, 3, 1, 2)
