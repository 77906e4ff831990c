"""Patches depend on (seed, position) alone, keep to their data set, and image and label stay together."""

from __future__ import annotations

import multiprocessing
import pickle
from itertools import islice

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandFlipd, RandRotate90d, RandScaleIntensityd, RandShiftIntensityd
from torch.utils.data import DataLoader

from monai_cl.data import MixCLPatches, PositionSampler, Preparation, SegmentationPatches, VolumeStore
from monai_cl.data.patches.crops import crop_start
from monai_cl.errors import UserError
from monai_cl.transforms import boundary_weight_map
from tests.data.memory_store import MemoryStore, small_case

DATASETS = {"liver": ["a", "b", "c"], "kidney": ["d", "e"], "empty": [], "spleen": ["f"]}


def make_store() -> MemoryStore:
    classes = {"a": (1, 2, 3), "b": (1, 2), "c": (3,), "d": (1,), "e": (), "f": (2, 5)}
    return MemoryStore({key: small_case(n, classes=c) for n, (key, c) in enumerate(classes.items())})


def mixcl(**options) -> MixCLPatches:
    return MixCLPatches(make_store(), DATASETS, **{"patch_size": 16, "seed": 3, "voxels_per_class": 8, **options})


def segmentation(**options) -> SegmentationPatches:
    return SegmentationPatches(make_store(), list("abc"), **{"patch_size": 16, "seed": 3, **options})


def augmentation() -> Compose:
    keys = ["image", "label"]
    return Compose(
        [
            RandFlipd(keys, prob=0.5, spatial_axis=0),
            RandRotate90d(keys, prob=0.5),
            RandScaleIntensityd("image", factors=0.1, prob=0.5),
            RandShiftIntensityd("image", offsets=0.1, prob=0.5),
        ]
    )


def assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, torch.Tensor):
            assert value.dtype == other[key].dtype
            assert torch.equal(value, other[key]), key
        else:
            assert value == other[key], key


def test_a_pair_has_the_documented_entries():
    dataset = mixcl()
    sample = dataset[4]
    for number in (1, 2):
        image, label = sample[f"image{number}"], sample[f"label{number}"]
        assert image.shape == label.shape == (1, 16, 16, 16)
        assert image.dtype == torch.float32
        assert label.dtype == torch.uint8
        assert image.min() >= 0
        assert image.max() <= 1
        voxels, labels = sample[f"voxels{number}"], sample[f"voxel_labels{number}"]
        # K: the case with most classes has three, and background
        assert voxels.shape == labels.shape == (8 * 4,)
        assert voxels.dtype == labels.dtype == torch.int64
    assert sample["position"] == 4
    assert sample["id1"].startswith("id of ")


def test_drawn_voxels_point_at_their_labels_in_the_level_grid():
    dataset = mixcl()
    for position in range(12):
        sample = dataset[position]
        for number in (1, 2):
            level = sample[f"label{number}"][0, 1::2, 1::2, 1::2].flatten()
            voxels, labels = sample[f"voxels{number}"], sample[f"voxel_labels{number}"]
            drawn = voxels >= 0
            assert torch.equal(drawn, labels >= 0)
            assert (voxels[~drawn] == -1).all()
            assert torch.equal(level[voxels[drawn]].long(), labels[drawn])
            assert len(voxels[drawn].unique()) == drawn.sum()
            for value in level.unique():
                assert (labels == value).sum() == min(8, (level == value).sum())


