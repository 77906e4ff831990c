"""Reading gives the file's voxels and geometry, or an error that says what is wrong with which file."""

from __future__ import annotations

import gzip
import itertools
import re
import shutil
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImaged

from monai_cl.data.io.ct_reader import CTReader
from monai_cl.data.io.reading import Volume, read_grid, read_volume, to_ras
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, rotated, write_dicom, write_itk, write_nifti


def touch(path: str) -> None:
    """Leave a trace."""
    Path(path).touch()


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_nifti_is_read_as_nibabel_reads_it(tmp_path, name):
    path = write_nifti(tmp_path / name, ct_array(), affine_of("LAS"))
    volume, direct = read_volume(path), nib.load(path)
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array, np.asanyarray(direct.dataobj))
    np.testing.assert_allclose(volume.affine, direct.affine)
    assert volume.spacing == pytest.approx((0.7, 0.9, 2.5))
    assert volume.path == path


def test_scaled_voxels_are_scaled(tmp_path):
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_allclose(read_volume(tmp_path / "a.nii.gz").array, nib.load(tmp_path / "a.nii.gz").get_fdata())


@pytest.mark.parametrize(("code", "factor"), [(0, 1), (1, 1000), (2, 1), (3, 0.001), (3 + 16, 0.001)])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("form", ["sform", "qform", "pixdim"])
def test_a_nifti_in_another_unit_is_converted_to_mm(tmp_path, code, factor, kind, form):
    affine = np.diag([-2.0, 3, 4, 1]) if form == "pixdim" else affine_of("LPS")
    affine[:3] /= factor
    image = kind(ct_array(), affine)
    image.set_sform(affine, int(form == "sform"))
    image.set_qform(affine, int(form == "qform"))
    image.header["xyzt_units"] = code
    image.to_filename(tmp_path / "a.nii.gz")
    expected = affine_of("LPS")
    if form == "pixdim":  # centred, as nibabel has it
        expected = image.header.get_base_affine()
        expected[:3] *= factor
    volume = read_volume(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(volume.affine, expected, rtol=1e-5)
    np.testing.assert_allclose(read_grid(tmp_path / "a.nii.gz").affine, volume.affine)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("um", 0.001), ("\u00b5m", 0.001), ("\u03bcm", 0.001), ("Micron", 0.001), ("mm", 1), ("Metre", 1000), ("cm", 10)],
)
def test_a_nrrd_in_another_unit_is_converted_to_mm(tmp_path, unit, factor):
    affine = affine_of("RPI", spacing=(0.7, 0.9, 2.5), origin=(-7, 11, 3))
    scaled = affine.copy()
    scaled[:3] /= factor
    file = write_itk(tmp_path / "a.nrrd", ct_array(), scaled)
    head, _, data = file.read_bytes().partition(b"\n\n")
    words = " ".join([f'"{unit}"'] * 3)
    file.write_bytes(head + f"\nspace units: {words}\n\n".encode() + data)
    np.testing.assert_allclose(read_volume(file).affine, affine, atol=1e-6)
    np.testing.assert_allclose(read_grid(file).affine, affine, atol=1e-6)


def test_units_of_a_nrrd_without_directions_are_those_of_its_axes(tmp_path):
    head = b'NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nspacings: 1 2 3\nunits: "cm" "cm" "cm"\n'
    (tmp_path / "a.nrrd").write_bytes(head + b"endian: little\nencoding: raw\n\n" + bytes(16))
    assert read_volume(tmp_path / "a.nrrd").spacing == pytest.approx((10, 20, 30))


def test_a_meta_image_in_another_unit_is_converted_to_mm(tmp_path):
    affine = affine_of("LPS")
    file = write_itk(tmp_path / "a.mha", ct_array(), affine)
    file.write_bytes(file.read_bytes().replace(b"DimSize", b"DistanceUnits = um\nDimSize", 1))
    affine[:3] /= 1000
    np.testing.assert_allclose(read_grid(file).affine, affine, atol=1e-9)


@pytest.mark.parametrize("units", ['"mm" "mm" "um"', '"mm" "mm" "hounds"'])
def test_a_nrrd_in_several_or_unknown_units_is_an_error(tmp_path, units):
    file = write_itk(tmp_path / "a.nrrd", ct_array(), affine_of("LPS"))
    file.write_bytes(file.read_bytes().replace(b"\n\n", f"\nspace units: {units}\n\n".encode(), 1))
    for read in (read_volume, read_grid):
        with pytest.raises(UserError, match=r"a\.nrrd: expected .* length.*space units"):
            read(file)


