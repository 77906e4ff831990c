"""What ITK lets pass in NRRD and MetaImage files is refused: foreign voxels, no geometry, a stream that is damaged."""

from __future__ import annotations

import logging
import os
import sys
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from monai_cl.data.io.reading import read_grid, read_volume
from monai_cl.errors import UserError
from tests.data.volume_files import ct_array, write_dicom, write_itk

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
def test_what_is_sound_is_read(tmp_path, name):
    path = write_itk(tmp_path / name, ct_array(), AFFINE)
    np.testing.assert_array_equal(read_volume(path).array, ct_array())
    assert read_grid(path).spacing == (1, 1, 2)


def test_itk_gives_garbage_out_of_a_damaged_metaimage_and_we_do_not(tmp_path):
    path = write_itk(tmp_path / "a.mha", ct_array(), AFFINE)
    raw = bytearray(path.read_bytes())
    raw[len(raw) * 3 // 5] ^= 0x10
    path.write_bytes(bytes(raw))
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(path))).transpose(2, 1, 0) != ct_array()).any()
    with pytest.raises(UserError, match=r"a\.mha: .* damaged or truncated stream"):
        read_volume(path)


def test_a_compressed_data_file_is_checked_too(tmp_path):
    path = write_itk(tmp_path / "a.mhd", ct_array(), AFFINE)
    raw = bytearray((tmp_path / "a.zraw").read_bytes())
    raw[-1] ^= 1  # within the checksum
    (tmp_path / "a.zraw").write_bytes(bytes(raw))
    with pytest.raises(UserError, match=r"a\.mhd: .* damaged or truncated stream"):
        read_volume(path)


@pytest.mark.parametrize(
    "reference",
    [
        *("../a.raw", "/etc/passwd", "~/a.raw", "sub/../../a.raw", "link.raw", "LIST\n../a.raw", "../%03d.raw 1 2 1"),
        "link%d.raw 1 2 1",
    ],
)
@pytest.mark.parametrize("name", ["a.nhdr", "a.mhd"])
def test_voxels_from_elsewhere_are_not_read(tmp_path, name, reference):
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "a.raw").write_bytes(ct_array().tobytes("F"))
    for link in ("link.raw", "link1.raw", "link2.raw"):
        (folder / link).symlink_to(tmp_path / "a.raw")
    path = write_itk(folder / name, ct_array(), AFFINE)
    key = b"data file:" if name == "a.nhdr" else b"ElementDataFile ="
    head, _, _ = path.read_bytes().partition(key)
    path.write_bytes(head + key + b" " + reference.encode() + b"\n")
    for read in (read_volume, read_grid):
        with pytest.raises(UserError, match=rf"{name}: expected its voxels beside it, .*outside its folder"):
            read(path)


@pytest.mark.parametrize(
    "tail",
    [
        b"content: a\rdata file: ../secret.raw\n",
        b"content: a\r\ndata file: ../secret.raw\r",
        b"data file: LIST3\n../secret.raw\n",
        b"data file: LIST3\r../secret.raw\n",
    ],
)
def test_a_nrrd_hides_no_foreign_voxels_behind_what_else_itk_takes_for_a_line(tmp_path, tail):
    (tmp_path / "secret.raw").write_bytes(bytes(range(8)))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "LIST3").write_bytes(bytes(8))
    path = tmp_path / "data" / "a.nhdr"
    head = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\nspacings: 1 1 1\n"
    path.write_bytes(head + tail)
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(path))).ravel().tolist() == list(range(8))  # ITK follows it
    for read in (read_volume, read_grid):
        with pytest.raises(UserError, match=r"a\.nhdr: expected its voxels beside it, .*outside its folder"):
            read(path)


@pytest.mark.parametrize("comments", [b"# more\n" * 200_000, b"#" * 30 + b"\n" + (b"#" * 1022 + b"\r\n") * 1100])
def test_a_nrrd_header_too_long_to_be_looked_at_is_refused(tmp_path, comments):
    (tmp_path / "a.raw").write_bytes(bytes(8))
    head = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\nspacings: 1 1 1\n"
    path = tmp_path / "a.nhdr"
    path.write_bytes(head + b"data file: a.raw\n" + comments)
    for read in (read_volume, read_grid):
        with pytest.raises(UserError, match=r"a\.nhdr: expected a readable image, found a header longer than"):
            read(path)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_long_nrrd_is_read_whatever_ends_its_lines(tmp_path, end):
    voxels = np.random.default_rng(0).integers(0, 256, (64, 256, 128), dtype=np.uint8)
    lines = [b"NRRD0004", b"type: uchar", b"dimension: 3", b"sizes: 64 256 128", b"encoding: raw", b"spacings: 1 1 2"]
    path = tmp_path / "a.nrrd"
    path.write_bytes(end.join([*lines, b"", b""]) + voxels.tobytes("F"))
    np.testing.assert_array_equal(read_volume(path).array, voxels)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are not bytes everywhere")
