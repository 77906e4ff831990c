"""``convert``: the voxels and the geometry of a scan in one NIfTI file."""

from __future__ import annotations

import json
import re

import nibabel as nib
import numpy as np
import pytest

from monai_cl.cli.commands import main
from monai_cl.data import read_volume
from tests.data.volume_files import (
    affine_of,
    ct_array,
    label_array,
    rotated,
    write_dicom,
    write_itk,
    write_nifti,
    write_segmentation,
)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "f4", "f8", "i8"])
@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.nii.gz"])
def test_voxels_and_geometry_stay(tmp_path, dtype, name):
    array = np.abs(ct_array() % 100).astype(dtype)
    affine = rotated(affine_of("PSL"), (5, -8, 12))
    if name == "a.nii.gz":
        nib.save(nib.Nifti1Image(array, affine, dtype=array.dtype), tmp_path / name)
    else:
        write_itk(tmp_path / name, array, affine)
    main(["convert", str(tmp_path / name), str(tmp_path / "out.nii.gz")])
    found = nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(found.dataobj), array)
    np.testing.assert_allclose(found.get_sform(), affine, atol=1e-4)
    np.testing.assert_allclose(found.get_qform(), affine, atol=1e-3)
    assert (int(found.header["sform_code"]), int(found.header["qform_code"])) == (1, 1)
    assert found.header.get_xyzt_units()[0] == "mm"


def test_a_tilted_gantry_is_kept_and_the_qform_switched_off(tmp_path, capsys):
    folder = write_dicom(tmp_path / "ct", ct_array(), np.arange(12) * 2.0, shift_per_mm=0.25)
    main(["convert", str(folder), str(tmp_path / "out.nii")])
    found, volume = nib.load(tmp_path / "out.nii"), read_volume(folder)
    np.testing.assert_array_equal(np.asanyarray(found.dataobj), volume.array)
    np.testing.assert_allclose(found.affine, volume.affine, atol=1e-5)
    assert int(found.header["qform_code"]) == 0
    np.testing.assert_allclose(read_volume(tmp_path / "out.nii").affine, volume.affine, atol=1e-5)
    assert "shape 20x16x12" in capsys.readouterr().out


@pytest.mark.parametrize("value", [1, -1])
def test_a_label_map_goes_onto_the_grid_of_a_scan_without_leaving_its_anatomy(tmp_path, capsys, value):
    """Against the definition: the value of the nearest voxel in the world."""
    scan, label = rotated(affine_of("LPS", (2.0, 1.5, 3.0)), (0, 0, 9)), affine_of("SAR", (1.0, 2.0, 1.5), (-30, 2, 5))
    array = np.random.default_rng(0).integers(0, 3, (40, 24, 28)).astype(np.int16) * value
    write_nifti(tmp_path / "scan.nii.gz", ct_array((16, 20, 12)), scan)
    write_itk(tmp_path / "label.nrrd", array, label)
    words = ["convert", tmp_path / "label.nrrd", tmp_path / "new.nii.gz", "--like", tmp_path / "scan.nii.gz"]
    main([str(word) for word in words])
    found = read_volume(tmp_path / "new.nii.gz")
    assert found.grid.same_as(read_volume(tmp_path / "scan.nii.gz").grid, any_axes=False)
    places = np.linalg.solve(label, scan @ np.c_[np.argwhere(np.ones(found.array.shape)), np.ones(found.array.size)].T)
    expected = [
        array[tuple(place)] if (place >= 0).all() and (place < array.shape).all() else 0
        for place in np.rint(places[:3].T).astype(int)
    ]
    np.testing.assert_array_equal(found.array.ravel(), expected)
    assert found.array.any()
    assert "labelled voxels of" in capsys.readouterr().out  # some lie outside the scan


def test_a_label_of_another_place_is_not_taken_for_an_empty_one(tmp_path, capsys):
    write_nifti(tmp_path / "scan.nii.gz", ct_array(), affine_of("LPS"))
    write_nifti(tmp_path / "label.nii.gz", label_array(), affine_of("LPS", origin=(500, 0, 0)))
    words = ["convert", tmp_path / "label.nii.gz", tmp_path / "new.nii.gz", "--like", tmp_path / "scan.nii.gz"]
    with pytest.raises(SystemExit):
        main([str(word) for word in words])
    assert re.search(r"expected a label of .*scan.nii.gz, found none of its \d+ labelled", capsys.readouterr().err)
    assert not (tmp_path / "new.nii.gz").exists()


def test_a_single_slice_stays_a_volume(tmp_path):
    folder = write_dicom(tmp_path / "ct", ct_array((8, 6, 1)), [3.0])
    main(["convert", str(folder), str(tmp_path / "out.nii.gz")])
    assert read_volume(tmp_path / "out.nii.gz").array.shape == (8, 6, 1)


def test_an_uneven_series_becomes_a_file_that_every_command_takes(tmp_path):
    ramp = np.broadcast_to(np.arange(0, 60, 5)[:8], (10, 8, 8)).astype(np.int16) * 2 - 100
    folder = write_dicom(tmp_path / "ct", ramp[..., [0, 1, 2, 3, 5, 7]], [0, 2, 4, 6, 10, 14])
    main(["convert", str(folder), str(tmp_path / "out.nii.gz"), "--uneven_slices", "interpolate"])
    np.testing.assert_allclose(read_volume(tmp_path / "out.nii.gz").array, ramp)
    document = {"name": "one", "labels": {"0": "background"}, "training": [{"image": "out.nii.gz"}]}
    (tmp_path / "list.json").write_text(json.dumps(document))
    main(["datalist", "validate", str(tmp_path / "list.json")])
    main(["prepare", str(tmp_path / "list.json"), "--store", str(tmp_path / "store"), "--progress=False"])
    main(["convert", str(tmp_path / "out.nii.gz"), str(tmp_path / "again.nii.gz")])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["there.nii.gz"], "expected no such file, found one"),
        (["out.nrrd"], "a name that ends in .nii or .nii.gz"),
        (["out.nii", "--uneven_slices", "drop"], '--uneven_slices: expected "error" or "interpolate"'),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, words, message):
    there = write_nifti(tmp_path / "there.nii.gz", ct_array())
    before = there.read_bytes()
    with pytest.raises(SystemExit, match="2"):
        main(["convert", str(there), str(tmp_path / words[0]), *words[1:]])
    assert message in capsys.readouterr().err
    assert there.read_bytes() == before
    assert not list(tmp_path.glob("out*"))
    other = write_nifti(tmp_path / "other.nii.gz", ct_array(seed=3))
    main(["convert", str(other), str(there), "--overwrite"])
    np.testing.assert_array_equal(read_volume(there).array, ct_array(seed=3))


def test_names_of_segments_that_the_output_cannot_hold_are_said(tmp_path, capsys):
    affine = affine_of("LPS")
    scan = write_nifti(tmp_path / "ct.nii.gz", ct_array(), affine)
    label = write_segmentation(tmp_path / "a.seg.nrrd", label_array(), affine, {2: "spleen", 1: "liver"})
    main(["convert", str(label), str(tmp_path / "out.nii.gz"), "--like", str(scan)])
    assert f"NIfTI keeps no names of segments; in {label} they are 1 liver, 2 spleen" in capsys.readouterr().out
