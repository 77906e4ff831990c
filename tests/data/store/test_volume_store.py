"""The store gives back what was put in, box by box, and reports what it knows about it."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil

import numpy as np
import pytest
from monai.transforms import Compose, LoadImaged, Orientationd, Spacingd
from torch.utils.data import DataLoader

from monai_cl.data.io.reading import read_volume, to_ras
from monai_cl.data.store.preparation import prepare
from monai_cl.data.store.resampling import resample
from monai_cl.data.store.volume_store import Preparation, VolumeStore
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, items_of, label_array, rotated, write_nifti
from tests.laps import ratio

TARGET = (1.5, 1.5, 2.0)


@pytest.fixture
def items(tmp_path):
    return items_of(tmp_path)


@pytest.fixture
def store(tmp_path):
    return VolumeStore.create(tmp_path / "store", Preparation())


def test_a_volume_comes_back_in_ras_at_the_spacing_in_whole_hounsfield_units(store, items):
    key = store.add(items[0])
    expected = resample(to_ras(read_volume(items[0]["image"])), TARGET)
    image = store.read(key)
    assert image.dtype == np.int16
    np.testing.assert_array_equal(image, np.rint(expected.array))
    label = resample(to_ras(read_volume(items[0]["label"])), TARGET, mode="nearest")
    np.testing.assert_array_equal(store.read(key, kind="label"), label.array)
    assert store.read(key, kind="label").dtype == np.uint8
    np.testing.assert_allclose(store.entry(key).affine, expected.affine)


def test_the_entry_tells_what_the_list_and_the_volume_say(store, items):
    key = store.add(items[1])
    entry = store.entry(key)
    assert (entry.key, entry.dataset, entry.id, entry.patient) == (key, "tiny", "case1", "p1")
    assert entry.shape == store.read(key).shape
    assert entry.spacing == pytest.approx(TARGET)
    assert entry.classes == (1, 2, 5)
    assert entry.has_label
    assert entry.source["image"]["path"] == items[1]["image"]
    assert entry.voxels[5] == int((store.read(key, kind="label") == 5).sum())
    assert store.keys() == [key]
    assert key in store
    assert len(store) == 1


@pytest.mark.parametrize("layout", ["volume", "slices"])
def test_boxes_are_parts_of_the_whole(tmp_path, items, layout):
    store = VolumeStore.create(tmp_path / "s", Preparation(None, layout))
    key = store.add(items[0])
    whole = store.read(key)
    np.testing.assert_array_equal(whole, to_ras(read_volume(items[0]["image"])).array)
    for box in [np.s_[2:9, 3:4, 5:12], np.s_[:, :, 4:5], np.s_[0:0, :, :]]:
        np.testing.assert_array_equal(store.read(key, box), whole[box])


@pytest.mark.parametrize("layout", ["volume", "slices"])
def test_a_patch_has_its_size_wherever_it_lies(tmp_path, items, layout):
    store = VolumeStore.create(tmp_path / "s", Preparation(None, layout))
    key = store.add(items[0])
    image, label = store.read(key), store.read(key, kind="label")
    wide_image = np.pad(image, 40, constant_values=-1024)
    wide_label = np.pad(label, 40, constant_values=0)
    for start in [(0, 0, 0), (-5, 2, 9), (-40, -40, -40), (19, 15, 11), (-3, -3, -3), (3, 20, 4)]:
        at = tuple(slice(first + 40, first + 40 + size) for first, size in zip(start, (16, 10, 18), strict=True))
        np.testing.assert_array_equal(store.read_patch(key, start, (16, 10, 18)), wide_image[at])
        np.testing.assert_array_equal(store.read_patch(key, start, (16, 10, 18), kind="label"), wide_label[at])
    assert (store.read_patch(key, (100, 0, 0), (4, 4, 4), fill=7) == 7).all()
    assert (store.read_patch(key, (-100, 0, 0), (4, 4, 4), fill=7) == 7).all()


def test_coordinates_are_voxels_of_their_class(tmp_path, items):
    store = VolumeStore.create(tmp_path / "s", Preparation((0.35, 0.4, 0.6)))
    entry = store.entry(store.add(items[0]))
    label, image = store.read(entry.key, kind="label"), store.read(entry.key)
    for value in (*entry.classes, -1):
        coordinates = entry.coordinates(value)
        assert coordinates.dtype == np.int32
        assert len(coordinates) == min(10_000, entry.voxels[value])
        assert len(np.unique(coordinates, axis=0)) == len(coordinates)
        there = tuple(coordinates.T)
        assert (image[there] > -500).all() if value == -1 else (label[there] == value).all()
    assert entry.voxels[-1] > 10_000, "the cap is tried"
    with pytest.raises(KeyError, match="class 3 is not in"):
        entry.coordinates(3)


def test_coordinates_do_not_depend_on_who_prepares(tmp_path, items):
    drawn = []
    for name in "ab":
        store = VolumeStore.create(tmp_path / name, Preparation((0.35, 0.4, 0.6)))
        drawn.append(store.entry(store.add(items[0])).coordinates(-1))
    np.testing.assert_array_equal(*drawn)


def test_the_label_map_is_applied_and_part_of_the_key(store, items):
    plain = store.add(items[0])
    mapped = store.add(items[0] | {"label_map": {5: 1, 1: 2}})
    assert mapped != plain
    assert store.entry(mapped).classes == (1, 2)
    before, after = store.read(plain, kind="label"), store.read(mapped, kind="label")
    np.testing.assert_array_equal(after, np.select([before == 5, before == 1], [1, 2], 0))


def test_large_ids_are_kept_as_int16(store, items):
    key = store.add(items[0] | {"label_map": {5: 900}})
    assert store.read(key, kind="label").dtype == np.int16
    assert store.entry(key).classes == (900,)


def test_an_unlabelled_volume_has_an_image_only(store, items):
    key = store.add({"image": items[0]["image"], "dataset": "tiny", "id": "x"})
    entry = store.entry(key)
    assert (entry.has_label, entry.classes, entry.patient) == (False, (), "x")
    assert len(entry.coordinates(-1))
    with pytest.raises(UserError, match="expected a label beside the image of x"):
        store.read(key, kind="label")
    with pytest.raises(ValueError, match='kind must be "image" or "label"'):
        store.read(key, kind="mask")


def test_adding_twice_writes_once(store, items):
    key = store.add(items[0])
    before = (store.root / key / "entry.json").stat()
    assert store.add(dict(items[0])) == key == store.key(items[0]) == store.find(items[0])
    after = (store.root / key / "entry.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_moved_data_folder_keeps_its_entries(store, items, tmp_path):
    key = store.add(items[0])
    moved = tmp_path / "moved"
    moved.mkdir()
    paths = {kind: shutil.move(items[0][kind], moved) for kind in ("image", "label")}
    assert store.key(items[0] | paths) == key


def test_a_changed_source_and_another_preparation_give_another_key(store, items):
    key = store.add(items[0])
    other = VolumeStore.open(store.root, Preparation((3, 3, 3)))
    assert other.find(items[0]) is None
    coarse = other.add(items[0])
    assert coarse != key
    assert (store.keys(), other.keys()) == ([key], [coarse])
    assert other.read(coarse).shape < other.read(key).shape

    write_nifti(items[0]["image"], ct_array(seed=99), affine_of("LPS"))
    assert store.find(items[0]) is None
    renewed = store.add(items[0])
    assert renewed != key
    assert not np.array_equal(store.read(renewed), store.read(key))


def test_a_touched_source_with_the_same_content_keeps_its_entry(store, items):
    key = store.add(items[0])
    os.utime(items[0]["image"], (1, 1))
    assert store.find(items[0]) is None, "the time differs, so the content must be looked at"
    assert store.add(items[0]) == key


def test_the_store_pickles_and_serves_workers(store, items):
    keys = [store.add(item) for item in items]
    store.read(keys[0])  # an open file must not travel
    again = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(again.read(keys[2]), store.read(keys[2]))
    assert again.preparation == store.preparation
    loader = DataLoader(_Volumes(store, keys), batch_size=None, num_workers=2)
    for key, array in zip(keys, loader, strict=True):
        np.testing.assert_array_equal(array, store.read(key))


class _Volumes:
    def __init__(self, store, keys):
        self.store, self.keys = store, keys

    def __len__(self):
        return len(self.keys)

    def __getitem__(self, index):
        return self.store.read(self.keys[index])


@pytest.mark.parametrize("place", ["LAS", "LPS", "z first", "oblique"])
def test_a_stored_volume_is_what_monais_transforms_make_of_the_file(tmp_path, place):
    affine = {
        "LAS": affine_of("LAS"),
        "LPS": affine_of("LPS"),
        "z first": affine_of("SPR", (2.5, 0.8, 0.9)),
        "oblique": rotated(affine_of("LPS"), (7, -4, 12)),
    }[place]
    shape = (14, 18, 20)
    item = {
        "image": str(write_nifti(tmp_path / "image.nii.gz", ct_array(shape), affine)),
        "label": str(write_nifti(tmp_path / "label.nii.gz", label_array(shape), affine)),
        "id": "one",
        "dataset": "tiny",
    }
    keys = ["image", "label"]
    steps = [
        LoadImaged(keys, ensure_channel_first=True),
        Orientationd(keys, "RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
        Spacingd(keys, TARGET, mode=("bilinear", "nearest")),
    ]
    expected = Compose(steps)({kind: item[kind] for kind in keys})
    store = VolumeStore.create(tmp_path / "store", Preparation())
    key = store.add(item)
    assert np.abs(store.read(key) - expected["image"][0].numpy()).max() <= 1
    label = store.read(key, kind="label")
    np.testing.assert_array_equal(label, expected["label"][0].numpy())
    assert set(np.unique(label)) <= {0, 1, 2, 5}
    np.testing.assert_allclose(store.entry(key).affine, expected["image"].affine, atol=1e-5)
    assert store.entry(key).spacing == pytest.approx(TARGET)


def test_few_entries_stay_in_memory(tmp_path, items, monkeypatch):
    monkeypatch.setattr("monai_cl.data.store.volume_store._KNOWN_ENTRIES", 1)
    store = VolumeStore.create(tmp_path / "store", Preparation())
    keys = [store.add(item) for item in items[:2]]
    for _ in range(2):
        assert [store.entry(key).key for key in keys] == keys
    assert len(store._entries) == 1


def test_few_files_stay_open(tmp_path, items, monkeypatch):
    monkeypatch.setattr("monai_cl.data.store.volume_store._OPEN_ARRAYS", 2)
    store = VolumeStore.create(tmp_path / "s")
    keys = [store.add(item) for item in items]
    for key in [*keys, *keys[::-1]]:
        store.read(key)
        assert len(store._arrays) <= 2
    assert list(store._arrays)[-1] == (keys[0], "image")


def test_opening_what_is_not_a_store_is_an_error(tmp_path):
    with pytest.raises(UserError, match="expected a store, found none"):
        VolumeStore.open(tmp_path / "nowhere")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.docx").touch()
    with pytest.raises(UserError, match=r"expected an empty folder or a store, found thesis\.docx"):
        VolumeStore.create(tmp_path / "full")
    with pytest.raises(UserError, match="expected an empty folder or a store"):
        VolumeStore.create(tmp_path / "full" / "thesis.docx")


def test_a_store_of_another_format_is_refused(store):
    (store.root / "store.json").write_text(json.dumps({"format": 99, "preparation": {}}))
    for make in (VolumeStore.open, VolumeStore.create):
        with pytest.raises(UserError, match="expected store format 1, found 99"):
            make(store.root)


def test_open_recalls_the_preparation(tmp_path):
    preparation = Preparation(None, "slices", antialias=True)
    VolumeStore.create(tmp_path / "s", preparation)
    assert VolumeStore.open(tmp_path / "s").preparation == preparation
    told = f"expected a prepared volume, found none; run `python -m monai_cl prepare LIST --store {tmp_path}"
    with pytest.raises(UserError, match=re.escape(told)):
        VolumeStore.open(tmp_path / "s").read("nothing")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spacing": (1, 1)}, "spacing must be three lengths"),
        ({"spacing": (1, 1, -1)}, "spacing must be three lengths"),
        ({"layout": "cube"}, "layout must be one of"),
        ({"uneven_slices": "ignore"}, "uneven_slices must be"),
        ({"antialias": "no"}, "antialias must be True or False, got 'no'"),
    ],
)
def test_a_preparation_is_checked(options, message):
    with pytest.raises(ValueError, match=message):
        Preparation(**options)


def test_equal_preparations_have_equal_digests():
    assert Preparation((1, 1, 2)).digest == Preparation([1.0, 1.0, 2.0]).digest
    digests = {
        Preparation(*options).digest
        for options in [(), (None,), (None, "slices"), ((1, 1, 1),), (None, "slices", True)]
    }
    assert len(digests) == 5


class TestBadInput:
    def refuse(self, store, item, message):
        with pytest.raises(UserError, match=message):
            store.add(item)
        left = {path.name for path in store.root.iterdir()} - {".locks", ".sources"}
        assert left == {"store.json"}, "nothing may be left of a volume that could not be made"

    def test_label_of_another_shape(self, store, items, tmp_path):
        write_nifti(items[0]["label"], label_array((20, 16, 11)), affine_of("LPS"))
        self.refuse(
            store, items[0], r"case0_label\.nii\.gz: expected the grid of .*case0\.nii\.gz, shape .*found shape"
        )

    def test_label_elsewhere(self, store, items):
        write_nifti(items[0]["label"], label_array(), affine_of("LPS", origin=(-7, 11, 4)))
        self.refuse(store, items[0], r"case0_label.*to within 0\.070 mm, found corners 1\.000 mm apart")

    def test_a_label_stored_in_another_orientation_is_the_same_grid(self, store, items):
        ras = to_ras(read_volume(items[0]["label"]))
        flipped = VolumeStore.open(store.root)
        before = flipped.read(flipped.add(items[0]), kind="label")
        write_nifti(items[0]["label"], np.ascontiguousarray(ras.array), ras.affine)
        np.testing.assert_array_equal(store.read(store.add(items[0]), kind="label"), before)

    def test_nan(self, store, items):
        array = ct_array().astype(np.float32)
        array[3, 4, 5] = np.nan
        write_nifti(items[0]["image"], array, affine_of("RAS"))
        self.refuse(store, items[0], r"case0\.nii\.gz: expected finite HU .*found 1 voxel NaN .*\(3, 4, 5\)")

    @pytest.mark.parametrize("low", [0, -1])
    def test_an_image_that_was_scaled_already(self, store, items, low):
        array = np.random.default_rng(0).uniform(low, 1, (20, 16, 12)).astype(np.float32)
        write_nifti(items[0]["image"], array, affine_of("LPS"))
        self.refuse(store, items[0], r"case0\.nii\.gz: expected Hounsfield units, found values from")

    def test_a_label_with_fractions(self, store, items):
        write_nifti(items[0]["label"], label_array().astype(np.float32) / 2, affine_of("LPS"))
        self.refuse(store, items[0], r"case0_label.*expected integer label values, found \d\.5 and")

    def test_label_values_beyond_int16(self, store, items):
        write_nifti(items[0]["label"], label_array().astype(np.int32) * 100_000, affine_of("LPS"))
        self.refuse(store, items[0], r"expected label values of at most 32767.*label_map")
        assert store.add(items[0] | {"label_map": {200_000: 2}})

    def test_a_truncated_image(self, store, items):
        with open(items[0]["image"], "r+b") as file:
            file.truncate(400)
        self.refuse(store, items[0], "damaged or truncated")

    def test_an_image_that_changes_while_it_is_read(self, store, items, monkeypatch):
        from monai_cl.data.store import volume_store as module

        convert = module.convert

        def meanwhile(item, preparation, **options):
            converted = convert(item, preparation, **options)
            write_nifti(item["image"], ct_array(seed=9), affine_of("LPS"))
            return converted

        monkeypatch.setattr(module, "convert", meanwhile)
        self.refuse(store, items[0], r"case0\.nii\.gz: expected a file at rest")

    def test_no_image(self, store, items):
        self.refuse(store, {"id": "x"}, 'item x: expected a path under "image"')
        self.refuse(store, {"image": "nowhere.nii.gz"}, "nowhere.nii.gz: expected an image file")

    def test_whole_floats_and_wide_integers_are_accepted(self, store, items):
        expected = store.read(store.add(items[0])), store.read(store.add(items[0]), kind="label")
        write_nifti(items[0]["image"], ct_array().astype(np.float32), affine_of("LPS"))
        write_nifti(items[0]["label"], label_array().astype(np.float64), affine_of("LPS"))
        key = store.add(items[0])
        np.testing.assert_array_equal(store.read(key), expected[0])
        np.testing.assert_array_equal(store.read(key, kind="label"), expected[1])

    def test_values_beyond_int16_are_clipped(self, store, tmp_path):
        array = np.full((8, 8, 8), -100_000, np.int32)
        array[4, 4] = 100_000  # metal, of which there is little
        path = write_nifti(tmp_path / "wild.nii.gz", array, affine_of("RAS", TARGET))
        image = store.read(store.add({"image": str(path)}))
        assert (image.min(), image.max()) == (-32768, 32767)


@pytest.mark.real_data
def test_real_crops_are_read_without_the_rest_of_their_volume(tmp_path, real_data):
    folder = real_data / "ct_organs"
    item = {"image": str(folder / "btcv_img0037.nii.gz"), "label": str(folder / "btcv_label0037.nii.gz")}
    prepared = prepare([item], tmp_path / "store", Preparation(), progress=False)
    store, key = prepared.store, prepared.keys[0]
    assert store.entry(key).classes == tuple(range(1, 14))
    direct = read_volume(item["image"])
    np.testing.assert_array_equal(store.read(key), direct.array)
    rng = np.random.default_rng(0)
    start = [int(rng.integers(0, size - 96)) for size in store.entry(key).shape]

    def crop():
        return store.read_patch(key, start, (96, 96, 96)), store.read_patch(key, start, (96, 96, 96), kind="label")

    expected = direct.array[tuple(slice(first, first + 96) for first in start)]
    np.testing.assert_array_equal(crop()[0], expected)
    share = expected.size / direct.array.size
    found = ratio(crop, lambda: (store.read(key), store.read(key, kind="label")), laps=9)
    assert found < 0.5, f"{share:.0%} of the voxels"


@pytest.mark.real_data
def test_a_dicom_folder_and_its_segmentation_are_prepared_together(tmp_path, real_data):
    folder = real_data / "dicom"
    item = {
        "image": str(folder / "totalseg_upper_abdomen"),
        "label": str(folder / "totalseg_upper_abdomen_structures.nii.gz"),
        "label_map": {5: 1},
    }
    store = VolumeStore.create(tmp_path / "store")
    key = store.add(item)
    liver = store.read(key)[store.read(key, kind="label") == 1]
    assert store.entry(key).classes == (1,)
    assert store.entry(key).id == "totalseg_upper_abdomen"
    assert 50 < np.median(liver) < 150
