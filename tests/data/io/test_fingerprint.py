"""One scan has one fingerprint, however it is stored; another scan has another."""

from __future__ import annotations

import itertools
import struct

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monai_cl.data.io.fingerprint import is_fingerprint, scan_fingerprint
from monai_cl.data.io.reading import Volume, read_volume
from tests.data.volume_files import affine_of, ct_array, write_dicom_on, write_itk, write_nifti

# even, as write_dicom stores them
SCAN = (ct_array((9, 8, 6)) // 2 * 2).astype(np.int16)
AFFINE = affine_of("RAS")
ORIENTATIONS = [
    "".join(codes) for axes in itertools.permutations(("LR", "PA", "IS")) for codes in itertools.product(*axes)
]
TYPES = ("int16", "int32", "int64", "float32", "float64")


def turned(codes: str) -> tuple[np.ndarray, np.ndarray]:
    """`SCAN` with its axes pointing to ``codes``, and the affine that says so."""
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes))
    affine = AFFINE @ nib.orientations.inv_ornt_aff(turn, SCAN.shape)
    return np.ascontiguousarray(nib.apply_orientation(SCAN, turn)), affine


WANTED = scan_fingerprint(Volume(SCAN, AFFINE))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    codes=st.sampled_from(ORIENTATIONS),
    dtype=st.sampled_from(TYPES),
    ending=st.sampled_from([".nii", ".nii.gz", ".nrrd", ".mha", "dicom"]),
    noise=st.sampled_from([0.0, 0.3, -0.3]),
)
def test_any_orientation_type_and_format_of_a_scan_has_its_fingerprint(tmp_path_factory, codes, dtype, ending, noise):
    folder = tmp_path_factory.mktemp("one")
    array, affine = turned(codes)
    array = array.astype(dtype)
    if array.dtype.kind == "f" and ending != "dicom":
        array = array + array.dtype.type(noise)  # a scaled copy: HU are rounded
    if ending == "dicom":
        path = write_dicom_on(folder / "series", array, affine)
    elif ending in (".nrrd", ".mha"):
        path = write_itk(folder / f"scan{ending}", array, affine)
    else:
        # int64 is not what nibabel writes without being told
        path = write_nifti(folder / f"scan{ending}", array.astype("int32") if dtype == "int64" else array, affine)
    assert scan_fingerprint(read_volume(path)) == WANTED


@settings(max_examples=60, deadline=None)
@given(
    place=st.tuples(*[st.integers(0, size - 1) for size in SCAN.shape]),
    change=st.integers(-500, 500).filter(bool),
)
def test_one_changed_voxel_is_another_scan(place, change):
    other = SCAN.copy()
    other[place] += change
    assert scan_fingerprint(Volume(other, AFFINE)) != WANTED


def test_scaled_integers_are_compared_in_hu(tmp_path):
    path = write_nifti(tmp_path / "scaled.nii", (SCAN + 24) // 2, AFFINE)
    raw = bytearray(path.read_bytes())
    raw[112:120] = struct.pack("<ff", 2.0, -24.0)  # scl_slope, scl_inter
    path.write_bytes(raw)
    assert nib.load(path).dataobj.slope == 2.0
    assert scan_fingerprint(read_volume(path)) == WANTED


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_images_of_fractions_are_told_apart(dtype):
    """An MR scaled to [0, 1], which rounding to integers would leave empty."""
    image = np.random.default_rng(0).random((5, 4, 3)).astype(np.float32)
    other = image.copy()
    other[2, 2, 1] += 0.01
    first, second = (scan_fingerprint(Volume(array.astype(dtype), AFFINE)) for array in (image, other))
    assert first != second
    assert first == scan_fingerprint(Volume(image, AFFINE))


def test_the_fingerprint_says_the_shape_and_ignores_spacing_and_origin():
    assert WANTED.startswith("9x8x6:")
    assert is_fingerprint(WANTED)
    moved = affine_of("RAS", spacing=(1, 1, 5), origin=(0, 0, 0))
    assert scan_fingerprint(Volume(SCAN, moved)) == WANTED


def test_the_same_values_in_another_shape_are_another_scan():
    flat = SCAN.reshape(8, 9, 6)
    assert scan_fingerprint(Volume(flat, AFFINE)).split(":")[0] == "8x9x6"
    # a row more of the same bytes would be the same hash without the shape
    assert scan_fingerprint(Volume(np.zeros((4, 2, 1), np.int16), AFFINE)) != scan_fingerprint(
        Volume(np.zeros((2, 4, 1), np.int16), AFFINE)
    )


@pytest.mark.parametrize(("values", "same_as"), [([40000.0, np.inf], [32767, 32767]), ([np.nan, 200.4], [0, 200])])
def test_what_int16_cannot_hold_is_clipped_as_in_the_store(values, same_as):
    found = scan_fingerprint(Volume(np.array(values, np.float32).reshape(2, 1, 1), AFFINE))
    assert found == scan_fingerprint(Volume(np.array(same_as, np.int16).reshape(2, 1, 1), AFFINE))


@pytest.mark.parametrize("text", [None, "", "9x8x6", "9x8x6:" + "g" * 32, "9x8:" + "a" * 32, 7])
def test_other_texts_are_no_fingerprints(text):
    assert not is_fingerprint(text)
