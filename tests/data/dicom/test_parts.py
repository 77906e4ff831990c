"""Several acquisitions under one Series Instance UID are named with their counts; one is chosen, none are mixed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monai_cl.data.dicom.parts import choose_part, part_names
from monai_cl.data.dicom.series import read_dicom_series, series_grid
from monai_cl.data.io.ct_reader import CTReader
from monai_cl.errors import UserError
from tests.data.dicom.multi_frame import enhanced, pydicom
from tests.data.volume_files import ct_array, write_dicom

Z = np.arange(6) * 2.0
FIRST, SECOND = ct_array((8, 6, 6)) // 2 * 2, ct_array((8, 6, 6), seed=1) // 2 * 2


def two_passes(folder: Path, tags, *, positions=(Z, Z)) -> Path:
    """Two stacks in one series; ``tags`` gives a slice's attributes by its pass and its number."""
    for number, (array, z) in enumerate(zip((FIRST, SECOND), positions, strict=True)):
        own = write_dicom(folder.parent / f"pass{number}", array[..., : len(z)], z, prefix=f"pass{number}_")
        for file in own.iterdir():
            header = pydicom.dcmread(file)
            index = int(np.argmin(np.abs(z - header.ImagePositionPatient[2])))
            for name, value in tags(number, index).items():
                setattr(header, name, value)
            folder.mkdir(exist_ok=True)
            header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = f"1.2.9.{number}.{index}"
            header.save_as(folder / file.name)
    return folder


TELLING = {
    "AcquisitionNumber": lambda p, n: {"AcquisitionNumber": p + 1, "ContentTime": f"1200{p}0"},
    "TemporalPositionIdentifier": lambda p, n: {"AcquisitionNumber": 1, "TemporalPositionIdentifier": p + 1},
    "NominalPercentageOfCardiacPhase": lambda p, n: {"NominalPercentageOfCardiacPhase": 40.0 * p},
    "EchoNumbers": lambda p, n: {"EchoNumbers": p + 1},
    "ConvolutionKernel": lambda p, n: {"ConvolutionKernel": ["B30f", "B70f"][p], "AcquisitionNumber": 1},
    "EchoTime": lambda p, n: {"EchoTime": 2.5 * (p + 1)},
    "KVP": lambda p, n: {"KVP": [100, 140][p], "AcquisitionNumber": n},
    "ImageType": lambda p, n: {"ImageType": ["DERIVED", "PRIMARY", ["FAT", "WATER"][p]]},
    "AcquisitionTime": lambda p, n: {"AcquisitionTime": f"12{p:02d}{n:02d}.5"},
    "ContentTime": lambda p, n: {"ContentTime": f"12{p:02d}{n:02d}"},
    "AcquisitionDateTime": lambda p, n: {"AcquisitionDateTime": f"202001011{p}{n:02d}00"},
    "AcquisitionDate": lambda p, n: {"AcquisitionDate": f"2020010{p + 1}", "AcquisitionTime": f"12{n:02d}00"},
    "SeriesNumber": lambda p, n: {"SeriesNumber": p + 1},
    "SeriesDescription": lambda p, n: {"SeriesDescription": ["arterial", "venous"][p]},
    "ContrastBolusAgent": lambda p, n: {} if p else {"ContrastBolusAgent": "Iomeron"},
    "FlipAngle": lambda p, n: {"FlipAngle": 10 + 5 * p},
    "InversionTime": lambda p, n: {"InversionTime": 100 + 5 * p},
    "ImageComments": lambda p, n: {"ImageComments": f"phase {p}0 %"},
}


@pytest.mark.parametrize("keyword", TELLING)
def test_what_tells_them_apart_is_named_and_either_can_be_read(tmp_path, keyword):
    folder = two_passes(tmp_path / "ct", TELLING[keyword])
    for uneven_slices in ("error", "interpolate"):
        with pytest.raises(UserError, match=rf"found 2: {keyword}=.* \(6 slices\), {keyword}=.* \(6 slices\); choose"):
            read_dicom_series(folder, uneven_slices=uneven_slices)
    with pytest.raises(UserError) as caught:
        series_grid(folder)
    assert "interpolate" not in str(caught.value)
    names = sorted(text.split(" (6 slices)")[0] for text in str(caught.value).split("found 2: ")[1].split(", "))
    names = [name for name in names if name.startswith(keyword)]
    for name, expected in zip(names, (FIRST, SECOND), strict=True):
        array, affine = read_dicom_series(folder, series_part=name)
        np.testing.assert_array_equal(array, expected)
        np.testing.assert_array_equal(CTReader(series_part=name).get_data([folder])[0], expected)
        np.testing.assert_allclose(affine[:3, 2], [0, 0, 2])


