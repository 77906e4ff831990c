"""What a DICOM header states is read; what it leaves out is refused by name, whatever GDCM and ITK put in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from monai_cl.data.dicom.series import read_dicom_series, series_grid
from monai_cl.data.io.ct_reader import CTReader
from monai_cl.errors import UserError
from tests.data.dicom.multi_frame import enhanced
from tests.data.volume_files import ct_array, write_dicom

pydicom = pytest.importorskip("pydicom", reason='the extra "dicom" is not installed')

ARRAY = ct_array((8, 6, 4)) // 2 * 2
POSITIONS = np.array([10.0, 12, 14, 16])
TURNED = [0.8, 0.6, 0, -0.6, 0.8, 0]


def change(folder: Path, edit: Callable[[pydicom.Dataset, int], None]) -> Path:
    """The headers of a series edited, in the order of their positions."""
    files = [(file, pydicom.dcmread(file)) for file in folder.iterdir()]
    for number, (file, header) in enumerate(sorted(files, key=lambda pair: pair[1].ImagePositionPatient[2])):
        edit(header, number)
        header.save_as(file)
    return folder


def series(folder: Path, edit: Callable[[pydicom.Dataset, int], None], count: int = 4) -> Path:
    return change(write_dicom(folder, ARRAY[..., :count], POSITIONS[:count]), edit)


def by_hand(folder: Path) -> np.ndarray:
    """The affine (4, 4) of a series from two headers, LPS to RAS."""
    headers = sorted((pydicom.dcmread(file) for file in folder.iterdir()), key=lambda h: h.ImagePositionPatient[2])
    first, last = headers[0], headers[-1]
    rows, columns = map(float, first.PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.ImageOrientationPatient[:3], float) * columns
    affine[:3, 1] = np.array(first.ImageOrientationPatient[3:], float) * rows
    start, end = (np.array(h.ImagePositionPatient, float) for h in (first, last))
    affine[:3, 2] = (end - start) / (len(headers) - 1) if len(headers) > 1 else [0, 0, float(first.SliceThickness)]
    affine[:3, 3] = start
    return np.diag([-1, -1, 1, 1]) @ affine


def test_the_grid_is_that_of_the_headers(tmp_path):
    def edit(header, number):
        header.ImageOrientationPatient = TURNED
        header.PixelSpacing = [0.7, 1.1]

    folder = series(tmp_path / "ct", edit)
    np.testing.assert_allclose(read_dicom_series(folder)[1], by_hand(folder), atol=1e-9)
    np.testing.assert_allclose(series_grid(folder).affine, by_hand(folder), atol=1e-9)


@pytest.mark.parametrize("as_text", ["absent", "empty"])
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize(
    "name",
    ["PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "RescaleSlope", "RescaleIntercept"],
)
def test_an_attribute_of_geometry_or_hu_that_is_absent_is_refused_by_name(tmp_path, name, count, as_text):
    victim = count // 2

    def edit(header, number):
        header.SliceThickness = 2
        if number == victim and as_text == "empty":
            setattr(header, name, None)
        elif number == victim:
            delattr(header, name)

    folder = series(tmp_path / "ct", edit, count)
    for read in (read_dicom_series, series_grid, lambda path: CTReader().get_data([path])):
        with pytest.raises(UserError, match=rf"slice00\d\.dcm: expected .* as {name}, found none"):
            read(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PixelSpacing", [0, 1]),
        ("PixelSpacing", [1]),
        ("ImageOrientationPatient", [1, 0, 0, 0, 2, 0]),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]),
        ("ImageOrientationPatient", [0, 0, 0, 0, 0, 0]),
        ("ImagePositionPatient", [1, 2]),
    ],
)
def test_an_attribute_of_geometry_that_cannot_be_is_refused_by_name(tmp_path, name, value):
    folder = series(tmp_path / "ct", lambda header, number: header.__setattr__(name, value))
    with pytest.raises(UserError, match=rf"slice00\d\.dcm: expected .* as {name}, found"):
        read_dicom_series(folder)


def test_values_that_are_not_hu_are_refused_by_their_type(tmp_path):
    folder = series(tmp_path / "ct", lambda header, number: header.__setattr__("RescaleType", "Z_EFF"))
    with pytest.raises(UserError, match="expected CT in HU, found RescaleType Z_EFF"):
        read_dicom_series(folder)


@pytest.mark.parametrize("name", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("modality", ["OT", "", None])
def test_ct_is_known_by_its_kind_of_object_too(tmp_path, name, modality):
    def edit(header, number):
        header.Modality = modality
        delattr(header, name)
        if modality is None:
            del header.Modality

    with pytest.raises(UserError, match=rf"expected a number as {name}, found none"):
        read_dicom_series(series(tmp_path / "ct", edit))


def test_values_that_gdcm_would_turn_upside_down_are_refused(tmp_path):
    folder = series(
        tmp_path / "ct", lambda header, number: header.__setattr__("PhotometricInterpretation", "MONOCHROME1")
    )
    for read in (read_dicom_series, series_grid):
        with pytest.raises(UserError, match=r"expected MONOCHROME2 as PhotometricInterpretation, found MONOCHROME1"):
            read(folder)


@pytest.mark.parametrize("name", ["PatientID", "StudyInstanceUID", "FrameOfReferenceUID"])
def test_slices_of_two_patients_studies_or_frames_of_reference_are_not_one_volume(tmp_path, name):
    folder = series(tmp_path / "ct", lambda header, number: header.__setattr__(name, f"1.2.{number // 2}"))
    for options in ({}, {"uneven_slices": "interpolate"}):
        with pytest.raises(UserError) as caught:
            read_dicom_series(folder, **options)
        assert f"expected slices of one {name}, found 2 in it (slice00" in str(caught.value)
        assert "1.2." not in str(caught.value)  # an id may be a name
    some = series(tmp_path / "some", lambda header, number: number and header.__setattr__(name, ""))
    np.testing.assert_array_equal(read_dicom_series(some)[0], ARRAY)


def test_mr_needs_no_rescaling(tmp_path):
    def edit(header, number):
        header.Modality = "MR"
        header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        del header.RescaleSlope, header.RescaleIntercept

    folder = series(tmp_path / "mr", edit)
    stored = pydicom.dcmread(min(folder.iterdir(), key=lambda f: pydicom.dcmread(f).ImagePositionPatient[2]))
    np.testing.assert_array_equal(read_dicom_series(folder)[0][..., 0], stored.pixel_array.T)


class TestASingleSlice:
    @pytest.mark.parametrize("spacing_too", [False, True])
    def test_it_is_as_deep_as_its_slice_thickness_and_that_is_said_once(self, tmp_path, caplog, spacing_too):
        def edit(header, number):
            header.SliceThickness = 5
            if spacing_too:
                header.SpacingBetweenSlices = 3

        folder = series(tmp_path / "ct", edit, 1)
        for _ in range(2):
            array, affine = read_dicom_series(folder)
        assert array.shape == (8, 6, 1)
        np.testing.assert_allclose(affine, by_hand(folder))
        (record,) = caplog.records
        assert record.getMessage().endswith("a single slice; its depth is taken from SliceThickness, 5 mm")

    @pytest.mark.parametrize("thickness", [None, 0, -1, "absent"])
    def test_without_a_depth_it_is_refused(self, tmp_path, thickness):
        def edit(header, number):
            for name in ("SliceThickness", "SpacingBetweenSlices"):
                setattr(header, name, None if thickness == "absent" else thickness)
                if thickness == "absent":
                    delattr(header, name)

        with pytest.raises(UserError, match=r"slice000\.dcm: expected a SliceThickness > 0 mm of a single slice"):
            read_dicom_series(series(tmp_path / "ct", edit, 1))


class TestFrames:
    def file(self, folder: Path, edit: Callable[[pydicom.Dataset], None], count: int = 4) -> Path:
        path = enhanced(write_dicom(folder / "ct", ARRAY[..., :count], POSITIONS[:count]), folder / "whole.dcm")
        header = pydicom.dcmread(path)
        edit(header)
        header.save_as(path)
        return path

    @pytest.mark.parametrize("name", ["RescaleSlope", "RescaleIntercept"])
    def test_ct_without_rescaling_is_refused(self, tmp_path, name):
        def edit(header):
            for groups in (header.SharedFunctionalGroupsSequence[0], *header.PerFrameFunctionalGroupsSequence):
                if "PixelValueTransformationSequence" in groups:
                    delattr(groups.PixelValueTransformationSequence[0], name)

        with pytest.raises(UserError, match=rf"whole\.dcm: expected a number as {name}, found none"):
            read_dicom_series(self.file(tmp_path, edit))

    def test_values_that_gdcm_would_turn_upside_down_are_refused(self, tmp_path):
        path = self.file(tmp_path, lambda header: header.__setattr__("PhotometricInterpretation", "MONOCHROME1"))
        with pytest.raises(UserError, match=r"whole\.dcm: expected MONOCHROME2 as PhotometricInterpretation"):
            read_dicom_series(path)

    @pytest.mark.parametrize("count", [3, 5])
    def test_a_number_of_frames_that_contradicts_them_is_refused_with_both(self, tmp_path, count):
        path = self.file(tmp_path, lambda header: header.__setattr__("NumberOfFrames", count))
        for read in (read_dicom_series, series_grid):
            with pytest.raises(
                UserError, match=rf"whole\.dcm: expected {count} frames as NumberOfFrames says, found .* 4"
            ):
                read(path)

    def test_a_jump_in_one_file_has_a_remedy_for_one_file(self, tmp_path):
        def edit(header):
            header.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0].ImagePositionPatient[0] += 12

        with pytest.raises(UserError, match=r"whole\.dcm: .* moved by 12.000 mm sideways .*; export the series again$"):
            read_dicom_series(self.file(tmp_path, edit))

    @pytest.mark.parametrize("thickness", [5, None])
    def test_a_single_frame_is_as_deep_as_its_slice_thickness(self, tmp_path, thickness):
        def edit(header):
            for groups in (header.SharedFunctionalGroupsSequence[0], *header.PerFrameFunctionalGroupsSequence):
                if "PixelMeasuresSequence" in groups:
                    groups.PixelMeasuresSequence[0].SliceThickness = thickness

        path = self.file(tmp_path, edit, 1)
        if thickness is None:
            with pytest.raises(UserError, match=r"whole\.dcm: expected a SliceThickness"):
                read_dicom_series(path)
            return
        array, affine = read_dicom_series(path)
        np.testing.assert_array_equal(array, ARRAY[..., :1])
        expected = np.diag([-0.8, -0.9, 5, 1])
        expected[:3, 3] = 5, -4, 10
        np.testing.assert_allclose(affine, expected)
