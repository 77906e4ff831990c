"""DICOM objects that are not images of a scan are named by kind, among its slices and alone, at every door."""

from __future__ import annotations

import json
import logging

import numpy as np
import pydicom
import pytest

from monai_cl.cli.commands import main
from monai_cl.data import read_volume
from monai_cl.data.dicom.kinds import other_kind
from monai_cl.engines import inference_items, volumes_in
from monai_cl.errors import UserError
from tests.bad_input.doors import command
from tests.data.dicom.other_objects import KINDS, STORAGE, write_object
from tests.data.volume_files import ct_array, write_dicom


@pytest.mark.parametrize("tail", KINDS)
def test_among_the_slices_of_a_scan_it_is_passed_over_by_name(tmp_path, caplog, tail):
    series = write_dicom(tmp_path / "scan", ct_array(), np.arange(12) * 2.0)
    alone = read_volume(series)
    # first and last by name
    for name in ("a.dcm", "z.dcm"):
        write_object(series / name, tail)
    with caplog.at_level(logging.WARNING):
        found = read_volume(series)
    np.testing.assert_array_equal(found.array, alone.array)
    np.testing.assert_array_equal(found.affine, alone.affine)
    assert f"{series}: passed over {KINDS[tail]} (a.dcm and 1 more)" in caplog.text


@pytest.mark.parametrize("tail", KINDS)
def test_alone_it_is_refused_by_name_at_every_door(tmp_path, capsys, tail):
    series = write_object(tmp_path / "scan" / "o.dcm", tail).parent
    text = f"expected a DICOM image, found {KINDS[tail]} (o.dcm)"
    for path in (series, series / "o.dcm"):
        with pytest.raises(UserError) as caught:
            read_volume(path)
        assert text in str(caught.value)
    document = {"name": "one", "labels": {"0": "background"}, "training": [{"image": "scan"}]}
    (tmp_path / "list.json").write_text(json.dumps(document))
    doors = {
        "convert": ("convert", series, tmp_path / "out.nii.gz"),
        "prepare": ("prepare", tmp_path / "list.json", "--store", tmp_path / "store", "--progress=False"),
        "validate": ("datalist", "validate", tmp_path / "list.json"),
    }
    for door, words in doors.items():
        outcome = command(*words)
        assert text in outcome.shown, door
    assert not (tmp_path / "out.nii.gz").exists()


@pytest.mark.parametrize("tail", KINDS)
def test_a_folder_of_it_is_not_a_scan_to_an_inference(tmp_path, capsys, tail):
    scan = write_dicom(tmp_path / "b_scan", ct_array(), np.arange(12) * 2.0)
    write_object(tmp_path / "a_other" / "o.dcm", tail)
    if tail == "7":  # has pixels like a slice; refused when it is read
        assert volumes_in(tmp_path) == [str(tmp_path / "a_other"), str(scan)]
        return
    assert volumes_in(tmp_path) == [str(scan)]
    assert f"a_other: passed over {KINDS[tail]} (o.dcm)" in capsys.readouterr().out
    with pytest.raises(UserError, match="expected volumes"):
        volumes_in(tmp_path / "a_other")


def test_a_dicom_seg_needs_the_slices_and_ignores_its_like_among_them(tmp_path):
    pytest.importorskip("highdicom", reason='the extra "dicom" is not installed')
    series = write_dicom(tmp_path / "scan", ct_array(), np.arange(12) * 2.0)
    write_object(series / "seg.dcm", "66.4")
    assert inference_items(str(series), dicom_seg=True) == [{"image": str(series)}]


def test_a_capture_with_a_place_is_a_slice(tmp_path):
    folder = write_dicom(tmp_path / "scan", ct_array(), np.arange(12) * 2.0)
    as_ct = read_volume(folder).array
    for file in folder.iterdir():
        header = pydicom.dcmread(file)
        header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = f"{STORAGE}7"
        header.save_as(file)
    np.testing.assert_array_equal(read_volume(folder).array, as_ct)


@pytest.mark.parametrize("tail", ["2", "2.1", "4", "128", "7.9"])
def test_images_and_unknown_classes_are_of_no_other_kind(tail):
    assert (other_kind(STORAGE + tail) is None) == (tail != "7.9")
    assert other_kind("1.2.3") is other_kind("") is None


def test_a_directory_of_dicom_files_is_no_object(tmp_path, capsys):
    (tmp_path / "DICOMDIR").write_bytes(bytes(200))
    with pytest.raises(SystemExit, match="2"):
        main(["convert", str(tmp_path), str(tmp_path / "out.nii")])
    assert "no DICOM image among 1 files" in capsys.readouterr().err
