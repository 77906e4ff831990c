"""Whatever the product writes as NIfTI says one place: on a straight, an oblique and a sheared grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImage

from monai_cl.cli.commands import main
from monai_cl.data import VolumeWriter, read_volume
from monai_cl.data.io.rectify import rectified, shear_degrees
from monai_cl.data.phantom.cohort_folder import write_synthetic_case
from monai_cl.serving.labelled_scans import labelled_scan
from tests.data.volume_files import affine_of, ct_array, label_array, rotated, write_dicom, write_nifti


def sheared(axes: str = "LPS") -> np.ndarray:
    affine = affine_of(axes)
    affine[:3, 2] += affine[:3, 1] * 0.8
    return affine


GRIDS = {
    "straight": affine_of("PSL"),
    "oblique": rotated(affine_of("LPS"), (8, -5, 12)),
    "left-handed": rotated(affine_of("RAS") @ np.diag([1, 1, -1, 1]), (3, 4, 5)),
    "sheared": sheared(),
    "sheared and permuted": sheared("SLA"),
}


def by_inference(folder: Path, label: np.ndarray, affine: np.ndarray) -> Path:
    image = MetaTensor(
        torch.from_numpy(label)[None], affine=torch.from_numpy(affine), meta={"filename_or_obj": "a.nii"}
    )
    options = {"separate_folder": False, "resample": False, "print_log": False, "output_dtype": np.uint8}
    SaveImage(output_dir=folder, output_postfix="seg", writer=VolumeWriter, **options)(image)
    return folder / "a_seg.nii.gz"


def by_convert(folder: Path, label: np.ndarray, affine: np.ndarray) -> Path:
    image = nib.Nifti1Image(label, affine)
    image.set_sform(affine, code=1)
    image.set_qform(None, code=0)
    nib.save(image, folder / "in.nii.gz")
    main(["convert", str(folder / "in.nii.gz"), str(folder / "out.nii.gz")])
    return folder / "out.nii.gz"


def by_phantom(folder: Path, label: np.ndarray, affine: np.ndarray) -> Path:
    write_synthetic_case(folder, "a", label, label, affine, made_by="test, seed 0")
    return folder / "labels" / "a.nii.gz"


def by_label_server_training(folder: Path, label: np.ndarray, affine: np.ndarray) -> Path:
    """The copy of a submitted label with the organs' own numbers."""
    source = by_convert(folder, np.where(label == 1, 2, np.where(label == 2, 1, label)).astype(np.uint8), affine)
    info = [{"name": name, "idx": value} for value, name in ((1, "b"), (2, "a"), (5, "c"))]
    item = labelled_scan("x", source, source, label_info=info, organs=["a", "b", "c"], folder=folder / "copies")
    assert item["label"] != str(source)
    return Path(item["label"])


WRITERS: dict[str, Callable[[Path, np.ndarray, np.ndarray], Path]] = {
    "inference": by_inference,
    "convert": by_convert,
    "phantom": by_phantom,
    "label server": by_label_server_training,
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("writer", WRITERS)
def test_the_forms_of_a_file_agree_or_the_qform_is_off(tmp_path, writer, grid):
    affine, label = GRIDS[grid], label_array()
    found = nib.load(WRITERS[writer](tmp_path, label, affine))
    np.testing.assert_allclose(found.get_sform(), affine, atol=1e-4)
    header = found.header
    assert int(header["sform_code"]) == 1
    if "sheared" in grid:
        assert int(header["qform_code"]) == 0
    else:
        np.testing.assert_allclose(found.get_qform(), affine, atol=1e-3)
        itk = sitk.ReadImage(str(found.get_filename()))  # what a viewer built on ITK shows
        np.testing.assert_allclose(np.array(itk.GetOrigin()) * [-1, -1, 1], affine[:3, 3], atol=1e-3)
    assert header.get_xyzt_units()[0] == "mm"
    assert read_volume(found.get_filename()).grid.shape == label.shape


def test_every_writer_of_nifti_is_among_these():
    sources = Path(read_volume.__code__.co_filename).parents[2].rglob("*.py")
    writers = {file.name for file in sources if "Nifti1Image(" in file.read_text(encoding="utf-8")}
    assert writers == {"nifti_output.py"}  # all of the above go through it


@pytest.mark.parametrize("grid", GRIDS)
def test_a_rectified_volume_holds_the_same_anatomy(grid):
    from monai_cl.data import Volume

    source = Volume(label_array(shape=(20, 16, 12)), GRIDS[grid])
    found = rectified(source, nearest=True)
    assert shear_degrees(found.affine) == 0
    if "sheared" not in grid:
        assert found is source
        return
    np.testing.assert_allclose(found.spacing[0], source.spacing[0])
    for value in (1, 2, 5):
        volumes = [(v.array == value).sum() * abs(np.linalg.det(v.affine[:3, :3])) for v in (source, found)]
        np.testing.assert_allclose(volumes[1], volumes[0], rtol=0.1)
        centres = [v.affine[:3, :3] @ np.argwhere(v.array == value).mean(0) + v.affine[:3, 3] for v in (source, found)]
        np.testing.assert_allclose(centres[1], centres[0], atol=0.35)


def test_of_a_tilted_series_rows_columns_and_slices_stay(tmp_path, capsys):
    """Each row of voxels is shifted along y alone, by what the gantry moved."""
    ramp = np.broadcast_to(np.arange(16) * 20, (20, 12, 16)).transpose(0, 2, 1).astype(np.int16)
    folder = write_dicom(tmp_path / "ct", ramp, np.arange(12) * 2.0, shift_per_mm=0.45)  # half a pixel per slice
    main(["convert", str(folder), str(tmp_path / "kept.nii.gz")])
    assert "24.2 degrees off right angles" in capsys.readouterr().out
    main(["convert", str(folder), str(tmp_path / "upright.nii.gz"), "--rectify"])
    assert "right angles" not in capsys.readouterr().out
    found = read_volume(tmp_path / "upright.nii.gz")
    assert found.array.shape == (20, 16 + 11, 12)
    np.testing.assert_allclose(found.spacing, (0.8, 0.9, 2.0), atol=1e-5)
    # by hand: in slice k the series begins k pixels further along y
    expected = np.zeros(found.array.shape, np.int16)
    for k in range(12):
        expected[:, k : k + 16, k] = ramp[:, :, k]
    turned = found.array if found.array[0, 8, 0] == expected[0, 8, 0] else found.array[:, ::-1]
    np.testing.assert_array_equal(turned, expected)


def test_linear_and_nearest(tmp_path):
    affine = sheared()
    write_nifti(tmp_path / "label.nii.gz", label_array(), affine)
    main(["convert", str(tmp_path / "label.nii.gz"), str(tmp_path / "a.nii.gz"), "--rectify", "--label_map"])
    assert set(np.unique(read_volume(tmp_path / "a.nii.gz").array)) == {0, 1, 2, 5}
    write_nifti(tmp_path / "ct.nii.gz", ct_array(), affine)
    main(["convert", str(tmp_path / "ct.nii.gz"), str(tmp_path / "b.nii.gz"), "--rectify"])
    found = read_volume(tmp_path / "b.nii.gz")
    assert found.array.dtype == np.int16
    assert (found.array.min(), found.array.max() <= ct_array().max()) == (ct_array().min(), True)
