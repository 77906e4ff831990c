"""PNG, JPEG and single DICOM images as volumes of one slice that is displayed as the file is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from monai_cl.data import read_volume, to_ras
from monai_cl.data.io.reading import read_grid
from monai_cl.data.slices.pixels import window_slices
from monai_cl.errors import UserError

ROWS = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10  # 4 rows of 6 columns


def write_xray(path: Path, pixels: np.ndarray, **tags) -> Path:
    """A single DICOM image without a place in the patient."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    image.SeriesInstanceUID, image.StudyInstanceUID = "1.2.3", "1.2"
    image.Modality, image.PhotometricInterpretation = "CR", "MONOCHROME2"
    image.Rows, image.Columns = pixels.shape[:2]
    image.SamplesPerPixel, image.PixelRepresentation = pixels.shape[2] if pixels.ndim == 3 else 1, 0
    image.BitsAllocated = image.BitsStored = 8 * pixels.itemsize
    image.HighBit = image.BitsStored - 1
    image.PixelData = pixels.tobytes()
    if pixels.ndim == 3:
        image.PlanarConfiguration = 0
    for name, value in tags.items():
        setattr(image, name, value)
    image.save_as(path, enforce_file_format=True)
    return path


def shown(path: Path) -> np.ndarray:
    """What a network sees of the one slice of a file, in grey values."""
    return window_slices(to_ras(read_volume(path)).array.astype(np.float32), (0.0, 1.0e6)).numpy()[0] * 1.0e6


@pytest.mark.parametrize("ending", [".png", ".jpeg"])
def test_a_picture_is_a_slice_displayed_as_the_file(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    Image.fromarray(ROWS).save(path, quality=100)
    volume = read_volume(path)
    assert volume.array.shape == (6, 4, 1)
    np.testing.assert_allclose(shown(path), ROWS, atol=0.2 if ending == ".png" else 5)


def test_sixteen_bits_of_grey_are_kept(tmp_path):
    deep = ROWS.astype(np.uint16) * 250
    Image.fromarray(deep).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.png").array[..., 0].T, deep)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA"])
def test_colours_of_grey_give_the_grey(tmp_path, mode):
    Image.fromarray(ROWS).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.png").array[..., 0].T, ROWS)


def test_the_orientation_of_exif_is_applied_to_header_and_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    Image.fromarray(ROWS).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.png").array[..., 0].T, np.rot90(ROWS, -1))
    assert read_grid(tmp_path / "a.png").shape == (4, 6, 1)


def test_damaged_pictures_and_several_in_one_file_are_refused(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "none.jpg").write_bytes(b"no picture")
    frames = [Image.fromarray(ROWS), Image.fromarray(255 - ROWS)]
    frames[0].save(tmp_path / "two.png", save_all=True, append_images=frames[1:])
    for name, found in (("cut.png", "readable PNG or JPEG"), ("none.jpg", "readable PNG or JPEG"), ("two.png", "2 in")):
        with pytest.raises(UserError, match=rf"{name}: expected .*{found}"):
            read_volume(tmp_path / name)


def test_a_picture_too_large_to_be_one_is_refused(tmp_path, monkeypatch):
    Image.fromarray(ROWS).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(UserError, match=r"a\.png: expected a picture of an examination"):
        read_volume(tmp_path / "a.png")


def test_a_single_dicom_image_is_displayed_as_the_file(tmp_path):
    path = write_xray(tmp_path / "a.dcm", ROWS.astype(np.uint16) * 9, ImagerPixelSpacing=[0.5, 0.25])
    volume = read_volume(path)
    np.testing.assert_allclose(volume.spacing, (0.25, 0.5, 1.0))
    np.testing.assert_allclose(shown(path), ROWS.astype(float) * 9, atol=0.5)


def test_an_xray_that_is_stored_with_air_white_is_read_with_air_dark(tmp_path):
    path = write_xray(tmp_path / "a.dcm", ROWS, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_volume(path).array[..., 0].T, 255 - ROWS)


def test_ultrasound_in_colours_and_of_one_frame_is_its_luminance(tmp_path):
    colours = np.stack([ROWS, ROWS, ROWS], axis=2)
    more = {"Modality": "US", "PhotometricInterpretation": "RGB", "NumberOfFrames": 1}
    path = write_xray(tmp_path / "a.dcm", colours, SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1", **more)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array[..., 0].T, ROWS)
    np.testing.assert_allclose(volume.spacing, (1, 1, 1))


def test_a_ct_slice_without_its_place_is_still_refused(tmp_path):
    path = write_xray(tmp_path / "a.dcm", ROWS, Modality="CT", RescaleSlope=1, RescaleIntercept=0)
    with pytest.raises(UserError, match="as ImagePositionPatient"):
        read_volume(path)
