"""What a list says of reading DICOM reaches the store, the validation and the transforms alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from monai_cl.data import LoadScand, Preparation, VolumeStore, load_data_list, prepare, validate_data_list
from monai_cl.data.io.ct_reader import reading_of
from monai_cl.data.io.reading import read_volume, to_ras
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, write_dicom, write_nifti

ARRAY = np.broadcast_to(np.array([-200, -100, 100, 200]), (8, 6, 4)).astype(np.int16)
FILLED = [-200, -100, 0, 100, 200]
NATIVE = Preparation(spacing=None)


def listed(folder: Path, **item: str) -> Path:
    """A list of a series with a gap and of a NIfTI file."""
    write_dicom(folder / "series", ARRAY, [0, 2, 6, 8])
    write_nifti(folder / "a.nii.gz", ct_array(), affine_of("LPS"))
    document = {"name": "two", "labels": {"0": "background"}}
    document["training"] = [{"image": "series"} | item, {"image": "a.nii.gz"}]
    (folder / "list.json").write_text(json.dumps(document))
    return folder / "list.json"


def stored(folder: Path, items) -> np.ndarray:
    done = prepare(items, folder / "store", NATIVE, progress=False)
    assert not done.skipped, done.summary()
    return done.store.read(done.keys[0])


@pytest.mark.parametrize("by", ["key", "option"])
def test_uneven_slices_are_interpolated_everywhere(tmp_path, by):
    path = listed(tmp_path, **({"uneven_slices": "interpolate"} if by == "key" else {}))
    option = {} if by == "key" else {"uneven_slices": "interpolate"}
    assert validate_data_list(path, **option) == []
    items = load_data_list(path, **option).items()
    np.testing.assert_array_equal(stored(tmp_path, items)[3, 3], FILLED)
    loaded = LoadScand(["image"])({"image": items[0]["image"], "uneven_slices": items[0]["uneven_slices"]})["image"]
    np.testing.assert_allclose(loaded[3, 3], FILLED)
    again = read_volume(items[0]["image"], **reading_of(loaded.meta))
    np.testing.assert_array_equal(again.array, loaded)


def test_without_it_they_are_refused_everywhere(tmp_path):
    path = listed(tmp_path)
    (problem,) = validate_data_list(path)
    assert "a gap of 4.000 mm" in str(problem)
    items = load_data_list(path).items()
    (skipped,) = prepare(items, tmp_path / "store", NATIVE, progress=False, report=None).skipped
    assert 'set uneven_slices to "interpolate"' in skipped[1]
    with pytest.raises(Exception, match=r"a gap of 4\.000 mm"):
        LoadScand(["image"])(items[0])


def test_what_an_item_says_goes_before_the_option(tmp_path):
    path = listed(tmp_path, uneven_slices="error")
    assert len(validate_data_list(path, uneven_slices="interpolate")) == 1


def test_a_nifti_file_is_not_prepared_again_for_it(tmp_path):
    path = listed(tmp_path)
    prepare(load_data_list(path).items(), tmp_path / "store", NATIVE, progress=False, report=None)
    items = load_data_list(path, uneven_slices="interpolate").items()
    done = prepare(items, tmp_path / "store", NATIVE, progress=False)
    assert (done.made, done.reused) == (1, 1)


def test_a_repair_reads_the_series_as_before(tmp_path):
    items = load_data_list(listed(tmp_path, uneven_slices="interpolate")).items()
    before = stored(tmp_path, items)
    store = VolumeStore.open(tmp_path / "store", NATIVE)
    (key,) = [key for key in store.all_keys() if store.entry(key).id == "series"]
    (store.root / key / "image.b2nd").write_bytes(b"")
    assert len(store.verify()) == 1
    store.repair()
    assert store.verify() == []
    np.testing.assert_array_equal(stored(tmp_path, items), before)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("uneven_slices", "drop", '"uneven_slices"|interpolate'), ("series_part", "", "a text that is not empty")],
)
def test_other_words_are_a_complaint_of_the_list(tmp_path, key, value, message):
    with pytest.raises(UserError, match=message):
        load_data_list(listed(tmp_path, **{key: value}))


def test_another_option_is_an_error(tmp_path):
    with pytest.raises(UserError, match="uneven_slices must be"):
        load_data_list(listed(tmp_path), uneven_slices="drop")


def test_two_acquisitions_of_one_series_are_two_entries_of_the_store(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    folder = write_dicom(tmp_path / "series", ARRAY, [0, 2, 4, 6])
    write_dicom(folder, ARRAY + 50, [0, 2, 4, 6], prefix="second")
    for file in folder.iterdir():
        header = pydicom.dcmread(file)
        header.AcquisitionNumber = 1 + file.name.startswith("second")
        header.save_as(file)
    found = []
    for number in (1, 2):
        document = {"name": "one", "labels": {"0": "background"}}
        document["training"] = [{"image": "series", "series_part": f"AcquisitionNumber={number}"}]
        (tmp_path / "list.json").write_text(json.dumps(document))
        assert validate_data_list(tmp_path / "list.json") == []
        items = load_data_list(tmp_path / "list.json").items()
        found.append(stored(tmp_path, items))
        np.testing.assert_array_equal(
            LoadScand(["image"])(items[0])["image"],
            read_volume(folder, **{"series_part": f"AcquisitionNumber={number}"}).array,
        )
    expected = to_ras(read_volume(folder, series_part="AcquisitionNumber=1")).array
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(found[1], expected + 50)