@pytest.mark.parametrize(("kind", "least"), [(nib.Nifti1Image, 352), (nib.Nifti2Image, 544)])
@pytest.mark.parametrize("offset", [0, 16, 348, -1])
def test_voxels_that_begin_inside_the_header_are_an_error(tmp_path, kind, least, offset):
    image = kind(ct_array(), affine_of("LPS"))
    image.to_filename(tmp_path / "a.nii")
    raw = (tmp_path / "a.nii").read_bytes()
    header = kind.header_class(raw[: kind.header_class.sizeof_hdr], check=False)
    header["vox_offset"] = offset
    (tmp_path / "a.nii").write_bytes(header.binaryblock + raw[kind.header_class.sizeof_hdr :])
    with pytest.raises(UserError, match=rf"a vox_offset of {least} or more, found {offset}"):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_a_header_without_directions_is_warned_of_once(tmp_path, name, caplog):
    file = write_itk(tmp_path / name, ct_array(), np.diag([-2.0, -3, 4, 1]))
    read_volume(file)
    assert not caplog.records
    raw = file.read_bytes()
    raw = re.sub(rb"space: .*\nsizes", b"sizes", raw)
    raw = re.sub(rb"space directions: .*\n", b"spacings: 2 3 4\n", raw)
    raw = re.sub(rb"space origin: .*\n", b"", raw)
    file.write_bytes(re.sub(rb"(TransformMatrix|AnatomicalOrientation) = .*\n", b"", raw))
    for _ in range(2):
        np.testing.assert_allclose(np.abs(read_volume(file).affine[:3, :3]), np.diag([2, 3, 4]))
    said = [record.getMessage() for record in caplog.records if "no orientation" in record.getMessage()]
    assert [str(file) in text for text in said] == [True]


def test_big_endian_and_nifti_2_files_give_native_arrays(tmp_path):
    nib.save(nib.Nifti1Image(ct_array(), np.eye(4), nib.Nifti1Header(endianness=">")), tmp_path / "big.nii")
    nib.save(nib.Nifti2Image(ct_array(), np.eye(4)), tmp_path / "two.nii.gz")
    for name in ("big.nii", "two.nii.gz"):
        array = read_volume(tmp_path / name).array
        assert array.dtype.isnative
        np.testing.assert_array_equal(array, ct_array())


def test_compression_is_seen_from_the_bytes_not_the_name(tmp_path):
    write_nifti(tmp_path / "a.nii", ct_array())
    (tmp_path / "b.nii").write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    (tmp_path / "c.nii.gz").write_bytes((tmp_path / "a.nii").read_bytes())
    for name in ("b.nii", "c.nii.gz"):
        np.testing.assert_array_equal(read_volume(tmp_path / name).array, ct_array())


def _plain(tmp_path, **fields) -> bytes:
    return _nifti_with(tmp_path, **fields).read_bytes()


def _members(plain: bytes, surplus: int, *, single: bool) -> bytes:
    """A gzip file of ``plain`` and as many megabytes of zeros, in one member or in many."""
    if single:
        return gzip.compress(plain + bytes(surplus << 20), 1)
    pieces = [plain[start : start + 500] for start in range(0, len(plain), 500)]
    return b"".join(map(gzip.compress, pieces)) + gzip.compress(bytes(1 << 20)) * surplus


