"""Which slices are kept, and where along the body they lie."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cl.data.slices.choice import central_fraction, choose_slices, slice_depths, slices_with
from monai_cl.data.store.conversion import Preparation
from monai_cl.data.store.preparation import prepare
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, write_nifti


def prepared(tmp_path, label, *, codes="RAS", name="a", spacing=(0.7, 0.9, 2.5)):
    """A store with one volume and its key; ``label`` is in the file's own order."""
    affine = affine_of(codes, spacing)
    item = {
        "image": str(write_nifti(tmp_path / f"{name}_image.nii.gz", ct_array(label.shape), affine)),
        "label": str(write_nifti(tmp_path / f"{name}_label.nii.gz", label, affine)),
        "patient": f"patient {name}",
    }
    result = prepare([item], tmp_path / "store", Preparation(spacing=None, layout="slices"), progress=False)
    return result.store, result.keys[0]


@pytest.mark.parametrize(
    ("count", "fraction", "expected"),
    [(10, 0.7, range(1, 8)), (20, 0.7, range(3, 17)), (1, 0.7, [0]), (3, 0.1, [1]), (7, 1.0, range(7))],
)
def test_the_middle_is_kept(count, fraction, expected):
    assert central_fraction(np.arange(count), fraction).tolist() == list(expected)


def test_the_middle_is_of_the_given_slices_not_of_their_range():
    kept = central_fraction([0, 50, 51, 52, 53, 54, 55, 56, 57, 58], 0.7)
    assert kept.tolist() == [50, 51, 52, 53, 54, 55, 56]


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, np.nan])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match=r"fraction must be in \(0, 1\], got"):
        central_fraction([1, 2], fraction)


def test_nothing_to_choose_from_is_refused():
    with pytest.raises(ValueError, match="at least one index"):
        central_fraction([])


def test_depth_rises_from_feet_to_head_whatever_the_storage_order():
    up, down = affine_of("RAS"), affine_of("LPI")
    np.testing.assert_allclose(slice_depths(up, 4), [0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(slice_depths(down, 4), slice_depths(up, 4)[::-1])


def test_one_level_of_the_body_has_one_depth_in_thick_and_thin_slices():
    thick = slice_depths(affine_of("RAS", (1, 1, 10)), 8)
    thin = slice_depths(affine_of("RAS", (1, 1, 2)), 40)
    np.testing.assert_allclose(thick, thin[2::5])


def test_a_single_slice_lies_in_the_middle():
    assert slice_depths(np.eye(4), 1) == [0.5]


def test_slices_that_do_not_run_along_the_body_are_refused():
    with pytest.raises(ValueError, match="slices along the body axis"):
        slice_depths(np.diag([1, 1, 0, 1]), 3)


@pytest.mark.parametrize("codes", ["RAS", "LPI", "LPS"])
def test_slices_of_the_liver_are_found_in_every_storage_order(tmp_path, codes):
    label = np.zeros((12, 10, 20), np.uint8)
    label[3:6, 2:5, 4:14] = 5  # in file order
    store, key = prepared(tmp_path, label, codes=codes)
    first = 4 if codes.endswith("S") else 6
    assert slices_with(store, key, 5).tolist() == list(range(first, first + 10))
    assert choose_slices(store, key, label=5).tolist() == list(range(first + 1, first + 8))


def test_every_slice_of_a_large_organ_is_found_and_remembered(tmp_path, monkeypatch):
    label = np.zeros((64, 64, 30), np.uint8)
    label[2:-2, 2:-2, 5:25] = 1  # more voxels than the store keeps coordinates of
    label[7, 9, 28] = 1  # and a speck of one voxel that they miss
    label[..., 12] = 0
    store, key = prepared(tmp_path, label)
    expected = [z for z in range(30) if (label[..., z] == 1).any()]
    assert slices_with(store, key, 1).tolist() == expected
    monkeypatch.setattr(type(store), "read", lambda *_, **__: pytest.fail("read again"))
    assert slices_with(store, key, 1).tolist() == expected


def test_a_damaged_note_is_made_again(tmp_path):
    label = np.zeros((64, 64, 30), np.uint8)
    label[2:-2, 2:-2, 5:25] = 1
    store, key = prepared(tmp_path, label)
    expected = slices_with(store, key, 1).tolist()
    (note,) = (store.root / ".slices").iterdir()
    note.write_text('[1, "')
    assert slices_with(store, key, 1).tolist() == expected


def test_the_notes_are_not_entries_of_the_store(tmp_path):
    label = np.zeros((64, 64, 30), np.uint8)
    label[2:-2, 2:-2, 5:25] = 1
    store, key = prepared(tmp_path, label)
    slices_with(store, key, 1)
    assert store.all_keys() == [key]
    assert store.verify() == []


def test_without_a_mask_the_middle_of_the_volume_counts(tmp_path):
    label = np.zeros((8, 8, 10), np.uint8)
    label[2, 2, 8] = 1
    store, key = prepared(tmp_path, label)
    assert choose_slices(store, key).tolist() == list(range(1, 8))
    assert choose_slices(store, key, label=1).tolist() == [8]


def test_a_mask_without_liver_names_patient_and_file(tmp_path):
    label = np.zeros((8, 8, 10), np.uint8)
    label[2, 2, 8] = 3
    store, key = prepared(tmp_path, label)
    with pytest.raises(UserError, match=r"patient patient a: .*a_label.nii.gz: expected label 1 .* found \[3\]"):
        choose_slices(store, key, label=1)