def test_a_name_at_which_simpleitk_would_end_the_process_is_refused(tmp_path):
    path = write_itk(tmp_path / "a.nrrd", ct_array(), AFFINE).rename(tmp_path / os.fsdecode(b"a\xff.nrrd"))
    folder = write_dicom(tmp_path / "ct", ct_array()[..., :3], [0, 1, 2])
    (folder / "slice000.dcm").rename(folder / os.fsdecode(b"s\xff.dcm"))
    for odd in (path, folder):
        with pytest.raises(
            UserError, match=r"\\udcff\.(nrrd|dcm): expected a name in UTF-8, found other bytes; rename"
        ):
            read_volume(odd)
    with pytest.raises(UserError, match="expected a name in UTF-8"):
        read_grid(path)


@pytest.mark.parametrize("value", [None, "nan nan nan"])
def test_a_nrrd_without_spacing_is_refused(tmp_path, value):
    path = write_itk(tmp_path / "a.nrrd", ct_array(), AFFINE)
    head, _, data = path.read_bytes().partition(b"\n\n")
    lines = [line for line in head.split(b"\n") if not line.startswith((b"space", b"kinds"))]
    lines += [f"spacings: {value}".encode()] if value else []
    path.write_bytes(b"\n".join(lines) + b"\n\n" + data)
    for read in (read_volume, read_grid):
        with pytest.raises(UserError, match=r"a\.nrrd: expected a voxel spacing"):
            read(path)


def test_a_nrrd_with_spacings_alone_is_read(tmp_path):
    path = write_itk(tmp_path / "a.nrrd", ct_array(), AFFINE)
    head, _, data = path.read_bytes().partition(b"\n\n")
    lines = [line for line in head.split(b"\n") if not line.startswith((b"space", b"kinds"))] + [b"spacings: 1 1 2"]
    path.write_bytes(b"\n".join(lines) + b"\n\n" + data)
    assert read_volume(path).spacing == (1, 1, 2)


def test_a_nifti_without_orientation_is_reported_once(tmp_path, caplog):
    image = nib.Nifti1Image(ct_array(), None)
    image.header.set_zooms((1.5, 1.5, 3))
    nib.save(image, tmp_path / "a.nii.gz")
    with caplog.at_level(logging.WARNING):
        first, again = read_volume(tmp_path / "a.nii.gz"), read_volume(tmp_path / "a.nii.gz")
    (record,) = caplog.records
    assert f"{tmp_path / 'a.nii.gz'}: its header gives no orientation; assuming NIfTI's default" in record.getMessage()
    np.testing.assert_array_equal(first.affine, again.affine)


@pytest.mark.parametrize("name", ["a.mha", "a.mhd"])
def test_a_metaimage_with_fewer_bytes_than_voxels_is_refused(tmp_path, name):
    image = sitk.GetImageFromArray(np.ones((4, 5, 6), np.int16))
    sitk.WriteImage(image, str(tmp_path / name), useCompression=False)
    data = tmp_path / ("a.raw" if name == "a.mhd" else name)
    data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(UserError, match=rf"{name}: expected a readable image of .* truncated; export or copy it again"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("yes", ["True", "TRUE", "true", "T", "1"])
@pytest.mark.parametrize("compressed", [True, False])
def test_what_itk_takes_for_true_is_true(tmp_path, yes, compressed):
    head = ["ObjectType = Image", "NDims = 3", f"BinaryData = {yes}", f"BinaryDataByteOrderMSB = {yes}"]
    voxels = ct_array().astype(">i2").tobytes("F")
    voxels = zlib.compress(voxels) if compressed else voxels
    head += [f"CompressedData = {yes}", f"CompressedDataSize = {len(voxels)}"] if compressed else []
    head += ["ElementSpacing = 1 1 2", "DimSize = 20 16 12", "ElementType = MET_SHORT", "ElementDataFile = LOCAL", ""]
    path = tmp_path / "a.mha"
    path.write_bytes("\n".join(head).encode() + voxels)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).transpose(2, 1, 0), ct_array())
    np.testing.assert_array_equal(read_volume(path).array, ct_array())


