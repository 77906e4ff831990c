"""A series is opened once: how often each of its files is read on the way from a folder to a DICOM SEG."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from monai.data import MetaTensor
from monai.transforms import LoadImaged

from monai_cl.data import CTReader, read_dicom_seg
from monai_cl.data.dicom import kept_series
from monai_cl.data.dicom.kept_series import keep, kept, release
from monai_cl.data.dicom.series import open_series, read_dicom_series
from monai_cl.engines import SaveDicomSegd, inference_items, volumes_in
from monai_cl.errors import UserError
from tests.data.volume_files import ct_array, label_array, write_dicom

POSITIONS = np.arange(10.0, 34.0, 2.0)


class Openings:
    """Reads of .dcm files: by SimpleITK of a header or of pixels, and every opening by Python code."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {kind: Counter() for kind in ("header", "pixels", "python")}
        self.active = False

    def add(self, kind: str, *files: object) -> None:
        if self.active:
            self.counts[kind].update(Path(os.fspath(file)).name for file in files if str(file).endswith(".dcm"))

    def per_file(self, kind: str) -> set[int]:
        return set(self.counts[kind].values())


@pytest.fixture
def openings(monkeypatch) -> Iterator[Openings]:
    found = Openings()
    read_header, read_pixels, read_one = (
        sitk.ImageFileReader.ReadImageInformation,
        sitk.ImageSeriesReader.Execute,
        sitk.ImageFileReader.Execute,
    )

    def header(reader):
        found.add("header", reader.GetFileName())
        return read_header(reader)

    def pixels(reader):
        found.add("pixels", *reader.GetFileNames())
        return read_pixels(reader)

    def one(reader):
        found.add("pixels", reader.GetFileName())
        return read_one(reader)

    def audit(event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], (str, os.PathLike)):
            found.add("python", arguments[0])

    monkeypatch.setattr(sitk.ImageFileReader, "ReadImageInformation", header)
    monkeypatch.setattr(sitk.ImageFileReader, "Execute", one)
    monkeypatch.setattr(sitk.ImageSeriesReader, "Execute", pixels)
    sys.addaudithook(audit)  # stays to the end of the process, and then does nothing
    found.active = True
    yield found
    found.active = False


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    kept_series._kept.clear()
    yield
    kept_series._kept.clear()


def label_of(image: MetaTensor) -> MetaTensor:
    """What a network would have found in the image."""
    return MetaTensor(label_array(values=(1, 2))[None], meta=image.meta)


@pytest.mark.parametrize("scans", [1, 3])
def test_from_a_folder_to_a_dicom_seg_every_header_is_read_twice_and_every_pixel_once(tmp_path, openings, scans):
    pytest.importorskip("highdicom", reason='the extra "dicom" is not installed')
    folders = [
        write_dicom(tmp_path / "in" / f"scan{n}", ct_array(seed=n), POSITIONS, uid=f"1.2.3.{n}", prefix=f"s{n}_")
        for n in range(scans)
    ]
    items = inference_items(volumes_in(tmp_path / "in"), dicom_seg=True)
    assert [item["image"] for item in items] == [str(folder) for folder in folders]
    load = LoadImaged("image", reader=CTReader, ensure_channel_first=True)
    save = SaveDicomSegd("pred", organs=["spleen", "liver"], output_dir=tmp_path / "out")
    for item in items:
        image = load(item)["image"]
        save({"pred": label_of(image)})
    files = {file.name for folder in folders for file in folder.iterdir()}
    assert openings.counts["header"].keys() == openings.counts["pixels"].keys() == files
    assert openings.per_file("header") == {1}  # geometry, by SimpleITK
    # what a DICOM SEG refers to, by pydicom; and of one file of a folder, what kind of object it is
    assert sorted(openings.counts["python"].values())[-scans - 1 :] == [1, *[2] * scans]
    assert openings.per_file("pixels") == {1}
    openings.active = False
    for folder in folders:
        labels = read_dicom_seg(tmp_path / "out" / f"{folder.name}_seg.dcm", source=folder)[0]
        np.testing.assert_array_equal(labels, label_array(values=(1, 2)))


def test_reading_a_series_reads_every_header_once(tmp_path, openings):
    folder = write_dicom(tmp_path / "scan", ct_array(), POSITIONS)
    read_dicom_series(folder)
    assert openings.per_file("header") == openings.per_file("pixels") == {1}
    assert openings.per_file("python") == set()


def test_grid_and_voxels_of_an_open_series_read_no_header_again(tmp_path, openings):
    series = open_series(write_dicom(tmp_path / "scan", ct_array(), POSITIONS, shift_per_mm=0.25))
    grid = series.grid
    array, affine = series.read()
    assert grid.shape == array.shape
    np.testing.assert_array_equal(grid.affine, affine)
    assert openings.per_file("header") == {1}


class TestKeptSeries:
    def test_it_is_found_under_any_name_of_its_path_until_it_is_released(self, tmp_path, monkeypatch):
        folder = write_dicom(tmp_path / "scan", ct_array(), POSITIONS)
        series = open_series(folder)
        assert open_series(folder) is not series  # nothing is kept unasked
        keep(series, folder)
        monkeypatch.chdir(tmp_path)
        assert open_series(Path("scan")) is series
        release("scan")
        assert open_series(folder) is not series

    def test_it_is_not_taken_for_another_series_of_the_folder(self, tmp_path):
        folder = write_dicom(tmp_path / "scan", ct_array(), POSITIONS)
        keep(open_series(folder), folder)
        write_dicom(folder, ct_array(seed=1), POSITIONS, uid="1.2.9", prefix="other")
        one, other = open_series(folder, series="1.2.3.4"), open_series(folder, series="1.2.9")
        keep(one, folder, "1.2.3.4")
        assert open_series(folder, series="1.2.3.4") is one
        assert {item.series for item in other.slices} == {"1.2.9"}
        with pytest.raises(UserError, match="expected one DICOM series, found 2"):
            open_series(folder)  # kept while there was one

    @pytest.mark.parametrize("change", ["rewritten", "one gone", "one more", "all gone"])
    def test_files_that_have_changed_are_read_again(self, tmp_path, change):
        folder = write_dicom(tmp_path / "scan", ct_array(), POSITIONS)
        keep(open_series(folder), folder)
        first = sorted(folder.iterdir())[0]
        if change == "rewritten":
            stat = first.stat()
            os.utime(first, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        elif change == "one gone":
            first.unlink()
        elif change == "one more":
            (folder / "notes.txt").write_text("new")
        else:
            folder.rename(tmp_path / "elsewhere")
        assert kept(folder) is None

    def test_only_so_many_are_kept(self, tmp_path):
        for number in range(40):
            (tmp_path / str(number)).mkdir()
            keep(number, tmp_path / str(number))
        assert kept(tmp_path / "0") == 0
        assert kept(tmp_path / "39") is None
        release(tmp_path / "0")
        keep(39, tmp_path / "39")
        assert kept(tmp_path / "39") == 39
