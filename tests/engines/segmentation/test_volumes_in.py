"""A folder given to inference is searched for volumes, and says so when it holds none."""

from __future__ import annotations

import re

import numpy as np
import pytest

from monai_cl.engines import scans_in, volumes_in
from monai_cl.errors import UserError
from tests.data.io.test_picture import write_xray
from tests.data.volume_files import affine_of, ct_array, write_dicom, write_itk, write_nifti


def test_files_come_first_then_series_each_in_order(tmp_path):
    for name in ("b.nii.gz", "a.nii"):
        write_nifti(tmp_path / name, ct_array())
    write_itk(tmp_path / "c.NRRD", ct_array(), affine_of("LPS"))
    write_dicom(tmp_path / "series2", ct_array(), np.arange(ct_array().shape[2]))
    write_dicom(tmp_path / "series1", ct_array(), np.arange(ct_array().shape[2]))
    names = ["a.nii", "b.nii.gz", "c.NRRD", "series1", "series2"]
    assert volumes_in(tmp_path) == [str(tmp_path / name) for name in names]


def test_slices_without_an_ending_are_seen_by_their_content(tmp_path):
    series = write_dicom(tmp_path / "series", ct_array(), np.arange(ct_array().shape[2]))
    for number, path in enumerate(sorted(series.iterdir())):
        path.rename(series / f"CT.1.2.840.{number}")
    assert volumes_in(tmp_path) == [str(series)]


def test_a_folder_of_slices_is_itself_a_volume(tmp_path):
    series = write_dicom(tmp_path / "series", ct_array(), np.arange(ct_array().shape[2]))
    assert volumes_in(series) == [str(series)]


def test_pictures_are_scans_of_a_folder_without_volumes_and_are_named_beside_them(tmp_path, capsys):
    for name in ("b.png", "a.JPG"):
        (tmp_path / name).write_bytes(b"")
    assert scans_in(tmp_path) == [str(tmp_path / name) for name in ("a.JPG", "b.png")]
    with pytest.raises(UserError, match="expected volumes"):
        volumes_in(tmp_path)
    (tmp_path / "._a.JPG").write_bytes(b"AppleDouble")
    (tmp_path / "more.png").mkdir()
    assert scans_in(tmp_path) == [str(tmp_path / name) for name in ("a.JPG", "b.png")]
    write_nifti(tmp_path / "c.nii.gz", ct_array())
    assert scans_in(tmp_path) == volumes_in(tmp_path) == [str(tmp_path / "c.nii.gz")]
    assert f"{tmp_path}: 2 pictures beside volumes are left out; name them" in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", ["gone", "empty"])
def test_a_folder_without_scans_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no such folder" if name == "gone" else "expected volumes"):
        scans_in(tmp_path / name)


def test_hidden_files_indices_and_other_things_are_ignored(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", ct_array())
    (tmp_path / "._a.nii.gz").write_bytes(b"AppleDouble")
    (tmp_path / "notes.txt").write_text("no scan")
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "short").write_bytes(b"DICM")
    (tmp_path / "disc").mkdir()
    (tmp_path / "disc" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    assert volumes_in(tmp_path) == [str(tmp_path / "a.nii.gz")]


def test_a_folder_without_volumes_is_refused(tmp_path):
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}: expected volumes (.nii.gz,") + ".*found none"):
        volumes_in(tmp_path)


def test_a_folder_that_is_absent_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder; pass --dataset_dir"):
        volumes_in(tmp_path / "absent")


def test_single_dicom_images_of_a_folder_are_scans_each_and_are_named_beside_volumes(tmp_path, capsys):
    rows = np.arange(64, dtype=np.uint8).reshape(8, 8)
    files = [str(write_xray(tmp_path / f"{name}.dcm", rows)) for name in ("a", "b")]
    assert scans_in(tmp_path) == files
    write_nifti(tmp_path / "c.nii.gz", ct_array())
    assert scans_in(tmp_path) == [str(tmp_path / "c.nii.gz")]
    assert "passed over the DICOM images beside the volumes" in "".join(capsys.readouterr())
    series = write_dicom(tmp_path / "series", ct_array(), np.arange(ct_array().shape[2]))
    write_xray(series / "x.dcm", rows)
    assert scans_in(series) == [str(series)]  # reading it says what is wrong