@pytest.mark.parametrize("no", ["False", "F", "0", "maybe"])
def test_what_itk_takes_for_false_is_false(tmp_path, no):
    image = sitk.GetImageFromArray(np.ascontiguousarray(ct_array().transpose(2, 1, 0)))
    path = tmp_path / "a.mha"
    sitk.WriteImage(image, str(path), useCompression=False)
    written = path.read_bytes()
    for key in (b"CompressedData", b"BinaryDataByteOrderMSB"):
        assert key + b" = False" in written
        written = written.replace(key + b" = False", key + b" = " + no.encode())
    path.write_bytes(written)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).transpose(2, 1, 0), ct_array())
    np.testing.assert_array_equal(read_volume(path).array, ct_array())


@pytest.mark.parametrize("reference", ["a\0b.raw", "x" * 5000])
def test_a_data_file_of_an_impossible_name_is_refused(tmp_path, reference):
    path = write_itk(tmp_path / "a.mhd", ct_array(), AFFINE)
    head, _, _ = path.read_bytes().partition(b"ElementDataFile =")
    path.write_bytes(head + b"ElementDataFile = " + reference.encode() + b"\n")
    with pytest.raises(UserError, match=r"a\.mhd: expected a readable image, found the data file"):
        read_volume(path)


def edited(path: Path, *lines: bytes, without: bytes = b"") -> Path:
    """A file with lines put into its header, and those of a field taken out."""
    write_itk(path, ct_array(), AFFINE)
    end = b"\n\n" if path.suffix == ".nrrd" else b"\nElementDataFile"
    head, end, voxels = path.read_bytes().partition(end)
    kept = [line for line in head.split(b"\n") if not without or not line.startswith(without)]
    path.write_bytes(b"\n".join([*kept, *lines]) + end + voxels)
    return path


@pytest.mark.parametrize(("name", "field"), [("a.nrrd", b"space origin"), ("a.mha", b"Offset")])
def test_a_header_without_position_is_reported_once(tmp_path, caplog, name, field):
    path = edited(tmp_path / name, without=field)
    for _ in range(2):
        np.testing.assert_array_equal(read_volume(path).affine[:3, 3], 0)
    (record,) = caplog.records
    assert record.getMessage() == f"{path}: its header gives no position; assuming 0 mm"


@pytest.mark.parametrize(
    ("line", "both"),
    [
        (b"ElementSize = 3 3 3", "1 1 2 as ElementSpacing and 3 3 3 as ElementSize"),
        (b"Position = 40 0 0", "-7 -7 0 as Offset and 40 0 0 as Position"),
        (b"Rotation = 1 0 0 0 1 0 0 0 -1", "as TransformMatrix and 1 0 0 0 1 0 0 0 -1 as Rotation"),
    ],
)
def test_a_metaimage_that_says_two_things_is_refused_with_both(tmp_path, line, both):
    path = edited(tmp_path / "a.mha", b"Offset = -7 -7 0", line, without=b"Offset")
    for read in (read_volume, read_grid):
        with pytest.raises(UserError, match=f"a\\.mha: expected one value, found .*{both}"):
            read(path)
    same = edited(tmp_path / "same.mha", b"ElementSize = 1.0 1.0 2.00")
    np.testing.assert_array_equal(read_volume(same).array, ct_array())


def test_axes_of_a_metaimage_that_scale_contradict_its_spacing(tmp_path):
    path = edited(tmp_path / "a.mha", b"TransformMatrix = 2 0 0 0 2 0 0 0 2", without=b"TransformMatrix")
    with pytest.raises(UserError, match=r"a\.mha: expected axes of length 1 as TransformMatrix, found lengths 2, 2, 2"):
        read_volume(path)


@pytest.mark.parametrize(("code", "warned"), [(b"RAI", False), (b"???", False), (b"LPS", True), (b"RAS", True)])
def test_another_anatomical_orientation_than_the_axes_is_reported(tmp_path, caplog, code, warned):
    path = edited(tmp_path / "a.mha", b"AnatomicalOrientation = " + code, without=b"Anatomical")
    read_volume(path)
    assert ("AnatomicalOrientation" in caplog.text and "RAI by its TransformMatrix" in caplog.text) == warned