def test_slices_between_those_of_another_acquisition_are_not_one_volume(tmp_path):
    folder = two_passes(tmp_path / "ct", TELLING["AcquisitionNumber"], positions=(Z, Z + 1))
    with pytest.raises(UserError, match=r"AcquisitionNumber=1 \(6 slices\), AcquisitionNumber=2 \(6 slices\)"):
        read_dicom_series(folder)
    np.testing.assert_array_equal(read_dicom_series(folder, series_part="AcquisitionNumber=2")[0], SECOND)


@pytest.mark.parametrize("keyword", ["KVP", "ImageType", "SeriesDescription"])
def test_slices_between_those_of_another_kind_of_image_are_not_one_volume(tmp_path, keyword):
    folder = two_passes(tmp_path / "ct", TELLING[keyword], positions=(Z, Z + 1))
    for options in ({}, {"uneven_slices": "interpolate"}):
        with pytest.raises(UserError, match=rf"found 2: {keyword}=.* \(6 slices\), {keyword}=.* \(6 slices\)"):
            read_dicom_series(folder, **options)


def test_two_slices_that_differ_among_others_are_no_acquisition():
    tags = [{"ImageType": "DERIVED" if n in (2, 4) else "ORIGINAL"} for n in range(6)]
    assert part_names(tags, Z) is None


def test_slices_acquired_in_turn_are_one_volume():
    tags = [{"AcquisitionTime": f"12{n % 2}{n:02d}"} for n in range(6)]
    assert part_names(tags, Z) is None


def test_acquisitions_one_above_the_other_are_one_volume(tmp_path):
    folder = two_passes(tmp_path / "ct", TELLING["AcquisitionNumber"], positions=(Z, Z + 12))
    np.testing.assert_array_equal(read_dicom_series(folder)[0], np.concatenate([FIRST, SECOND], axis=2))


def test_acquisitions_that_overlap_in_part_are_named_with_their_counts(tmp_path):
    folder = two_passes(tmp_path / "ct", TELLING["AcquisitionNumber"], positions=(Z, Z[:4] + 6))
    with pytest.raises(UserError, match=r"AcquisitionNumber=1 \(6 slices\), AcquisitionNumber=2 \(4 slices\)"):
        read_dicom_series(folder)


