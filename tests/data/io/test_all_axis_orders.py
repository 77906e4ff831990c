"""One exported label in all 48 axis orders of its scan, in every format, is the same label of the prepared scan."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImage

from monai_cl.data import VolumeWriter, read_volume, to_ras
from monai_cl.data.grid import Grid
from monai_cl.data.io.label_reading import read_label
from tests.data.volume_files import affine_of, ct_array, label_array, write_itk, write_nifti

SHAPE = (9, 8, 7)
ORDERS = ["".join(c) for p in itertools.permutations(("LR", "PA", "IS")) for c in itertools.product(*p)]


def in_order(codes: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A scan and its label, the same anatomy whatever the order, and their affine."""
    ras = Grid(SHAPE, affine_of("RAS"))
    turn = nib.orientations.ornt_transform(ras.orientation, nib.orientations.axcodes2ornt(codes))
    arrays = [nib.apply_orientation(a, turn) for a in (ct_array(SHAPE), label_array(SHAPE))]
    return (*arrays, ras.turned(turn).affine)


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nrrd", "scan.mha"])
def test_a_label_exported_on_the_grid_of_its_scan_is_that_label(tmp_path, name):
    for codes in ORDERS:
        image, label, affine = in_order(codes)
        scan = tmp_path / codes / name
        scan.parent.mkdir()
        (write_nifti if name.endswith(".gz") else write_itk)(scan, image, affine)
        source = read_volume(scan)
        np.testing.assert_allclose(source.affine, affine, atol=1e-4)
        meta = {"filename_or_obj": str(scan)}
        options = {"separate_folder": False, "resample": False, "print_log": False, "output_dtype": np.uint8}
        pred = MetaTensor(torch.from_numpy(label.copy())[None], affine=torch.from_numpy(source.affine), meta=meta)
        SaveImage(output_dir=scan.parent, output_postfix="seg", writer=VolumeWriter, **options)(pred)
        exported = scan.with_name("scan_seg.nii.gz")
        assert read_volume(exported).grid.same_as(source.grid, any_axes=False), codes
        read = read_label(exported, image=scan, grid=source.grid)
        np.testing.assert_array_equal(to_ras(read).array, label_array(SHAPE), err_msg=codes)
        np.testing.assert_array_equal(to_ras(source).array, ct_array(SHAPE), err_msg=codes)
        # and of every other order of the scan
        other = tmp_path / ORDERS[0] / name
        if other != scan:
            grid = read_volume(other).grid
            crossed = read_label(exported, image=other, grid=grid)
            np.testing.assert_array_equal(to_ras(crossed).array, label_array(SHAPE), err_msg=codes)