def test_voxels_are_drawn_by_the_weights_of_the_full_resolution_label():
    # half the patch is class 1: W is largest four voxels from the plane between, which the level must reproduce
    label = np.zeros((32, 32, 32), np.uint8)
    label[16:] = 1
    store = MemoryStore({"a": (np.zeros((32, 32, 32), np.int16), label)})
    dataset = MixCLPatches(
        store, {"x": ["a"]}, patch_size=32, voxels_per_class=64, elastic_probability=0, affine_probability=0
    )
    rows = torch.cat([dataset[p]["voxels1"] for p in range(40)])
    rows = (rows[rows >= 0] // 16**2).bincount(minlength=16) / len(rows[rows >= 0])
    expected = boundary_weight_map(label)[1::2, 0, 0]
    expected = torch.as_tensor(expected / expected.sum())
    # both classes hand out 64 voxels, so halves are compared on their own
    torch.testing.assert_close(
        rows[:8] / rows[:8].sum(), (expected[:8] / expected[:8].sum()).float(), atol=0.02, rtol=0
    )
    torch.testing.assert_close(
        rows[8:] / rows[8:].sum(), (expected[8:] / expected[8:].sum()).float(), atol=0.02, rtol=0
    )


def test_positions_are_independent_of_what_was_drawn_before():
    one, other = mixcl(), mixcl()
    backwards = {position: other[position] for position in (9, 2, 5, 0)}
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002  neither global state may matter
    for position in (0, 2, 5, 9):
        assert_same(one[position], backwards[position])


def test_another_seed_or_position_gives_other_patches():
    assert not torch.equal(mixcl()[0]["image1"], mixcl(seed=4)[0]["image1"])
    assert not torch.equal(mixcl()[0]["image1"], mixcl()[6]["image1"])


def augmented() -> SegmentationPatches:
    return segmentation(transform=augmentation())


# a spawned worker imports torch and MONAI again: seconds
@pytest.mark.parametrize(
    ("make", "start_method", "workers"),
    [
        (mixcl, "fork", 1),
        (mixcl, "fork", 2),
        (augmented, "fork", 2),
        pytest.param(mixcl, "spawn", 1, marks=pytest.mark.slow),
        pytest.param(mixcl, "spawn", 2, marks=pytest.mark.slow),
        pytest.param(augmented, "spawn", 2, marks=pytest.mark.slow),
    ],
)
def test_content_is_the_same_whatever_the_workers(make, start_method, workers):
    if start_method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"{start_method} does not exist here")
    alone = batches(make())
    for one, other in zip(alone, batches(make(), num_workers=workers, multiprocessing_context=start_method)):
        assert_same(one, other)


def batches(dataset, **options) -> list[dict]:
    # to its end: a spawned worker that is dropped in mid-work may abort
    positions = list(islice(PositionSampler(batch_size=2, start=1), 6))
    return list(DataLoader(dataset, batch_size=2, sampler=positions, **options))


def test_prepared_volumes_give_the_same_patches_as_volumes_in_memory(tmp_path):
    store = VolumeStore.create(tmp_path / "store", Preparation(spacing=(1.5, 1.5, 2.0)))
    keys = []
    for n in range(2):
        item = {"id": f"case{n}", "dataset": "x"}
        for kind, array in zip(("image", "label"), small_case(n)):
            item[kind] = str(tmp_path / f"{kind}{n}.nii.gz")
            nibabel.save(nibabel.Nifti1Image(array, np.diag([1.5, 1.5, 2.0, 1.0])), item[kind])
        keys.append(store.add(item))
    in_memory = MemoryStore({key: small_case(n) for n, key in enumerate(keys)})
    # the store keeps 10,000 of the body's voxels, so only what is centred on foreground is comparable
    options = {"patch_size": 16, "foreground_probability": 1, "voxels_per_class": 8}
    stored = batches(MixCLPatches(store, {"x": keys}, **options))
    for one, expected in zip(stored, batches(MixCLPatches(in_memory, {"x": keys}, **options))):
        for key in ("image1", "label1", "voxels1", "image2", "label2", "voxels2"):
            assert torch.equal(one[key], expected[key]), key
    # forked after the store was read from, as a training run does
    forked = batches(MixCLPatches(store, {"x": keys}, **options), num_workers=2, multiprocessing_context="fork")
    for one, other in zip(stored, forked):
        assert_same(one, other)


def test_a_resumed_loader_continues_where_it_stopped():
    whole = batches(mixcl())
    loader = DataLoader(mixcl(), batch_size=2, sampler=PositionSampler(batch_size=2, start=2))
    for one, other in zip(whole[1:], islice(loader, 2)):
        assert_same(one, other)


def test_bits_do_not_depend_on_threads():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = [mixcl(patch_size=32)[p] for p in range(3)]
        torch.set_num_threads(4)
        other = [mixcl(patch_size=32)[p] for p in range(3)]
    finally:
        torch.set_num_threads(threads)
    for a, b in zip(one, other):
        assert_same(a, b)