def test_rotations_of_two_passes_are_two_acquisitions():
    tags = [{"AcquisitionNumber": str(6 * p + n // 2 + 1)} for p in range(2) for n in range(6)]
    assert part_names(tags, np.tile(Z, 2)) == ["AcquisitionNumber=1..3"] * 6 + ["AcquisitionNumber=7..9"] * 6


def test_two_attributes_tell_four_acquisitions_apart_and_one_of_them_is_not_enough():
    tags = [{"AcquisitionNumber": a, "ConvolutionKernel": k} for a in "12" for k in ("soft", "bone") for _ in Z]
    positions = np.tile(Z, 4)
    with pytest.raises(UserError, match=r"found 4: AcquisitionNumber=1,ConvolutionKernel=bone \(6 slices\)"):
        choose_part(Path("s"), tags, positions, None)
    with pytest.raises(UserError, match=r"found 2: ConvolutionKernel=bone \(6 slices\), ConvolutionKernel=soft"):
        choose_part(Path("s"), tags, positions, "AcquisitionNumber=2")
    chosen = choose_part(Path("s"), tags, positions, "AcquisitionNumber=2,ConvolutionKernel=soft")
    np.testing.assert_array_equal(chosen, np.arange(12, 18))


def test_what_differs_from_slice_to_slice_tells_nothing_apart():
    tags = [{"AcquisitionNumber": str(n), "ContentTime": f"12{n:04d}", "EchoTime": str(n)} for n in range(6)]
    assert part_names(tags, Z) is None


def test_a_part_that_is_not_there_is_an_error(tmp_path):
    folder = two_passes(tmp_path / "ct", TELLING["AcquisitionNumber"])
    with pytest.raises(
        UserError, match=r"with series_part AcquisitionNumber=3, found AcquisitionNumber=1 \(6 slices\)"
    ):
        read_dicom_series(folder, series_part="AcquisitionNumber=3")
    alone = write_dicom(tmp_path / "alone", FIRST, Z)
    with pytest.raises(UserError, match="found one part only, in which no slice has it"):
        read_dicom_series(alone, series_part="AcquisitionNumber=3")


def test_repeated_slices_that_differ_and_say_nothing_are_never_dropped(tmp_path):
    folder = two_passes(tmp_path / "ct", lambda p, n: {}, positions=(Z, Z[:1]))
    with pytest.raises(UserError, match=r"at the same position 0\.000 mm"):
        read_dicom_series(folder)
    with pytest.raises(UserError, match=r"interpolate\", which drops those of the same voxels$"):
        read_dicom_series(folder)
    with pytest.raises(UserError, match=r"pass\d_\d+\.dcm and pass\d_\d+\.dcm with other voxels"):
        read_dicom_series(folder, uneven_slices="interpolate")


@pytest.mark.parametrize(
    ("sequence", "keyword", "values"),
    [
        ("FrameContentSequence", "FrameAcquisitionNumber", (1, 2)),
        ("FrameContentSequence", "StackID", ("1", "2")),
        ("ContrastBolusUsageSequence", "ContrastBolusAgentAdministered", ("NO", "YES")),
    ],
)
def test_frames_of_two_acquisitions_are_distinguished(tmp_path, sequence, keyword, values):
    folder = write_dicom(tmp_path / "ct", np.concatenate([FIRST, SECOND], axis=2), np.arange(12) * 2.0)
    file = enhanced(folder, tmp_path / "whole.dcm", positions=[*Z, *Z])
    header = pydicom.dcmread(file)
    for number, frame in enumerate(header.PerFrameFunctionalGroupsSequence):
        if sequence not in frame:
            setattr(frame, sequence, [pydicom.Dataset()])
        setattr(frame[sequence].value[0], keyword, values[number // 6])
    header.save_as(file)
    first, second = (f"{keyword}={value}" for value in values)
    with pytest.raises(UserError, match=rf"found 2: {first} \(6 frames\), {second} \(6 frames\)"):
        read_dicom_series(file)
    for part, expected in ((first, FIRST), (second, SECOND)):
        array, affine = read_dicom_series(file, series_part=part)
        np.testing.assert_array_equal(array, expected)
        np.testing.assert_allclose(affine[:3, 2], [0, 0, 2])


@pytest.mark.parametrize("number", [1, 2])
def test_a_segmentation_refers_to_the_slices_of_the_chosen_acquisition(tmp_path, number):
    from monai_cl.data.dicom.seg import write_dicom_seg
    from monai_cl.data.dicom.seg_reader import read_dicom_seg

    folder = two_passes(tmp_path / "ct", TELLING["AcquisitionNumber"])
    part = f"AcquisitionNumber={number}"
    affine = read_dicom_series(folder, series_part=part)[1]
    labels = np.zeros((8, 6, 6), np.uint8)
    labels[2:5, 1:4, 2:4] = 1
    with pytest.raises(UserError, match="expected one acquisition in the series"):
        write_dicom_seg(tmp_path / "s.dcm", labels, affine, source=folder, organs=["liver"])
    write_dicom_seg(tmp_path / "s.dcm", labels, affine, source=folder, organs=["liver"], series_part=part)
    np.testing.assert_array_equal(read_dicom_seg(tmp_path / "s.dcm", source=folder, series_part=part)[0], labels)
    referred = {
        item.ReferencedSOPInstanceUID
        for item in pydicom.dcmread(tmp_path / "s.dcm").ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    own = [pydicom.dcmread(file) for file in folder.glob(f"pass{number - 1}_*")]
    assert referred <= {header.SOPInstanceUID for header in own}
    assert referred
