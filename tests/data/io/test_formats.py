"""The table of formats: each is read by what its entry names, header and voxels agree, and an entry is all it takes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cl.data.grid import Grid
from monai_cl.data.io import formats
from monai_cl.data.io.ct_reader import CTReader
from monai_cl.data.io.formats import (
    DICOM,
    FILE_ENDINGS,
    FORMATS,
    META_IMAGE,
    NIFTI,
    PICTURE,
    Format,
    format_named,
    strip_ending,
)
from monai_cl.data.io.reading import read_grid, read_volume
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, rotated, write_dicom, write_itk, write_nifti

AFFINE = rotated(affine_of("LPS"), (5, 0, 10))
ENDINGS = [(format, ending) for format in FORMATS for ending in format.endings]


def write(folder: Path, format: Format, ending: str) -> Path:
    if format is NIFTI:
        return write_nifti(folder / f"a{ending}", ct_array(), AFFINE)
    if format is DICOM:
        (slice_,) = write_dicom(folder / "one", ct_array()[..., :1], [7.0]).iterdir()
        return Path(shutil.copy(slice_, folder / f"a{ending}"))
    if format is PICTURE:
        Image.fromarray(np.arange(60, dtype=np.uint8).reshape(6, 10)).save(folder / f"a{ending}")
        return folder / f"a{ending}"
    return write_itk(folder / f"a{ending}", ct_array(), AFFINE)


@pytest.mark.parametrize(("format", "ending"), ENDINGS, ids=[ending for _, ending in ENDINGS])
@pytest.mark.parametrize("upper", [False, True], ids=["lower case", "upper case"])
def test_header_and_voxels_of_every_ending_give_one_grid(tmp_path, format, ending, upper):
    path = write(tmp_path, format, ending)
    if upper and ending not in (".mhd", ".nhdr"):  # they name their data file
        path = path.rename(path.with_name(path.name.upper()))
    volume, grid = read_volume(path), format.read_grid(path)
    assert grid.shape == volume.array.shape == volume.grid.shape
    np.testing.assert_array_equal(grid.affine, volume.affine)
    assert format_named(path.name) is format
    assert CTReader().verify_suffix(path)
    if not format.is_series:  # only all slices together tell; see read_grid
        np.testing.assert_array_equal(read_grid(path).affine, volume.affine)


def test_no_ending_stands_for_two_formats():
    endings = [ending for _, ending in ENDINGS]
    assert len(set(endings)) == len(endings)
    assert set(FILE_ENDINGS) == set(endings) - {*DICOM.endings, *PICTURE.endings}


@pytest.mark.parametrize("ending", [*FILE_ENDINGS, *PICTURE.endings, ".dcm", ".hdr", ".img", ".img.gz", ".NII.GZ"])
def test_an_ending_is_taken_off_whole_and_nothing_else(ending):
    assert strip_ending(f"folder/1.2.840.7{ending}") == "folder/1.2.840.7"
    assert strip_ending(ending) == ending  # a name of nothing else
    assert strip_ending("1.2.840.7") == "1.2.840.7"
    assert strip_ending("IM0001.ima") == "IM0001.ima"


def own_grid(path: Path) -> Grid:
    return Grid(np.load(path, mmap_mode="r").shape, AFFINE)


def own_voxels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    return np.load(path), AFFINE


def test_a_new_format_is_one_entry(tmp_path, monkeypatch):
    path = tmp_path / "a.npy"
    np.save(path, ct_array())
    with pytest.raises(
        UserError, match=r"\.mha, \.mhd, \.png, \.jpg, \.jpeg or a DICOM folder, found another kind of file"
    ):
        read_volume(path)
    assert not CTReader().verify_suffix(path)
    module = sys.modules[own_grid.__module__].__name__
    entry = Format("NumPy", (".npy",), header=f"{module}:own_grid", voxels=f"{module}:own_voxels")
    monkeypatch.setattr(formats, "FORMATS", (*FORMATS, entry))
    np.testing.assert_array_equal(read_volume(path).array, ct_array())
    assert read_grid(path).same_as(read_volume(path).grid)
    assert CTReader().verify_suffix(path)
    (tmp_path / "a.bmp").write_bytes(b"x")
    with pytest.raises(UserError, match=r"\.jpg, \.jpeg, \.npy or a DICOM folder"):
        read_volume(tmp_path / "a.bmp")


def test_a_format_is_not_imported_for_its_name(tmp_path):
    broken = Format("broken", (".x",), header="no.such.module:grid", voxels="no.such.module:voxels")
    assert broken.endings == (".x",)
    with pytest.raises(ModuleNotFoundError):
        broken.read_grid(tmp_path)
    assert META_IMAGE.read_grid(write(tmp_path, META_IMAGE, ".mha")).shape == ct_array().shape