@pytest.mark.parametrize("single", [True, False], ids=["one member", "many members"])
class TestGzip:
    def test_no_more_is_kept_of_a_stream_than_its_header_says(self, tmp_path, single):
        path = tmp_path / "a.nii.gz"
        path.write_bytes(_members(_plain(tmp_path), 64, single=single))
        read_volume(path)
        tracemalloc.start()
        try:
            array = read_volume(path).array
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        np.testing.assert_array_equal(array, ct_array())
        assert peak < 8 << 20

    @pytest.mark.parametrize("at", [-6, -2], ids=["checksum", "length"])
    def test_what_follows_is_checked_to_its_end(self, tmp_path, single, at):
        path = tmp_path / "a.nii.gz"
        whole = bytearray(_members(_plain(tmp_path), 2, single=single))
        whole[at] ^= 1
        path.write_bytes(bytes(whole))
        with pytest.raises(
            UserError, match=r"a\.nii\.gz: expected a whole gzip file, found a damaged or truncated one"
        ):
            read_volume(path)

    @pytest.mark.parametrize("surplus", [0, 1])
    def test_a_header_that_claims_too_much_costs_no_memory(self, tmp_path, single, surplus):
        plain = _plain(tmp_path, dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
        path = tmp_path / "a.nii.gz"
        path.write_bytes(_members(plain, surplus, single=single))
        found = len(plain) + (surplus << 20)
        with pytest.raises(UserError, match=rf"expected 54000000000352 bytes .*, found {found}: the file is truncated"):
            read_volume(path)


def test_a_sibling_with_the_shorter_name_is_not_taken(tmp_path):
    write_nifti(tmp_path / "x.nii", np.zeros((4, 4, 4), np.int16))
    write_nifti(tmp_path / "x.nii.gz", ct_array())
    np.testing.assert_array_equal(read_volume(tmp_path / "x.nii.gz").array, ct_array())


def test_a_trailing_axis_of_length_one_is_dropped(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", ct_array()[..., None])
    np.testing.assert_array_equal(read_volume(path).array, ct_array())


def test_every_flipped_byte_of_the_compressed_stream_is_noticed(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", ct_array())
    whole, good, noticed = path.read_bytes(), read_volume(path), []
    for position in np.random.default_rng(0).integers(10, len(whole), 60):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        path.write_bytes(bytes(damaged))
        try:
            np.testing.assert_array_equal(read_volume(path).array, good.array)
            assert position < 40, "only the file name in gzip's header may differ unnoticed"
        except UserError as error:
            noticed.append(str(error))
    assert len(noticed) > 50
    assert all(str(path) in message for message in noticed)


@pytest.mark.parametrize("keep", [0, 3, 50, 0.5, 0.999])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_truncated_nifti_is_an_error(tmp_path, name, keep):
    path = write_nifti(tmp_path / name, ct_array())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep) if keep < 1 else keep])
    with pytest.raises(UserError, match=r"a\.nii.*(truncated|damaged|too few|Analyze)"):
        read_volume(path)


def _nifti_with(tmp_path, array=None, **fields):
    image = nib.Nifti1Image(ct_array() if array is None else array, np.eye(4))
    for name, value in fields.items():
        image.header[name] = value
    raw = bytearray(image.header.binaryblock)
    path = tmp_path / "bad.nii"
    nib.save(nib.Nifti1Image(image.dataobj, np.eye(4)), path)
    content = bytearray(path.read_bytes())
    content[: len(raw)] = raw
    content[108:112] = np.float32(352).tobytes()  # vox_offset, as saved
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sform_code": 0, "qform_code": 0, "pixdim": [1, 0, 1, 1, 0, 0, 0, 0]}, "spacing > 0 mm"),
        ({"sform_code": 0, "qform_code": 0, "pixdim": [1, np.nan, 1, 1, 0, 0, 0, 0]}, "spacing > 0 mm"),
        ({"sform_code": 1, "srow_x": [1, 1, 0, 0], "srow_y": [0, 0, 0, 0]}, "invertible affine"),
        ({"sform_code": 1, "srow_x": [np.nan, 0, 0, 0]}, "finite affine"),
        ({"sform_code": 1, "srow_x": [4000, 0, 0, 0], "pixdim": [1, 4000, 1, 1, 0, 0, 0, 0]}, "unit must be mm"),
        ({"sform_code": 1, "pixdim": [1, 2, 1, 1, 0, 0, 0, 0]}, "one voxel spacing"),
        ({"datatype": 128, "bitpix": 24}, "one value per voxel"),
        ({"magic": b"ni1"}, "single-file NIfTI"),
        ({"dim": [7, 32767, 32767, 32767, 32767, 32767, 32767, 32767]}, "truncated"),
        ({"dim": [3, 20, 16, 1200, 1, 1, 1, 1]}, "truncated"),
        ({"dim": [3, 20, 0, 12, 1, 1, 1, 1]}, "3D volume"),
    ],
)
def test_a_header_that_cannot_be_used_is_an_error(tmp_path, fields, message):
    fields = {"sform_code": 1, "srow_x": [1, 0, 0, 0], "srow_y": [0, 1, 0, 0], "srow_z": [0, 0, 1, 0]} | fields
    path = _nifti_with(tmp_path, **fields)
    with pytest.raises(UserError, match=rf"bad\.nii: .*{message}"):
        read_volume(path)


