"""One scan and its label in any axis order, voxel type and format: the same prepared voxels, and the same Dice."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cl.data import Preparation, VolumeStore, prepare, read_volume
from monai_cl.data.grid import Grid
from monai_cl.engines import image_preprocessing
from tests.data.dicom.multi_frame import enhanced
from tests.data.volume_files import affine_of, ct_array, label_array, write_dicom_on, write_itk, write_nifti

pytest.importorskip("highdicom", reason='the extra "dicom" is not installed')

SHAPE, SPACING = (9, 8, 7), (0.75, 1.0, 2.5)
ORDERS = ["".join(c) for p in itertools.permutations(("LR", "PA", "IS")) for c in itertools.product(*p)]
IMAGE, LABEL = ct_array(SHAPE) // 2 * 2, label_array(SHAPE)
RAS = Grid(SHAPE, affine_of("RAS", SPACING))
SHIFTED = np.roll(LABEL, 1, axis=0)


def in_order(array: np.ndarray, codes: str) -> tuple[np.ndarray, np.ndarray]:
    """An array of the RAS grid in another order of axes, and its affine."""
    turn = nib.orientations.ornt_transform(RAS.orientation, nib.orientations.axcodes2ornt(codes))
    return nib.apply_orientation(array, turn), RAS.turned(turn).affine


def scaled_nifti(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    """HU as integers of half the value behind a slope and an intercept."""
    image = nib.Nifti1Image(((array + 1024) // 2).astype(np.int16), affine)
    image.header.set_slope_inter(2, -1024)
    nib.save(image, path)
    return path


def multi_frame(folder: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    return enhanced(write_dicom_on(folder / "slices", array, affine), folder / "whole.dcm")


FORMATS = {
    "int16.nii.gz": write_nifti,
    "int32.nii": lambda path, array, affine: write_nifti(path, array.astype(np.int32), affine),
    "float64.nii.gz": lambda path, array, affine: write_nifti(path, array.astype(np.float64), affine),
    "scaled.nii.gz": scaled_nifti,
    "int16.nrrd": write_itk,
    "float32.mha": lambda path, array, affine: write_itk(path, array.astype(np.float32), affine),
    "series": write_dicom_on,
    "multi-frame": lambda path, array, affine: multi_frame(path.parent, array, affine),
}


def dice(prediction: np.ndarray, truth: np.ndarray) -> list[float]:
    return [
        2 * ((prediction == v) & (truth == v)).sum() / ((prediction == v).sum() + (truth == v).sum()) for v in (1, 2, 5)
    ]


@settings(deadline=None, max_examples=25)
@given(
    kind=st.sampled_from(sorted(FORMATS)),
    codes=st.sampled_from(ORDERS),
    label_codes=st.sampled_from(ORDERS),
    label_kind=st.sampled_from(["label.nii.gz", "label.nrrd"]),
)
def test_voxels_and_dice_are_the_same(kind, codes, label_codes, label_kind):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = FORMATS[kind](folder / kind, *in_order(IMAGE, codes))
        label = (write_nifti if label_kind.endswith("gz") else write_itk)(
            folder / label_kind, *in_order(LABEL, label_codes)
        )
        item = {"image": str(scan), "label": str(label), "dataset": "tiny", "id": "a", "patient": "a"}

        preparation = Preparation(spacing=SPACING)
        prepare([item], folder / "store", preparation, progress=False)
        store = VolumeStore.open(folder / "store", preparation)
        key = store.find(item)
        np.testing.assert_array_equal(store.read_patch(key, (0, 0, 0), SHAPE), IMAGE)
        np.testing.assert_array_equal(store.read_patch(key, (0, 0, 0), SHAPE, kind="label"), LABEL)

        truth = np.asarray(image_preprocessing(spacing=SPACING, label=True)(item)["label"])[0]
        grid = read_volume(scan).grid
        turn = nib.orientations.ornt_transform(RAS.orientation, grid.orientation)
        own, shifted = (nib.apply_orientation(array, turn) for array in (LABEL, SHIFTED))
        assert dice(own, truth) == [1, 1, 1]
        assert dice(shifted, truth) == dice(SHIFTED, LABEL)
