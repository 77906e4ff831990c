"""Submitted labels as a data list: a file as it is where it has the model's values, else a renumbered copy."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from monai_cl.data import fold_items, load_data_list
from monai_cl.data.io.reading import read_volume
from monai_cl.errors import UserError
from monai_cl.serving.labelled_scans import labelled_scan, write_list
from tests.data.volume_files import affine_of, rotated, write_dicom, write_itk

AFFINE = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, -7], [0, 0, 3, 11], [0, 0, 0, 1]])


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, AFFINE), path)
    return path


@pytest.fixture
def image(tmp_path):
    return write(tmp_path / "studies" / "a.nii.gz", np.zeros((6, 5, 4), np.int16))


@pytest.fixture
def label(tmp_path):
    return write(
        tmp_path / "studies" / "labels" / "final" / "a.nii.gz", (np.arange(120).reshape(6, 5, 4) % 3).astype(np.uint8)
    )


def scan(image, label, tmp_path, info):
    return labelled_scan("a", image, label, label_info=info, organs=["spleen", "liver"], folder=tmp_path / "copies")


def test_a_label_of_the_models_values_is_used_as_it_is(image, label, tmp_path):
    found = scan(image, label, tmp_path, [{"name": "spleen", "idx": 1}, {"name": "liver", "idx": 2}])
    assert found == {"id": "a", "image": str(image), "label": str(label)}
    assert not (tmp_path / "copies").exists()


def test_another_numbering_is_brought_in_line_in_a_copy(image, label, tmp_path):
    found = scan(image, label, tmp_path, [{"name": "liver", "idx": 1}, {"name": "vessel", "idx": 2}])
    before, after = nib.load(label), nib.load(found["label"])
    expected = np.where(before.get_fdata() == 1, 2, 0)
    np.testing.assert_array_equal(after.get_fdata(), expected)
    np.testing.assert_allclose(after.affine, before.affine, atol=1e-5)


def test_a_copy_keeps_the_grid_of_a_label_in_another_format(image, tmp_path):
    found = write_itk(tmp_path / "label.nrrd", np.full((6, 5, 4), 1, np.uint8), rotated(affine_of("LAS"), (5, 0, 10)))
    copy = scan(image, found, tmp_path, [{"name": "liver", "idx": 1}])["label"]
    np.testing.assert_allclose(nib.load(copy).affine, read_volume(found).affine, atol=1e-5)
    np.testing.assert_array_equal(nib.load(copy).get_fdata(), 2)


def test_what_is_not_a_label_is_refused_by_name(image, tmp_path):
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"broken\.nii\.gz: expected a NIfTI header, found other bytes"):
        scan(image, broken, tmp_path, None)


def test_a_sibling_with_the_shorter_name_is_not_taken(image, label, tmp_path):
    write(label.with_suffix(""), np.full((6, 5, 4), 1, np.uint8))
    found = scan(image, label, tmp_path, [{"name": "liver", "idx": 1}, {"name": "vessel", "idx": 2}])
    np.testing.assert_array_equal(
        nib.load(found["label"]).get_fdata(), np.where(nib.load(label).get_fdata() == 1, 2, 0)
    )


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd"])
def test_a_label_of_several_components_is_refused(image, tmp_path, name):
    path = tmp_path / "labels" / name
    path.parent.mkdir()
    vectors = sitk.GetImageFromArray(np.ones((4, 5, 6, 3), np.uint8), isVector=True)
    sitk.WriteImage(vectors, str(path))
    with pytest.raises(UserError, match=rf"{name}: expected (a 3D volume|one value per voxel), found"):
        scan(image, path, tmp_path, None)


def test_a_label_of_fractions_is_refused(image, tmp_path):
    path = write(tmp_path / "labels" / "a.nii.gz", np.full((6, 5, 4), 0.4, np.float32))
    with pytest.raises(UserError, match=r"a\.nii\.gz: expected integer label values, found 0\.4; give"):
        scan(image, path, tmp_path, None)


def test_the_list_gives_its_items_back(image, label, tmp_path):
    image_b = write(tmp_path / "studies" / "b.nii.gz", np.zeros((6, 5, 4), np.int16))
    label_b = write(tmp_path / "elsewhere" / "b.nii.gz", np.zeros((6, 5, 4), np.uint8))
    training = [{"id": "a", "image": str(image), "label": str(label)}]
    validation = [{"id": "b", "image": str(image_b), "label": str(label_b)}]
    root = write_list(tmp_path / "list.json", training, validation, organs=["spleen", "liver"])
    found = load_data_list(tmp_path / "list.json", data_root=root)
    assert found.labels == {0: "background", 1: "spleen", 2: "liver"}
    for split, items in (("training", training), ("validation", validation)):
        kept = fold_items(found, fold=None, split=split)
        assert [{key: str(item[key]) for key in ("id", "image", "label")} for item in kept] == items


def test_what_the_scans_are_goes_into_the_list(image, label, tmp_path):
    training = [{"id": "a", "image": str(image), "label": str(label)}]
    series = write_dicom(tmp_path / "studies" / "ct", np.zeros((6, 5, 4), np.int16), [0.0, 2.0, 4.0, 6.0])
    training.append({"id": "b", "image": str(series), "label": str(label)})
    root = write_list(tmp_path / "list.json", training, [], organs=["spleen"], modality="MR")
    items = load_data_list(tmp_path / "list.json", data_root=root).items()
    assert [item["modality"] for item in items] == ["MR", "CT"]  # what a DICOM header states counts


def test_a_single_label_needs_no_validation(image, label, tmp_path):
    training = [{"id": "a", "image": str(image), "label": str(label)}]
    root = write_list(tmp_path / "list.json", training, [], organs=["spleen", "liver"])
    assert len(fold_items(load_data_list(tmp_path / "list.json", data_root=root), fold=None)) == 1