@pytest.mark.parametrize("offset", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_voxels_that_begin_nowhere_are_an_error(tmp_path, name, offset):
    content = bytearray(_plain(tmp_path))
    content[108:112] = np.float32(offset).tobytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(UserError, match=rf"{name}: expected a known voxel type, shape and place, found cannot convert"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4, 3)])
def test_two_and_four_axes_are_an_error(tmp_path, shape):
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros(shape, np.int16))
    with pytest.raises(UserError, match=f"3D volume, found {len(shape)} axes"):
        read_volume(path)


def test_a_missing_file_and_an_unknown_format_are_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.nii\.gz: expected .* found nothing there"):
        read_volume(tmp_path / "nowhere.nii.gz")
    (tmp_path / "a.bmp").write_bytes(b"x")
    with pytest.raises(UserError, match=r"a\.bmp: expected one of \.nii"):
        read_volume(tmp_path / "a.bmp")


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.mhd"])
@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR"])
def test_nrrd_and_metaimage_give_what_nifti_gives(tmp_path, name, codes):
    affine = rotated(affine_of(codes), (5, 0, 10))
    volume = read_volume(write_itk(tmp_path / name, ct_array(), affine))
    np.testing.assert_array_equal(volume.array, ct_array())
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)


def test_a_damaged_or_colour_nrrd_is_an_error(tmp_path):
    path = write_itk(tmp_path / "a.nrrd", ct_array(), np.eye(4))
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(UserError, match=r"a\.nrrd: expected a readable image"):
        read_volume(path)
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True), str(tmp_path / "c.nrrd"))
    with pytest.raises(UserError, match=r"c\.nrrd: expected one value per voxel, found 3"):
        read_volume(tmp_path / "c.nrrd")


def test_to_ras_moves_no_voxel_in_the_world():
    array = ct_array((4, 5, 6))
    for axes in itertools.permutations(("LR", "PA", "IS")):
        for codes in itertools.product(*axes):
            volume = Volume(array, rotated(affine_of("".join(codes)), (4, -3, 6)))
            ras = to_ras(volume)
            assert nib.aff2axcodes(ras.affine) == ("R", "A", "S")
            for index in [(0, 0, 0), (3, 1, 4)]:
                world = volume.affine @ [*index, 1]
                there = np.linalg.solve(ras.affine, world)[:3].round().astype(int)
                assert ras.array[tuple(there)] == array[index]


def _position(file: Path) -> float:
    return sitk.ReadImage(str(file)).GetOrigin()[2]


