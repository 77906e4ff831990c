"""Slices as a network takes them: window, orientation, size, neighbours, and how little is read."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset, default_collate

from monai_cl.data import CTSlices, Preparation, collate_slices, load_data_list, organ_ids, prepare, slice_volumes
from monai_cl.data.datalist.json_files import write_json
from monai_cl.data.slices.pixels import fit_slices, window_slices
from monai_cl.data.store.arrays import StoredArray
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, write_nifti

SHAPE = (24, 24, 20)
NATIVE = Preparation(spacing=None, layout="slices")


def write_item(folder: Path, name: str, *, codes="RAS", shape=SHAPE, spacing=(0.8, 0.8, 2.5), array=None, **more):
    """An image with a liver (id 1) in slices 4-13 from the feet, on disk in the order ``codes``."""
    image = ct_array(shape, seed=len(name)) if array is None else array
    label = np.zeros(shape, np.uint8)
    label[6:15, 6:15, 4:14] = 1
    flips = tuple(axis for axis, (code, plus) in enumerate(zip(codes, "RAS")) if code != plus)
    affine = affine_of(codes, spacing)
    return {
        "image": str(write_nifti(folder / f"{name}.nii.gz", np.flip(image, flips), affine)),
        "label": str(write_nifti(folder / f"{name}_label.nii.gz", np.flip(label, flips), affine)),
        "patient": name,
        "id": name,
        "dataset": "test",
        **more,
    }


def dataset_of(folder: Path, items, *, liver=1, **options) -> CTSlices:
    done = prepare(items, folder / "store", NATIVE, progress=False)
    assert not done.skipped, done.skipped
    return CTSlices(done.store, slice_volumes(done.store, done.keys, done.items, liver=liver), **options)


@pytest.fixture
def two(tmp_path) -> CTSlices:
    items = [write_item(tmp_path, "P1", target=2), write_item(tmp_path, "P02")]
    return dataset_of(tmp_path, items, size=24)


def test_data_set_is_flat_over_the_kept_slices(two):
    assert len(two) == 14
    assert [two[i]["slice"] for i in range(14)] == [*range(5, 12)] * 2
    assert [two[i]["index"] for i in range(14)] == list(range(14))
    assert two.patients == ["P1"] * 7 + ["P02"] * 7
    assert two.targets == [2] * 7 + [None] * 7
    assert two[0]["label"] == 2
    assert two[7]["label"] == -1
    np.testing.assert_allclose([two[i]["depth"] for i in range(14)], two.depths, rtol=1e-6)
    np.testing.assert_allclose(two.depths[:2], [5.5 / 20, 6.5 / 20])


def test_addresses_are_those_of_its_slices_in_their_order(two):
    samples = [two[index] for index in range(len(two))]
    named = [("CT", f"{sample['patient']}/{sample['id']}/{sample['slice']}") for sample in samples]
    assert two.addresses() == named
    assert len(set(named)) == len(two)
    assert two.prepared_as == {"size": two.size, "window": two.window, "pixel_size": None}


@pytest.mark.parametrize("index", [-1, 14])
def test_a_slice_that_is_not_there_is_an_index_error(two, index):
    with pytest.raises(IndexError, match="of 14"):
        two[index]


def test_image_is_the_window_seen_as_by_a_radiologist(tmp_path):
    array = ct_array(SHAPE)
    dataset = dataset_of(tmp_path, [write_item(tmp_path, "P", array=array)], size=24)
    sample = dataset[2]
    expected = (np.clip(array[:, :, sample["slice"]], -100, 400) + 100) / 500
    # row 0 is the front (largest y), column 0 the patient's right (largest x)
    np.testing.assert_allclose(sample["image"][0], expected[::-1, ::-1].T, atol=1e-6)
    assert sample["image"].dtype == torch.float32
    assert sample["image"].is_contiguous()


@pytest.mark.parametrize("codes", ["LPS", "RAI", "LPI"])
def test_storage_order_changes_neither_image_nor_depth(tmp_path, codes):
    array = ct_array(SHAPE)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = dataset_of(tmp_path / "a", [write_item(tmp_path / "a", "P", array=array)], size=24)
    other = dataset_of(tmp_path / "b", [write_item(tmp_path / "b", "P", array=array, codes=codes)], size=24)
    assert len(one) == len(other)
    for i in range(len(one)):
        torch.testing.assert_close(one[i]["image"], other[i]["image"])
        assert one[i]["depth"] == other[i]["depth"]


def test_neighbours_are_channels_and_the_ends_repeat(tmp_path):
    array = ct_array(SHAPE)
    item = write_item(tmp_path, "P", array=array)
    del item["label"]
    done = prepare([item], tmp_path / "store", NATIVE, progress=False)
    volumes = slice_volumes(done.store, done.keys, done.items, fraction=1.0)
    plain = CTSlices(done.store, volumes, size=24)
    deep = CTSlices(done.store, volumes, size=24, neighbours=2)
    assert deep.channels == 5
    for i, around in ((0, [0, 0, 0, 1, 2]), (1, [0, 0, 1, 2, 3]), (9, [7, 8, 9, 10, 11]), (19, [17, 18, 19, 19, 19])):
        expected = torch.stack([plain[k]["image"][0] for k in around])
        torch.testing.assert_close(deep[i]["image"], expected)


def test_only_the_wanted_slices_are_read(tmp_path, monkeypatch):
    items = [write_item(tmp_path, "P1", target=0), write_item(tmp_path, "P02", target=1)]
    dataset = dataset_of(tmp_path, items, size=24, neighbours=1)
    boxes = []
    read = StoredArray.__getitem__

    def counted(self, box):
        boxes.append((self._path.name, box[2].stop - box[2].start))
        return read(self, box)

    monkeypatch.setattr(StoredArray, "__getitem__", counted)
    for i in range(len(dataset)):
        dataset[i]
    assert boxes == [("image.b2nd", 3)] * len(dataset)


def test_a_slice_is_one_chunk_of_the_store(tmp_path):
    array = ct_array((600, 20, 6))
    dataset = dataset_of(tmp_path, [write_item(tmp_path, "P", shape=(600, 20, 6), array=array)], liver=None, size=24)
    stored = dataset.store._open_array(dataset.volumes[0].key, "image")._array
    assert stored.chunks[0] == 1


def test_matrix_of_the_wanted_size_is_not_resampled():
    images = torch.rand(3, 32, 32)
    torch.testing.assert_close(fit_slices(images, (0.7, 0.7), size=32), images, rtol=0, atol=0)


def test_whole_field_of_view_fits_without_distortion():
    images = torch.ones(1, 40, 20)  # 40 rows of 1 mm, 20 columns of 1.5 mm: 40 x 30 mm
    fitted = fit_slices(images, (1.0, 1.5), size=80)
    covered = fitted[0] > 0.5
    assert covered.sum(0).max() == 80
    assert covered.sum(1).max() == 60
    assert covered[:, 10:70].all()
    assert not covered[:, :10].any()


def test_fixed_pixel_size_cuts_or_pads_the_middle():
    images = torch.rand(2, 30, 30)
    torch.testing.assert_close(fit_slices(images, (2, 2), size=20, pixel_size=2.0), images[:, 5:25, 5:25])
    padded = fit_slices(images, (2, 2), size=36, pixel_size=2.0)
    torch.testing.assert_close(padded[:, 3:33, 3:33], images)
    assert padded.sum() == pytest.approx(float(images.sum()), rel=1e-5)


def test_shrinking_averages():
    chess = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(16, 16)[None]
    shrunk = fit_slices(chess, (1, 1), size=8)
    torch.testing.assert_close(shrunk, torch.full((1, 8, 8), 0.5), atol=0.02, rtol=0)


@pytest.mark.parametrize("window", [(-100.0, 400.0), (-100.5, 399.25), (-40000.0, 40000.0)])
def test_window_is_clipped_and_scaled_exactly(window):
    array = np.array([-32768, -1024, -101, -100, 0, 399, 400, 401, 32767], np.int16).reshape(1, 1, 9)
    low, high = window
    expected = (np.clip(array.astype(np.float64), low, high) - low) / (high - low)
    np.testing.assert_allclose(window_slices(array, window).numpy().ravel(), expected.ravel(), atol=1e-6)
    assert float(window_slices(array, window).max()) <= 1.0


def test_a_constant_slice_names_patient_file_and_slice_before_anything_is_read(tmp_path):
    array = ct_array(SHAPE)
    array[..., 8] = -1024
    message = r"patient P7: .*P7.nii.gz: expected an image in slice 8 .* one value, -1024 HU"
    with pytest.raises(UserError, match=message):
        dataset_of(tmp_path, [write_item(tmp_path, "P7", array=array)], size=24)


def test_a_constant_slice_of_a_store_without_ranges_is_reported_when_it_is_read(tmp_path):
    array = ct_array(SHAPE)
    array[..., 8] = -1024
    done = prepare([write_item(tmp_path, "P7", array=array)], tmp_path / "store", Preparation(None), progress=False)
    dataset = CTSlices(done.store, slice_volumes(done.store, done.keys, done.items, liver=1), size=24)
    dataset[2]
    with pytest.raises(UserError, match=r"patient P7: .*expected an image in slice 8 .* one value, -1024 HU"):
        dataset[3]


def test_liver_has_another_id_in_every_data_set(tmp_path):
    write_json(
        tmp_path / "list.json",
        {
            "name": "both",
            "datasets": [
                {"name": "a", "labels": {"0": "background", "6": "Liver"}, "training": [{"image": "a.nii.gz"}]},
                {"name": "b", "labels": {"0": "background", "1": "spleen"}, "training": [{"image": "b.nii.gz"}]},
            ],
        },
    )
    assert organ_ids(load_data_list(tmp_path / "list.json")) == {"a": 6}


def test_patients_of_two_data_sets_are_distinguished(tmp_path):
    items = [write_item(tmp_path, "P1", dataset="a"), write_item(tmp_path, "P1", dataset="b")]
    dataset = dataset_of(tmp_path, [items[0], items[1] | {"id": "other"}], size=24)
    assert sorted(set(dataset.patients)) == ["a/P1", "b/P1"]


def test_mask_on_another_grid_names_the_file(tmp_path):
    item = write_item(tmp_path, "P5")
    write_nifti(Path(item["label"]), np.ones((24, 24, 19), np.uint8), affine_of("RAS", (0.8, 0.8, 2.5)))
    done = prepare([item, write_item(tmp_path, "P06")], tmp_path / "store", NATIVE, progress=False)
    ((skipped, reason),) = done.skipped
    assert skipped["patient"] == "P5"
    assert "P5_label.nii.gz: expected the grid of" in reason


def test_masks_without_liver_are_all_named_at_once(tmp_path):
    items = [write_item(tmp_path, name) for name in ("P1", "P02")]
    with pytest.raises(UserError, match=r"(?s)2 masks without liver.*patient P1.*patient P02"):
        dataset_of(tmp_path, items, liver=9)


def test_batches_collate_and_workers_agree(two):
    plain = list(DataLoader(two, batch_size=7))
    worked = list(DataLoader(pickle.loads(pickle.dumps(two)), batch_size=7, num_workers=1))
    for one, other in zip(plain, worked, strict=True):
        torch.testing.assert_close(one["image"], other["image"])
        assert one["image"].shape == (7, 1, 24, 24)
        assert one["depth"].dtype == torch.float32
        assert one["label"].dtype == torch.int64
        assert one["patient"] == other["patient"]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("indices", [None, [3, 0, 3, 9]], ids=["whole", "subset"])
def test_a_batch_in_one_piece_is_what_default_collate_makes_of_its_slices(two, indices, workers):
    data = two if indices is None else Subset(two, indices)
    batches = list(DataLoader(data, batch_size=3, num_workers=workers, collate_fn=collate_slices))
    start = 0
    for batch in batches:
        expected = default_collate([data[i] for i in range(start, min(start + 3, len(data)))])
        assert batch.keys() == expected.keys()
        for key, value in expected.items():
            assert torch.equal(batch[key], value) if isinstance(value, torch.Tensor) else batch[key] == value
        start += len(batch["label"])
    assert start == len(data)


def test_a_batch_is_not_copied_and_not_used_again(two):
    samples = two.__getitems__([0, 1])
    batch = collate_slices(samples)
    assert batch["image"].data_ptr() == samples[0]["image"].data_ptr()
    before = batch["image"].clone()
    two.__getitems__([2, 3])
    assert torch.equal(batch["image"], before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be >= 1 pixel, got 0"),
        ({"pixel_size": 0}, "pixel_size must be > 0 mm or None, got 0"),
        ({"neighbours": -1}, "neighbours must be >= 0, got -1"),
        ({"window": (400, -100)}, "window must be"),
    ],
)
def test_bad_options_are_refused(two, options, message):
    with pytest.raises(ValueError, match=message):
        CTSlices(two.store, two.volumes, **options)


def test_no_volume_is_refused(two):
    with pytest.raises(UserError, match="at least one volume"):
        CTSlices(two.store, [])
    with pytest.raises(UserError, match="at least one prepared volume"):
        slice_volumes(two.store, [], [])


@pytest.mark.real_data
def test_real_scan_gives_slices_of_its_liver(real_data, tmp_path):
    folder = real_data / "ct_organs"
    item = {"image": str(folder / "totalseg_ct.nii.gz"), "label": str(folder / "totalseg_structures.nii.gz")}
    if not Path(item["image"]).is_file():
        pytest.skip("another layout of the real data")
    done = prepare([item], tmp_path / "store", NATIVE, progress=False)
    volumes = slice_volumes(done.store, done.keys, done.items, liver=5)
    dataset = CTSlices(done.store, volumes, size=160)
    sample = dataset[len(dataset) // 2]
    assert sample["image"].shape == (1, 160, 160)
    label = done.store.read(done.keys[0], kind="label")
    with_liver = np.flatnonzero((label == 5).any(axis=(0, 1)))
    assert set(volumes[0].slices) <= set(with_liver)
    assert len(volumes[0].slices) == round(0.7 * len(with_liver))
