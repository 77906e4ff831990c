"""Segmentations as DICOM SEG: every voxel where it was, tied to its slice, in the series' frame of reference."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from monai_cl.data.dicom.organ_codes import organ_code
from monai_cl.data.dicom.seg import write_dicom_seg
from monai_cl.data.dicom.seg_reader import read_dicom_seg
from monai_cl.data.dicom.series import read_dicom_series, series_grid
from monai_cl.data.dicom.source import open_source
from monai_cl.data.io.reading import Volume, read_volume, to_ras
from monai_cl.errors import UserError
from tests.bundles.conftest import without_model
from tests.data.dicom.multi_frame import enhanced
from tests.data.volume_files import ct_array, label_array, write_dicom

pydicom = pytest.importorskip("pydicom", reason='the extra "dicom" is not installed')
hd = pytest.importorskip("highdicom", reason='the extra "dicom" is not installed')

POSITIONS = np.arange(10.0, 34.0, 2.0)
ORGANS = ["spleen", "right kidney", "liver tumour"]


def series(folder: Path, **options) -> tuple[Path, np.ndarray]:
    """A series of 12 slices and its affine."""
    folder = write_dicom(folder, ct_array(), POSITIONS, **options)
    return folder, series_grid(folder).affine


def change_headers(folder: Path, change: Callable[[pydicom.Dataset, int], object]) -> None:
    for number, file in enumerate(sorted(folder.iterdir())):
        header = pydicom.dcmread(file)
        change(header, number)
        header.save_as(file)


def by_hand(file: Path) -> dict[tuple[int, int, int, int], None]:
    """Segment number and LPS position (μm) of every voxel that is set, by the rules of the standard alone."""
    found = pydicom.dcmread(file)
    shared = found.SharedFunctionalGroupsSequence[0]
    points = {}
    for pixels, frame in zip(np.atleast_3d(found.pixel_array), found.PerFrameFunctionalGroupsSequence, strict=True):
        segment = frame.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence
        number = segment[0].ReferencedSegmentNumber
        origin = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        turn = (shared.get("PlaneOrientationSequence") or frame.PlaneOrientationSequence)[0].ImageOrientationPatient
        rows, columns = np.array(turn, dtype=float).reshape(2, 3)
        down, right = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
        for row, column in np.argwhere(pixels):
            point = origin + rows * right * column + columns * down * row
            points[(number, *(point * 1000).round().astype(int).tolist())] = None
    return points


def expected_points(labels: np.ndarray, affine: np.ndarray) -> dict[tuple[int, int, int, int], None]:
    voxels = np.argwhere(labels)
    world = (affine @ np.c_[voxels, np.ones(len(voxels))].T)[:3].T * [-1000, -1000, 1000]
    return {(int(labels[tuple(v)]), *w.round().astype(int).tolist()): None for v, w in zip(voxels, world)}


@pytest.mark.parametrize("tilt", [0.0, 0.25], ids=["upright", "tilted gantry"])
def test_every_voxel_lies_where_it_lay(tmp_path, tilt):
    folder, affine = series(tmp_path / "ct", shift_per_mm=tilt)
    labels = label_array(values=(1, 2, 3))
    write_dicom_seg(tmp_path / "seg.dcm", labels, affine, source=folder, organs=ORGANS)
    assert by_hand(tmp_path / "seg.dcm").keys() == expected_points(labels, affine).keys()
    found, grid, names = read_dicom_seg(tmp_path / "seg.dcm", source=folder)
    np.testing.assert_array_equal(found, labels)
    np.testing.assert_allclose(grid, read_dicom_series(folder)[1])
    assert names == dict(enumerate(ORGANS, start=1))


def test_the_grid_from_the_headers_is_that_of_the_pixels(tmp_path):
    folder, affine = series(tmp_path / "ct", shift_per_mm=0.25)
    array, expected = read_dicom_series(folder)
    assert series_grid(folder).shape == array.shape
    np.testing.assert_array_equal(affine, expected)
    one = write_dicom(tmp_path / "one", ct_array()[..., :1], [7.0])
    np.testing.assert_array_equal(series_grid(one).affine, read_dicom_series(one)[1])


def test_it_names_patient_study_frame_of_reference_and_slices_of_its_source(tmp_path):
    folder, affine = series(tmp_path / "ct")
    seg = pydicom.dcmread(
        write_dicom_seg(tmp_path / "s.dcm", label_array(values=(1, 2, 3)), affine, source=folder, organs=ORGANS)
    )
    slices = [pydicom.dcmread(file) for file in folder.iterdir()]
    assert (seg.Modality, seg.SegmentationType) == ("SEG", "BINARY")
    assert seg.StudyInstanceUID == slices[0].StudyInstanceUID
    assert seg.FrameOfReferenceUID == "1.2.3.5"
    assert seg.SeriesInstanceUID not in {found.SeriesInstanceUID for found in slices}
    referred = {item.ReferencedSOPInstanceUID for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referred <= {found.SOPInstanceUID for found in slices}
    where = {found.SOPInstanceUID: found.ImagePositionPatient for found in slices}
    for frame in seg.PerFrameFunctionalGroupsSequence:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert frame.PlanePositionSequence[0].ImagePositionPatient == where[source]


def test_segments_say_what_they_show_in_codes(tmp_path):
    folder, affine = series(tmp_path / "ct")
    seg = pydicom.dcmread(
        write_dicom_seg(tmp_path / "s.dcm", label_array(values=(1, 2, 3)), affine, source=folder, organs=ORGANS)
    )
    spleen, kidney, tumour = seg.SegmentSequence
    assert spleen.SegmentLabel == "spleen"
    assert spleen.SegmentedPropertyTypeCodeSequence[0].CodeValue == "78961009"
    side = kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert (side.CodeValue, side.CodeMeaning) == ("24028007", "Right")
    assert tumour.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Neoplasm"
    assert tumour.AnatomicRegionSequence[0].CodeMeaning == "Liver"
    assert {item.SegmentAlgorithmType for item in seg.SegmentSequence} == {"AUTOMATIC"}


def test_labels_with_other_axes_are_turned(tmp_path):
    folder, affine = series(tmp_path / "ct")
    labels, turned = label_array(values=(1, 2, 3)), np.flip(label_array(values=(1, 2, 3)).transpose(2, 0, 1), 1)
    # voxel (k, x', y) of the turned array is voxel (19 - x', y, k) of the series
    step = np.array([[0, -1, 0, 19], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    write_dicom_seg(tmp_path / "s.dcm", turned, affine @ step, source=folder, organs=ORGANS)
    np.testing.assert_array_equal(read_dicom_seg(tmp_path / "s.dcm", source=folder)[0], labels)


def test_label_ids_with_gaps_are_renumbered(tmp_path):
    folder, affine = series(tmp_path / "ct")
    labels = label_array(values=(9, 2, 5))
    organs = {2: "liver", 5: "spleen", 9: "aorta"}
    write_dicom_seg(tmp_path / "s.dcm", labels, affine, source=folder, organs=organs)
    found, _, names = read_dicom_seg(tmp_path / "s.dcm", source=folder)
    np.testing.assert_array_equal(np.array([0, 2, 5, 9])[found], labels)
    assert names == {1: "liver", 2: "spleen", 3: "aorta"}


@pytest.mark.parametrize("backwards", [False, True], ids=["feet first", "head first"])
def test_a_multi_frame_file_is_read_as_its_slices_and_segmented(tmp_path, backwards):
    folder, affine = series(tmp_path / "ct")
    file = enhanced(folder, tmp_path / "whole.dcm", backwards=backwards)
    array, grid = read_dicom_series(file)
    np.testing.assert_array_equal(array, read_dicom_series(folder)[0])
    np.testing.assert_allclose(grid, affine)
    np.testing.assert_array_equal(series_grid(file).affine, grid)
    write_dicom_seg(tmp_path / "s.dcm", label_array(values=(1, 2, 3)), affine, source=file, organs=ORGANS)
    assert by_hand(tmp_path / "s.dcm").keys() == expected_points(label_array(values=(1, 2, 3)), affine).keys()


@pytest.mark.parametrize("of_several_frames", [False, True], ids=["slices", "frames"])
def test_files_without_a_preamble_are_taken_as_the_reader_takes_them(tmp_path, of_several_frames):
    folder, affine = series(tmp_path / "ct")
    source = enhanced(folder, tmp_path / "whole.dcm") if of_several_frames else folder
    expected = read_dicom_series(source)[0]
    for file in [source] if of_several_frames else folder.iterdir():
        file.write_bytes(file.read_bytes()[132:])
    np.testing.assert_array_equal(read_dicom_series(source)[0], expected)
    write_dicom_seg(tmp_path / "s.dcm", label_array(values=(1, 2, 3)), affine, source=source, organs=ORGANS)
    assert by_hand(tmp_path / "s.dcm").keys() == expected_points(label_array(values=(1, 2, 3)), affine).keys()


def test_what_pydicom_cannot_read_is_reported_with_the_file(tmp_path, monkeypatch):
    folder, _ = series(tmp_path / "ct")
    file = enhanced(folder, tmp_path / "whole.dcm")
    whole = file.read_bytes()
    assert whole.count(rb"-5\4\16") == 1
    file.write_bytes(whole.replace(rb"-5\4\16", rb"-5\x\16"))  # a number that is none, seen when it is asked for
    with pytest.raises(UserError, match=r"whole\.dcm: expected a readable DICOM header, found"):
        open_source(file)

    def unreadable(*_, **__):
        raise NotImplementedError("an odd sequence")

    file.write_bytes(whole)
    monkeypatch.setattr(pydicom, "dcmread", unreadable)
    with pytest.raises(UserError, match=r"whole\.dcm: expected a readable DICOM header, found: an odd sequence"):
        open_source(file)


def test_a_gap_between_frames_of_one_file_is_noticed(tmp_path):
    folder, _ = series(tmp_path / "ct")
    positions = [*POSITIONS[:6], *(POSITIONS[6:] + 2)]
    file = enhanced(folder, tmp_path / "whole.dcm", positions=positions)
    with pytest.raises(UserError, match=r"4\.000 mm instead of 2\.000 mm between frame 6 and frame 7 \(1 missing\)"):
        read_dicom_series(file)
    array, affine = read_dicom_series(file, uneven_slices="interpolate")
    assert array.shape[2] == 13
    assert affine[2, 2] == pytest.approx(2)


def test_a_multi_frame_file_without_pydicom_says_what_to_install(tmp_path, monkeypatch):
    folder, _ = series(tmp_path / "ct")
    file = enhanced(folder, tmp_path / "whole.dcm")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UserError, match=r'pydicom is needed; pip install "monai-cl\[dicom\]"'):
        read_dicom_series(file)


def test_without_highdicom_it_says_what_to_install(tmp_path, monkeypatch):
    folder, affine = series(tmp_path / "ct")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(UserError, match=r'found none; pip install "monai-cl\[dicom\]"'):
        write_dicom_seg(tmp_path / "s.dcm", label_array(values=(1, 2, 3)), affine, source=folder, organs=ORGANS)


def test_an_empty_label_map_gives_a_file_without_voxels(tmp_path):
    folder, affine = series(tmp_path / "ct")
    empty = np.zeros_like(label_array(values=(1, 2, 3)))
    write_dicom_seg(tmp_path / "s.dcm", empty, affine, source=folder, organs=["spleen"])
    assert not read_dicom_seg(tmp_path / "s.dcm", source=folder)[0].any()


def test_what_cannot_be_written_is_reported_and_leaves_nothing(tmp_path):
    folder, affine = series(tmp_path / "ct")
    output = tmp_path / "out" / "s.dcm"
    labels = label_array(values=(1, 2, 3))

    def write(labels=labels, affine=affine, source=folder, organs=ORGANS):
        write_dicom_seg(output, labels, affine, source=source, organs=organs)

    with pytest.raises(UserError, match=r"expected the label values \[1, 2\], found \[3\]; name them in organs"):
        write(organs=["spleen", "liver"])
    with pytest.raises(UserError, match=r"expected labels of its shape \(20, 16, 12\), found \(20, 16, 11\)"):
        write(labels=labels[..., :-1])
    shifted = affine.copy()
    shifted[2, 3] += 1
    with pytest.raises(UserError, match=r"expected labels on its grid, found them up to 0\.5 voxels away"):
        write(affine=shifted)
    bare = write_dicom(tmp_path / "bare", ct_array(), POSITIONS, frame_of_reference=None)
    with pytest.raises(UserError, match=r"bare.*expected a Frame of Reference UID, .*found none"):
        write(source=bare)
    assert not output.parent.exists()


def test_what_is_not_a_segmentation_of_this_series_is_refused_on_reading(tmp_path):
    folder, affine = series(tmp_path / "ct")
    with pytest.raises(UserError, match="expected a DICOM SEG, found another kind of file"):
        read_dicom_seg(next(folder.iterdir()), source=folder)
    labels = label_array(values=(1, 2, 3))
    seg = write_dicom_seg(tmp_path / "s.dcm", labels, affine, source=folder, organs=ORGANS)
    other, _ = series(tmp_path / "other", frame_of_reference="1.2.3.6")
    with pytest.raises(UserError, match=r"expected the frame of reference 1\.2\.3\.6 of .*other, found 1\.2\.3\.5"):
        read_dicom_seg(seg, source=other)
    finer, _ = series(tmp_path / "finer", spacing=(0.7, 0.9))
    with pytest.raises(UserError, match=r"found frame 1 up to 2\.9 voxels away"):
        read_dicom_seg(seg, source=finer)
    part = write_dicom(tmp_path / "part", ct_array()[..., :5], POSITIONS[:5])
    with pytest.raises(UserError, match=r"expected frames on the slices of .*part, found frame \d+ outside"):
        read_dicom_seg(seg, source=part)


def test_segments_that_overlap_are_refused_on_reading(tmp_path):
    folder, affine = series(tmp_path / "ct")
    seg = write_dicom_seg(tmp_path / "s.dcm", label_array(values=(1, 2, 3)), affine, source=folder, organs=ORGANS)
    document = pydicom.dcmread(seg)
    frames = document.PerFrameFunctionalGroupsSequence
    frames[-1].PlanePositionSequence = frames[0].PlanePositionSequence
    pixels = np.array(document.pixel_array)
    pixels[-1] = pixels[0]
    document.PixelData = np.packbits(pixels.reshape(-1), bitorder="little").tobytes()
    document.save_as(seg)
    with pytest.raises(UserError, match="do not overlap, found spleen and liver tumour in one voxel"):
        read_dicom_seg(seg, source=folder)


def test_values_to_write_leave_the_others_out(tmp_path):
    folder, affine = series(tmp_path / "ct")
    labels = label_array(values=(1, 2, 3))
    write_dicom_seg(tmp_path / "s.dcm", labels, affine, source=folder, organs=ORGANS, values=[3, 1])
    found, _, names = read_dicom_seg(tmp_path / "s.dcm", source=folder)
    np.testing.assert_array_equal(found, np.array([0, 1, 0, 2])[labels])
    assert names == {1: "spleen", 2: "liver tumour"}
    # names of those alone suffice
    write_dicom_seg(tmp_path / "t.dcm", labels, affine, source=folder, organs={2: "aorta"}, values=[2])
    np.testing.assert_array_equal(read_dicom_seg(tmp_path / "t.dcm", source=folder)[0], labels == 2)
    for values, message in ([2, 4], r"found \[4\]; name them in organs"), ([0], "ids from 1 on"), ([], "ids from 1 on"):
        with pytest.raises(UserError, match=message):
            write_dicom_seg(tmp_path / "u.dcm", labels, affine, source=folder, organs=ORGANS, values=values)
    assert not (tmp_path / "u.dcm").exists()


def test_every_uid_that_is_blank_or_absent_is_named(tmp_path):
    folder, affine = series(tmp_path / "ct")
    labels = label_array(values=(1, 2, 3))
    blank = ["SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"]
    change_headers(folder, lambda header, _: [setattr(header, name, "") for name in blank])
    found = "expected a SOP Instance UID, a Study Instance UID, a Frame of Reference UID, .* found blank ones"
    with pytest.raises(UserError, match=rf"{found}.*; export or anonymise the series again with new UIDs, or keep"):
        write_dicom_seg(tmp_path / "s.dcm", labels, affine, source=folder, organs=ORGANS)
    change_headers(folder, lambda header, _: [delattr(header, name) for name in blank])
    with pytest.raises(UserError, match=f"{found.removesuffix('blank ones')}none; export or anonymise"):
        write_dicom_seg(tmp_path / "s.dcm", labels, affine, source=folder, organs=ORGANS)


def test_slices_that_share_a_uid_are_refused(tmp_path):
    folder, affine = series(tmp_path / "ct")
    change_headers(folder, lambda header, number: setattr(header, "SOPInstanceUID", f"1.2.3.4.{number // 2}"))
    with pytest.raises(
        UserError, match=r"expected a SOP Instance UID of its own in every slice.*found 6 for 12 slices"
    ):
        write_dicom_seg(tmp_path / "s.dcm", label_array(values=(1, 2, 3)), affine, source=folder, organs=ORGANS)


@pytest.mark.parametrize(
    ("name", "meanings"),
    [
        ("spleen", ("Anatomical Structure", "Spleen", None, None)),
        ("left adrenal gland", ("Anatomical Structure", "Adrenal gland", "Left", None)),
        ("adrenal_gland_right", ("Anatomical Structure", "Adrenal gland", "Right", None)),
        ("Kidneys", ("Anatomical Structure", "Kidney", None, None)),
        ("oesophagus", ("Anatomical Structure", "Esophagus", None, None)),
        ("pancreatic tumor", ("Morphologically Abnormal Structure", "Neoplasm", None, "Pancreas")),
        ("lesion", ("Morphologically Abnormal Structure", "Neoplasm", None, None)),
        ("left thing", ("Anatomical Structure", "left thing", None, None)),
    ],
)
def test_names_of_organs_are_understood(name, meanings):
    found = organ_code(name)
    parts = (found.category, found.type, found.modifier, found.region)
    assert tuple(part.meaning if part else None for part in parts) == meanings


def test_codes_are_those_of_the_standard():
    from pydicom.sr.codedict import codes

    from monai_cl.data.dicom import organ_codes

    known = [*organ_codes.ORGANS.values(), *organ_codes.SIDES.values()]
    for code in [*known, organ_codes.ANATOMY, organ_codes.ABNORMAL, organ_codes.NEOPLASM]:
        word = "".join(part.capitalize() for part in code.meaning.split())
        assert getattr(codes.SCT, word).value == code.value, code


def test_every_organ_of_the_bundles_has_a_code(tmp_path):
    import yaml

    for bundle in ("spleen", "btcv"):
        config = Path(__file__).parents[3] / "bundles" / f"{bundle}_unetr_segmentation" / "configs" / "inference.yaml"
        organs = without_model(yaml.safe_load(config.read_text(encoding="utf-8"))["organs"])
        assert organs
        for organ in organs:
            assert organ_code(organ).type.scheme == "SCT", organ


@pytest.mark.real_data
class TestRealSeries:
    def test_a_seg_by_another_program_is_read_as_its_nrrd(self, real_data, tmp_path):
        folder = real_data / "dicom" / "dcmqi_liver_seg"
        expected = read_volume(folder / "liver_seg.nrrd")
        labels, affine, names = read_dicom_seg(folder / "liver.dcm", source=folder / "ct-3slice")
        np.testing.assert_array_equal(labels, expected.array > 0)
        np.testing.assert_allclose(affine, expected.affine, atol=1e-3)
        ours = write_dicom_seg(tmp_path / "s.dcm", labels, affine, source=folder / "ct-3slice", organs=["liver"])
        np.testing.assert_array_equal(read_dicom_seg(ours, source=folder / "ct-3slice")[0], labels)
        assert names.keys() == {1}

    def test_organs_of_a_real_series_go_out_and_come_back(self, real_data, tmp_path):
        original, folder = real_data / "dicom" / "totalseg_upper_abdomen", tmp_path / "ct"
        folder.mkdir()
        with pytest.raises(UserError, match=r"expected a SOP Class UID, a SOP Instance UID, .*found blank ones"):
            read_dicom_seg(tmp_path / "s.dcm", source=original)  # blanked by whoever anonymised it
        for file in sorted(original.iterdir()):
            found = pydicom.dcmread(file)
            found.SOPClassUID, found.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", hd.UID()
            found.StudyInstanceUID, found.SeriesInstanceUID = "1.2.3.7", "1.2.3.8"
            found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID
            found.save_as(folder / file.name)
        known = read_volume(real_data / "dicom" / "totalseg_upper_abdomen_structures.nii.gz")
        organs = {int(value): f"structure {value}" for value in np.unique(known.array) if value}
        write_dicom_seg(tmp_path / "s.dcm", known.array, known.affine, source=folder, organs=organs)
        labels, affine, _ = read_dicom_seg(tmp_path / "s.dcm", source=folder)
        ours, theirs = to_ras(Volume(labels, affine, folder)), to_ras(known)
        np.testing.assert_array_equal(np.array([0, *organs])[ours.array], theirs.array)
        np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-3)