class TestDicom:
    positions = np.arange(10.0, 34.0, 2.0)

    def test_slices_are_ordered_by_position_and_in_hounsfield_units(self, tmp_path):
        even = ct_array() // 2 * 2
        volume = read_volume(write_dicom(tmp_path / "ct", even, self.positions))
        np.testing.assert_array_equal(volume.array, even)
        expected = np.diag([-0.8, -0.9, 2.0, 1.0])
        expected[:3, 3] = 5, -4, 10
        np.testing.assert_allclose(volume.affine, expected)

    def test_every_slice_has_its_own_intercept(self, tmp_path):
        even = ct_array() // 2 * 2
        folder = write_dicom(tmp_path / "ct", even, self.positions, intercepts=(-1024, -2000, 0))
        np.testing.assert_array_equal(read_volume(folder).array, even)

    @pytest.mark.parametrize("slopes", [("1 ", ".7"), (".7", "1 "), (".7",), ("1 ", "99"), ("99", "1 ")])
    def test_every_slice_has_its_own_slope(self, tmp_path, slopes):
        even = np.full((8, 8, 4), 8000, np.int16)
        even[2:5, 3:7] = 1502
        folder = write_dicom(tmp_path / "ct", even, self.positions[:4], intercepts=(0,))
        expected = []
        for number, file in enumerate(sorted(folder.iterdir(), key=_position)):
            slope = slopes[number % len(slopes)]
            written = file.read_bytes()
            tag = bytes.fromhex("28005310 02000000")
            assert written.count(tag + b"2 ") == 1
            file.write_bytes(written.replace(tag + b"2 ", tag + slope.encode()))
            expected.append(even[..., number] / 2 * float(slope))
        found = read_volume(folder).array
        np.testing.assert_allclose(found, np.stack(expected, axis=-1), rtol=1e-6)
        assert found.dtype.kind == ("f" if ".7" in slopes else "i")

    def test_other_files_in_the_folder_are_ignored(self, tmp_path):
        folder = write_dicom(tmp_path / "ct", ct_array(), self.positions)
        (folder / "README.txt").write_text("not a slice")
        (folder / "DICOMDIR").write_bytes(b"\0" * 200)
        assert read_volume(folder).array.shape == (20, 16, 12)

    def test_a_missing_slice_is_named_with_its_neighbours(self, tmp_path):
        folder = write_dicom(tmp_path / "ct", ct_array()[..., :4], [0, 2, 6, 8])
        with pytest.raises(UserError, match=r"a gap of 4\.000 mm instead of 2\.000 mm between slice.*1 missing"):
            read_volume(folder)

    def test_repeated_and_uneven_slices_are_errors(self, tmp_path):
        with pytest.raises(UserError, match=r"at the same position 2\.000 mm"):
            read_volume(write_dicom(tmp_path / "a", ct_array()[..., :4], [0, 2, 2, 4]))
        with pytest.raises(UserError, match=r"2\.500 mm instead of 2\.000 mm .*uneven"):
            read_volume(write_dicom(tmp_path / "c", ct_array()[..., :4], [0, 2, 4, 6.5]))

    @pytest.mark.parametrize("uneven_slices", ["error", "interpolate"])
    def test_slices_all_at_one_place_cannot_be_interpolated(self, tmp_path, uneven_slices):
        folder = write_dicom(tmp_path / "b", ct_array()[..., :3], [2, 2, 2])
        with pytest.raises(UserError, match=r"found all 3 at the same position 2\.000 mm; export the series again$"):
            read_volume(folder, uneven_slices=uneven_slices)

    def test_positions_rounded_to_a_tenth_are_even(self, tmp_path):
        positions = np.round(np.arange(12) * 0.625, 1)
        volume = read_volume(write_dicom(tmp_path / "a", ct_array(), positions))
        assert volume.spacing[2] == pytest.approx(0.625, abs=0.005)

    def test_a_missing_slice_can_be_interpolated(self, tmp_path):
        ramp = np.broadcast_to(np.array([0, 100, 300, 300, 400]), (6, 5, 5)).astype(np.int16)
        volume = read_volume(write_dicom(tmp_path / "a", ramp, [0, 2, 6, 6, 8]), uneven_slices="interpolate")
        np.testing.assert_allclose(volume.array[2, 2], [0, 100, 200, 300, 400])
        assert volume.spacing[2] == pytest.approx(2.0)

    def test_several_series_are_named_and_one_can_be_chosen(self, tmp_path):
        folder = write_dicom(tmp_path / "ct", ct_array(), self.positions, uid="1.2.3.1", description="native")
        write_dicom(folder, ct_array(seed=4) // 2 * 2, self.positions, uid="1.2.3.2", description="venous", prefix="v")
        with pytest.raises(
            UserError, match=r"found 2: 1\.2\.3\.1 \(12 files, native\), 1\.2\.3\.2 \(12 files, venous\)"
        ):
            read_volume(folder)
        chosen = read_volume(folder, series="1.2.3.2").array
        np.testing.assert_array_equal(chosen, ct_array(seed=4) // 2 * 2)
        with pytest.raises(UserError, match="expected DICOM series 9"):
            read_volume(folder, series="9")

    def test_a_slice_of_another_size_is_an_error(self, tmp_path):
        folder = write_dicom(tmp_path / "ct", ct_array(), self.positions)
        write_dicom(folder, ct_array((20, 20, 1)), [50.0], prefix="localizer")
        with pytest.raises(UserError, match=r"expected slices of one size.*localizer000\.dcm"):
            read_volume(folder)

    def test_a_tilted_gantry_gives_a_sheared_affine(self, tmp_path):
        affine = read_volume(write_dicom(tmp_path / "ct", ct_array(), self.positions, shift_per_mm=0.25)).affine
        np.testing.assert_allclose(affine[:3, 2], [0, -0.5, 2])

    @pytest.mark.parametrize("keep", [0.3, 0.9])
    def test_a_truncated_slice_is_an_error(self, tmp_path, keep):
        folder = write_dicom(tmp_path / "ct", ct_array((64, 64, 12)), self.positions)
        victim = folder / "slice003.dcm"
        victim.write_bytes(victim.read_bytes()[: int(victim.stat().st_size * keep)])
        with pytest.raises(UserError, match="ct"):
            read_volume(folder)

    def test_a_folder_without_dicom_is_an_error(self, tmp_path):
        (tmp_path / "note.txt").write_text("nothing here")
        with pytest.raises(UserError, match="found no DICOM image among 1 files"):
            read_volume(tmp_path)

    def test_the_option_for_uneven_slices_is_checked(self, tmp_path):
        with pytest.raises(ValueError, match='uneven_slices must be "error"'):
            read_volume(tmp_path, uneven_slices="ignore")


class TestCTReader:
    def test_load_image_gives_a_meta_tensor_as_with_nibabel(self, tmp_path):
        path = str(write_nifti(tmp_path / "a.nii.gz", ct_array(), affine_of("LPS")))
        item = {"image": path, "image_path": path, "label_path": "elsewhere", "description": "x"}
        ours = LoadImaged("image", reader=CTReader, ensure_channel_first=True)(item)
        theirs = LoadImaged("image", reader="NibabelReader", ensure_channel_first=True)(item)
        assert isinstance(ours["image"], MetaTensor)
        assert ours["image"].shape == (1, 20, 16, 12)
        torch.testing.assert_close(ours["image"].as_tensor(), theirs["image"].as_tensor())
        torch.testing.assert_close(ours["image"].affine, theirs["image"].affine)
        assert ours["image"].meta["filename_or_obj"] == path
        assert ours["image"].meta["space"] == theirs["image"].meta["space"]
        assert (ours["image_path"], ours["label_path"]) == (path, "elsewhere")

    def test_a_dicom_folder_loads_too(self, tmp_path):
        folder = write_dicom(tmp_path / "ct", ct_array() // 2 * 2, TestDicom.positions)
        loaded = LoadImaged("image", reader="monai_cl.data.CTReader")({"image": str(folder)})["image"]
        np.testing.assert_array_equal(loaded.numpy(), ct_array() // 2 * 2)

    def test_a_damaged_file_is_not_handed_to_another_reader(self, tmp_path):
        path = write_nifti(tmp_path / "a.nii.gz", ct_array())
        damaged = bytearray(path.read_bytes())
        damaged[-6] ^= 1  # within gzip's CRC, which nibabel does not look at
        path.write_bytes(bytes(damaged))
        with pytest.raises((UserError, RuntimeError), match="damaged"):
            LoadImaged("image", reader=CTReader)({"image": str(path)})

    def test_a_format_of_another_reader_is_refused_and_what_is_pickled_in_it_is_not_run(self, tmp_path):
        class Bomb:
            def __reduce__(self):
                return (touch, (str(tmp_path / "ran"),))

        np.save(tmp_path / "a.npy", np.array([Bomb()], object), allow_pickle=True)
        with pytest.raises(UserError, match=r"a\.npy: expected one of \.nii.*another kind of file"):
            LoadImaged("image", reader=CTReader)({"image": str(tmp_path / "a.npy")})
        assert not (tmp_path / "ran").exists()
        np.load(tmp_path / "a.npy", allow_pickle=True)  # as MONAI's reader of these files does
        assert (tmp_path / "ran").exists()

    def test_files_on_one_grid_become_channels(self, tmp_path):
        paths = [str(write_nifti(tmp_path / f"{n}.nii.gz", ct_array(seed=n))) for n in range(2)]
        loaded = LoadImaged("image", reader=CTReader, ensure_channel_first=True)({"image": paths})["image"]
        assert loaded.shape == (2, 20, 16, 12)
        other = str(write_nifti(tmp_path / "o.nii.gz", ct_array(), affine_of("LAS")))
        with pytest.raises((UserError, RuntimeError), match="expected the grid of"):
            LoadImaged("image", reader=CTReader)({"image": [paths[0], other]})

    @pytest.mark.parametrize(("shift", "same"), [(0.05, True), (0.2, False)])
    def test_files_are_on_one_grid_as_an_image_and_its_label_are(self, tmp_path, shift, same):
        affine = affine_of("LPS", spacing=(1, 1, 1))
        first = write_nifti(tmp_path / "a.nii.gz", ct_array(), affine)
        affine[0, 3] += shift
        second = write_nifti(tmp_path / "b.nii.gz", ct_array(), affine)
        if same:
            assert CTReader().get_data([first, second])[0].shape == (2, 20, 16, 12)
        else:
            with pytest.raises(UserError, match=r"b\.nii\.gz: expected the grid of .*a\.nii\.gz, found another shape"):
                CTReader().get_data([first, second])


@pytest.mark.real_data
class TestRealFiles:
    def test_a_dicom_series_lies_on_the_grid_of_its_segmentation(self, real_data):
        image = to_ras(read_volume(real_data / "dicom" / "totalseg_upper_abdomen"))
        label = to_ras(read_volume(real_data / "dicom" / "totalseg_upper_abdomen_structures.nii.gz"))
        assert image.array.shape == label.array.shape == (512, 512, 20)
        np.testing.assert_allclose(image.affine, label.affine, atol=1e-3)
        liver = image.array[label.array == 5]
        assert 0 < np.median(liver) < 200

    def test_nrrd_and_its_dicom_series_agree(self, real_data):
        image = read_volume(real_data / "dicom" / "dcmqi_liver_seg" / "ct-3slice")
        label = read_volume(real_data / "dicom" / "dcmqi_liver_seg" / "liver_seg.nrrd")
        np.testing.assert_allclose(image.affine, label.affine, atol=1e-3)
        with pytest.raises(UserError, match="DICOM SEG"):
            read_volume(real_data / "dicom" / "dcmqi_liver_seg" / "liver.dcm")

    def test_every_transfer_syntax_gives_the_same_slice_or_an_error(self, real_data, tmp_path):
        folder = real_data / "odd_files" / "ct_transfer_syntaxes"
        reference = read_volume(folder / "CTImage.dcm").array
        lossy = ("JPEGProcess", "JPEGLSLossy", "JPEG2000TransferSyntax")
        read = 0
        for file in sorted(folder.iterdir()):
            try:
                array = read_volume(file).array
            except UserError:
                continue
            read += 1
            if not any(name in file.name for name in lossy):
                np.testing.assert_array_equal(array, reference)
        assert read >= 9

    @pytest.mark.parametrize("name", ["missing_and_duplicate_slices", "dicom2nifti_failing/sliceincrement/002"])
    def test_series_with_gaps_are_refused(self, real_data, name):
        with pytest.raises(UserError, match="expected evenly spaced slices"):
            read_volume(real_data / "odd_files" / name)

    @pytest.mark.parametrize("name", ["example4d.nii.gz", "functional.nii", "minc1_4d.mnc", "analyze.hdr"])
    def test_odd_images_are_refused_by_name(self, real_data, name):
        with pytest.raises(UserError, match=name):
            read_volume(real_data / "odd_files" / "nibabel" / name)

    def test_a_copy_beside_an_uncompressed_sibling_is_read_from_its_own_bytes(self, real_data, tmp_path):
        shutil.copy(real_data / "ct_organs" / "btcv_label0037.nii.gz", tmp_path / "x.nii.gz")
        write_nifti(tmp_path / "x.nii", np.zeros((4, 4, 4), np.int16))
        assert read_volume(tmp_path / "x.nii.gz").array.shape == (244, 196, 246)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
@pytest.mark.parametrize("option", ["series", "series_part"])
def test_a_file_that_is_no_series_has_no_part_to_choose(tmp_path, name, option):
    write = write_nifti if name.endswith("gz") else write_itk
    path = write(tmp_path / name, ct_array(), affine_of("LPS"))
    with pytest.raises(
        UserError, match=r"a\.\S+: expected a DICOM series, of which to take AcquisitionNumber=2, found a"
    ):
        read_volume(path, **{option: "AcquisitionNumber=2"})
    np.testing.assert_array_equal(read_volume(path, **{option: None}).array, ct_array())
