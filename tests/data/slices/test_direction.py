"""Slices lie along z, whatever their distance; a stack along another axis is refused, and its remedy works."""

from __future__ import annotations

import re

import nibabel
import numpy as np
import pytest

from monai_cl.data import CTSlices, Preparation, prepare, slice_parts, slice_volumes
from monai_cl.data.slices.direction import require_axial
from monai_cl.engines.classification.loaded_volume import loaded_slices
from monai_cl.errors import UserError
from tests.data.volume_files import ct_array, write_nifti

AXIAL = [
    (0.977, 0.977, 0.6),
    (0.7, 0.7, 0.5),
    (0.75, 0.75, 0.5),
    (1.0, 1.0, 1.0),
    (2.0, 2.0, 0.5),
    (0.8, 0.8, 5.0),
    (1.4, 1.4, 8.0),
    (1.2, 1.0, 0.6),
]
# slice direction of a short-axis stack, and of the heart's long axis in the body: nearest to x
SHORT_AXIS = (-0.62, 0.58, 0.53)


@pytest.mark.parametrize("spacing", AXIAL)
def test_axial_slices_of_any_distance_are_taken(spacing, tmp_path):
    require_axial(np.diag([*spacing, 1.0]), where="s")
    slices = sliced(tmp_path, np.diag([*spacing, 1.0]))
    assert slice_parts(slices, 3).tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("spacing", [(8.0, 1.0, 1.0), (1.0, 8.0, 1.0), (3.0, 0.9, 1.1)])
def test_a_stack_along_another_axis_is_refused_wherever_slices_are_chosen(spacing, tmp_path):
    affine = np.diag([*spacing, 1.0])
    axis = "xyz"[int(np.argmax(spacing))]
    text = rf"s\.nii\.gz: expected slices along the body axis .* found slices along {axis}, .* write scan and label"
    with pytest.raises(UserError, match=f"patient p: .*{text}"):
        sliced(tmp_path, affine)
    with pytest.raises(UserError, match=text):
        loaded_slices({"image": str(tmp_path / "s.nii.gz")}, size=24)


def short_axis(spacing=(1.4, 1.4, 8.0)):
    """Affine of a real short-axis stack; the slices are the third axis of the array."""
    normal = np.array(SHORT_AXIS) / np.linalg.norm(SHORT_AXIS)
    first = np.cross(normal, (0.0, 0.0, 1.0))
    first /= np.linalg.norm(first)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([first, np.cross(normal, first), normal], axis=1) * spacing
    return affine


def sliced(folder, affine, shape=(24, 24, 6)):
    file = write_nifti(folder / "s.nii.gz", ct_array(shape), affine)
    item = {"image": str(file), "id": "s", "dataset": "d", "patient": "p"}
    done = prepare([item], folder / "store", Preparation(spacing=None, layout="slices"), progress=False)
    return CTSlices(done.store, slice_volumes(done.store, done.keys, [item], fraction=1.0), size=24)


def test_a_short_axis_stack_is_refused_until_it_is_written_as_its_message_says(tmp_path):
    with pytest.raises(UserError, match=r"found slices along x, spacing \(8, 1.4, 1.4\) mm") as caught:
        sliced(tmp_path, short_axis())
    numbers = re.search(r"affine diag\((.*?)\)", str(caught.value)).group(1)
    affine = np.diag([float(number) for number in numbers.split(",")])
    (tmp_path / "again").mkdir()
    slices = sliced(tmp_path / "again", affine)
    assert slice_parts(slices, 3).tolist() == [0, 0, 1, 1, 2, 2]
    assert np.allclose(nibabel.load(tmp_path / "again" / "s.nii.gz").header.get_zooms(), (1.4, 1.4, 8.0))