def test_the_second_patch_is_of_the_same_data_set_and_half_the_time_of_the_same_case():
    dataset = mixcl(elastic_probability=0, affine_probability=0)
    own = {f"id of {key}": number for number, keys in enumerate(DATASETS.values()) for key in keys}
    samples = [dataset[position] for position in range(600)]
    assert all(own[s["id1"]] == own[s["id2"]] == s["dataset"] for s in samples)
    several = [s["id1"] == s["id2"] for s in samples if s["dataset"] != 3]
    assert np.mean(several) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(len(several)))
    assert all(s["id1"] == s["id2"] for s in samples if s["dataset"] == 3)
    never = mixcl(same_image_probability=0, elastic_probability=0, affine_probability=0)
    assert all(s["id1"] != s["id2"] for s in (never[p] for p in range(60)) if s["dataset"] != 3)


def test_two_patches_of_one_case_are_two_crops():
    dataset = mixcl(same_image_probability=1)
    assert not torch.equal(dataset[0]["image1"], dataset[0]["image2"])


@pytest.mark.parametrize("probability", [0.0, 2 / 3, 1.0])
def test_the_centre_is_foreground_as_often_as_asked_and_its_class_uniform(probability):
    # one voxel of class 1, many of class 2: classes come equally often all the same
    image, label = np.zeros((32, 32, 32), np.int16), np.zeros((32, 32, 32), np.uint8)
    label[16, 16, 16], label[8:12, 8:12, 8:12] = 1, 2
    dataset = SegmentationPatches(
        MemoryStore({"a": (image, label)}), ["a"], patch_size=8, foreground_probability=probability
    )
    centres = np.array([dataset[p]["label"][0, 4, 4, 4].item() for p in range(900)])
    body = 1 - probability
    for value, expected in ((1, probability / 2 + body / 32**3), (2, probability / 2 + body * 64 / 32**3)):
        assert np.mean(centres == value) == pytest.approx(expected, abs=0.06)


def test_a_crop_is_centred_where_the_volume_allows_and_shifted_where_not():
    assert crop_start((20, 20, 20), (8, 8, 8), (40, 40, 40)) == (16, 16, 16)
    assert crop_start((0, 39, 2), (8, 8, 8), (40, 40, 40)) == (0, 32, 0)
    assert crop_start((3, 3, 3), (8, 9, 16), (8, 4, 5)) == (0, -3, -6)


def test_a_volume_smaller_than_the_patch_is_padded_with_air():
    image, label = np.full((6, 16, 20), 50, np.int16), np.ones((6, 16, 20), np.uint8)
    dataset = SegmentationPatches(MemoryStore({"a": (image, label)}), ["a"], patch_size=16)
    sample = dataset[0]
    assert (sample["image"][0, 5:11] == 0.5).all()
    assert (sample["label"][0, 5:11] == 1).all()
    for outside in (slice(0, 5), slice(11, 16)):
        assert (sample["image"][0, outside] == 0).all()
        assert (sample["label"][0, outside] == 0).all()


def test_intensities_are_clipped_to_the_window_and_scaled():
    image = np.full((16, 16, 16), -150, np.int16)
    image[0], image[1], image[2], image[3] = -1000, 250, 3000, 50
    store = MemoryStore({"a": (image, np.zeros((16, 16, 16), np.uint8))})
    sample = SegmentationPatches(store, ["a"], patch_size=16)[0]
    assert sample["image"][0, :5, 0, 0].tolist() == [0, 1, 1, 0.5, 0]


@pytest.mark.parametrize("patch_size", [16, (16, 24, 12)])
def test_image_and_label_are_warped_alike(patch_size):
    # the image shows the label: linear interpolation of a step crosses one half where nearest changes sides
    rng = np.random.default_rng(0)
    label = np.kron(rng.integers(0, 2, (6, 6, 6)), np.ones((8, 8, 8))).astype(np.uint8)
    image = np.where(label, 250, -150).astype(np.int16)
    store = MemoryStore({"a": (image, label)})
    dataset = MixCLPatches(store, {"x": ["a"]}, patch_size=patch_size, elastic_probability=1, affine_probability=1)
    for position in range(10):
        sample = dataset[position]
        agree = (sample["image1"] > 0.5) == (sample["label1"] == 1)
        assert agree.float().mean() > 0.97  # the rest lies on edges and corners of several blocks
        assert set(sample["label1"].unique().tolist()) <= {0, 1}


