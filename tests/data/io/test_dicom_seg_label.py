"""A DICOM SEG is the label of the series that it refers to, at every door of a data list."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from monai_cl.data import (
    Preparation,
    VolumeStore,
    load_data_list,
    read_volume,
    validate_data_list,
    write_dicom_seg,
)
from monai_cl.data.io.label_reading import read_label
from monai_cl.engines.segmentation.data import image_preprocessing
from monai_cl.errors import UserError
from tests.data.volume_files import ct_array, label_array, write_dicom, write_nifti

pytest.importorskip("highdicom", reason='the extra "dicom" is not installed')


@pytest.fixture
def made(tmp_path):
    series = write_dicom(tmp_path / "scan", ct_array(), 2.0 * np.arange(12))
    volume = read_volume(series)
    names = {1: "spleen", 2: "liver", 5: "aorta"}
    seg = write_dicom_seg(tmp_path / "seg.dcm", label_array(), volume.affine, source=series, organs=names)
    return series, seg


def test_it_is_read_on_the_grid_of_its_image(made):
    series, seg = made
    grid = read_volume(series).grid
    found = read_label(seg, image=series, grid=grid)
    assert found.grid.same_as(grid, any_axes=False)
    np.testing.assert_array_equal(np.array([0, 1, 2, 5])[found.array], label_array())
    mapped = read_label(seg, image=series, grid=grid, label_map={3: 7})
    np.testing.assert_array_equal(mapped.array, np.where(label_array() == 5, 7, 0))


def test_it_needs_that_series(made, tmp_path):
    series, seg = made
    volume = read_volume(series)
    nifti = write_nifti(tmp_path / "scan.nii.gz", volume.array, volume.affine)
    with pytest.raises(UserError, match=r"seg\.dcm: expected the DICOM series that .*; name the folder of that"):
        read_label(seg, image=nifti, grid=volume.grid)


def test_every_door_of_a_list_takes_it_and_compares_its_names(made, tmp_path):
    names = ["background", "spleen", "liver", "aorta"]
    document = {"name": "one", "labels": {str(n): name for n, name in enumerate(names)}}
    document["training"] = [{"image": "scan", "label": "seg.dcm"}]
    file = tmp_path / "list.json"
    file.write_text(json.dumps(document))
    assert validate_data_list(file) == []
    (item,) = load_data_list(file).items()
    store = VolumeStore.create(tmp_path / "store", Preparation(spacing=None))
    prepared = store.read(store.add(item), kind="label")
    steps = image_preprocessing(spacing=(0.8, 0.9, 2.0), window=(-200.0, 200.0), label=True)
    validated = steps(item)["label"]
    turned = nib.apply_orientation(validated[0].numpy(), nib.io_orientation(validated.affine.numpy()))
    np.testing.assert_array_equal(turned, prepared)
    assert prepared.any()
    document["labels"] |= {"1": "liver", "2": "spleen"}
    file.write_text(json.dumps(document))
    (problem,) = validate_data_list(file)
    assert "the names 1 spleen, 2 liver in the file" in str(problem)
