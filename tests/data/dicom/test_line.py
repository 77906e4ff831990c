"""Slices lie on one line, by all three coordinates: a tilt is kept, a jump is refused with its slice and its mm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monai_cl.data.dicom.series import read_dicom_series, series_grid
from monai_cl.data.dicom.spacing import check_line
from monai_cl.errors import UserError
from tests.data.volume_files import ct_array, write_dicom

Z = np.arange(20) * 4.0 - 50


def check(offsets: np.ndarray, z: np.ndarray = Z, pixel: float = 1.0) -> None:
    """``offsets`` (n, 2) are the slices' x and y, mm."""
    origins = np.column_stack([offsets, z])
    check_line(Path("series"), [f"s{n:03d}" for n in range(len(z))], origins, z, pixel=pixel)


def across(x=0.0, y=0.0) -> np.ndarray:
    return np.column_stack([np.broadcast_to(x, Z.shape), np.broadcast_to(y, Z.shape)]).astype(float)


@pytest.mark.parametrize("offsets", [across(7, -3), across(0.3 * Z, 5), across(0.1 * Z, -0.25 * Z)])
def test_a_tilt_in_any_direction_is_a_line(offsets):
    check(offsets)
    check(np.round(offsets, 1))  # as scanners round


def test_a_tilt_over_uneven_steps_is_a_line():
    z = np.concatenate([np.arange(10) * 2.5, 25 + np.arange(10) * 7.5])
    check(np.column_stack([0.2 * z, 0 * z]), z)


@pytest.mark.parametrize("tilt", [0.0, 0.3])
@pytest.mark.parametrize("jump", [(12, 0), (0, -12), (0.5, 0.5), (-300, 400)])
@pytest.mark.parametrize("at", [1, 10, 19])
def test_a_jump_is_refused_with_its_slice_and_its_length(tilt, jump, at):
    offsets = across(0, tilt * Z)
    offsets[at:] += jump
    length = f"{np.hypot(*jump):.3f}"
    with pytest.raises(UserError, match=rf"found s{at:03d} moved by {length} mm sideways against s{at - 1:03d}; "):
        check(offsets)


def test_one_slice_beside_the_others_is_refused():
    offsets = across(2, 3)
    offsets[7] += (0, 1)
    with pytest.raises(UserError, match=r"found s007 moved by 1\.000 mm sideways against s006"):
        check(offsets)


def test_a_stack_that_bends_little_by_little_is_refused():
    with pytest.raises(UserError, match=r"found s0(09|10) \d\.\d{3} mm beside it"):
        check(across(0.0003 * (Z - Z[0]) ** 2))


def test_small_pixels_allow_less():
    offsets = across()
    offsets[10:] += (0.1, 0)
    check(offsets)
    with pytest.raises(UserError, match=r"moved by 0\.100 mm"):
        check(offsets, pixel=0.1)


def test_it_is_the_same_for_slices_on_disk_and_interpolation_does_not_help(tmp_path):
    folder = write_dicom(tmp_path / "ct", ct_array((8, 6, 5)), Z[:5])
    write_dicom(folder, ct_array((8, 6, 5)), Z[5:10], prefix="b", shift_per_mm=0.5, uid="1.2.3.4")
    for read in (
        read_dicom_series,
        lambda path: read_dicom_series(path, uneven_slices="interpolate"),
        series_grid,
    ):
        with pytest.raises(UserError, match=r"expected slices along one line, found b\d+\.dcm moved by \d+\.\d{3} mm"):
            read(folder)


def test_steps_that_differ_little_but_add_up_are_uneven(tmp_path):
    z = np.concatenate([np.arange(10) * 1.0, 10 + np.arange(10) * 1.1])
    folder = write_dicom(tmp_path / "ct", ct_array((8, 6, 20)), z)
    with pytest.raises(UserError, match=r"slice\d+\.dcm 0\.\d{3} mm from where equal steps would put it \(uneven\)"):
        read_dicom_series(folder)