def test_a_warp_reads_beyond_the_patch_instead_of_padding():
    image, label = np.full((64, 64, 64), 250, np.int16), np.ones((64, 64, 64), np.uint8)
    label[24:40, 24:40, 24:40] = 2
    store = MemoryStore({"a": (image, label)}, spacing=(1, 1, 1))
    dataset = MixCLPatches(
        store,
        {"x": ["a"]},
        patch_size=16,
        foreground_probability=1,
        elastic_probability=0,
        affine_probability=1,
        warp={"rotation": 45},
    )
    store.entries["a"].voxels[1] = store.entries["a"].voxels[2]  # every crop lies far from the volume's surface
    for position in range(20):
        sample = dataset[position]
        assert (sample["image1"] > 0.9999).all()
        assert (sample["label1"] > 0).all()


def test_half_the_patches_are_warped_by_either_part():
    image, label = small_case(0, classes=(1,))
    still = MixCLPatches(
        MemoryStore({"a": (image, label)}), {"x": ["a"]}, patch_size=8, elastic_probability=0, affine_probability=0
    )
    warped = MixCLPatches(MemoryStore({"a": (image, label)}), {"x": ["a"]}, patch_size=8)
    same = np.mean([torch.equal(still[p]["image1"], warped[p]["image1"]) for p in range(300)])
    assert same == pytest.approx(0.25, abs=0.1)


def test_labels_above_255_stay_what_they_are():
    image, label = np.zeros((16, 16, 16), np.int16), np.zeros((16, 16, 16), np.int16)
    label[4:12] = 300
    sample = MixCLPatches(MemoryStore({"a": (image, label)}), {"x": ["a"]}, patch_size=16)[0]
    assert sample["label1"].dtype == torch.int64
    assert set(sample["label1"].unique().tolist()) == {0, 300}


def test_a_case_without_foreground_or_body_still_gives_patches():
    air = np.full((20, 20, 20), -1024, np.int16)
    dataset = MixCLPatches(MemoryStore({"a": (air, np.zeros_like(air, np.uint8))}), {"x": ["a"]}, patch_size=16)
    sample = dataset[0]
    assert (sample["image1"] == 0).all()
    assert (sample["voxel_labels1"] <= 0).all()


def test_the_transform_is_random_by_position_and_keeps_image_and_label_together():
    dataset = segmentation(transform=augmentation())
    again = segmentation(transform=augmentation())
    changed = 0
    for position in (7, 3, 11, 0, 20, 21, 22, 23):
        sample = dataset[position]
        assert_same(sample, again[position])
        assert type(sample["image"]) is type(sample["label"]) is torch.Tensor
        assert sample["image"].is_contiguous()
        assert sample["label"].dtype == torch.uint8
        changed += not torch.equal(sample["label"], segmentation()[position]["label"])
    assert 2 <= changed <= 8


def test_patches_pickle_small_and_read_the_same():
    dataset = mixcl()
    store, dataset.store = dataset.store, None
    assert len(pickle.dumps(dataset)) < 10_000
    dataset.store = store
    assert_same(pickle.loads(pickle.dumps(dataset))[1], dataset[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 1}, "patch_size must be one or three integers >= 2, got 1"),
        ({"patch_size": (16, 16)}, "patch_size must be"),
        ({"window": (250, -150)}, "window must be"),
        ({"foreground_probability": 1.5}, r"foreground_probability must be in \[0, 1\], got 1.5"),
        ({"same_image_probability": -1}, r"same_image_probability must be in \[0, 1\], got -1"),
        ({"elastic_probability": 2}, r"elastic_probability must be in \[0, 1\], got 2"),
        ({"seed": -1}, r"must be integers in \[0, 2\^64\), got -1"),
        ({"mu": 0}, "mu must be > 0, got 0"),
        ({"warp": {"affine_probability": 1}}, "warp must not repeat affine_probability"),
        ({"warp": {"scale": 1}}, r"scale must be in \[0, 1\), got 1"),
        ({"levels_stride": 3}, "must be >= 1 and divide patch_size"),
        ({"voxels_per_class": 0}, "voxels_per_class must be >= 1, got 0"),
        ({"balance": "fair"}, "balance must be"),
    ],
)
def test_bad_options_are_refused_at_the_door(options, message):
    with pytest.raises(ValueError, match=message):
        mixcl(**options)


def test_no_case_is_the_users_error():
    with pytest.raises(UserError, match="at least one prepared case"):
        MixCLPatches(make_store(), {"x": []})
    with pytest.raises(UserError, match="at least one prepared case"):
        SegmentationPatches(make_store(), [])


def test_negative_positions_are_refused():
    with pytest.raises(ValueError, match=r"must be integers in \[0, 2\^64\)"):
        mixcl()[-1]
