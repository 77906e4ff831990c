"""Resampling equals MONAI's Spacingd in shape, affine and values, whatever the orientation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Orientationd, Spacingd

from monai_cl.data.io.reading import Volume, read_volume, to_ras
from monai_cl.data.store.resampling import resample, target_grid
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, label_array, rotated

TARGET = (1.5, 1.5, 2.0)
RAS_LABELS = (("L", "R"), ("P", "A"), ("I", "S"))


def by_monai(image: Volume, label: Volume, spacing=TARGET) -> tuple[Volume, Volume]:
    item = {
        key: MetaTensor(torch.as_tensor(volume.array[None].astype(np.float32)), affine=torch.as_tensor(volume.affine))
        for key, volume in (("a", image), ("b", label))
    }
    keys = ["a", "b"]
    done = Compose(
        [Orientationd(keys, "RAS", labels=RAS_LABELS), Spacingd(keys, spacing, mode=("bilinear", "nearest"))]
    )(item)
    return tuple(Volume(done[key].numpy()[0], done[key].affine.numpy()) for key in keys)


def sheared(affine: np.ndarray) -> np.ndarray:
    tilted = affine.copy()
    tilted[:3, 2] += 0.2 * tilted[:3, 1]
    return tilted


GRIDS = {
    "RAS": affine_of("RAS"),
    "LAS": affine_of("LAS"),
    "LPS": affine_of("LPS"),
    "z first": affine_of("SPR", (2.5, 0.8, 0.9)),
    "already there": affine_of("RAS", TARGET),
    "nearly there": affine_of("RAS", (1.5004, 1.4996, 2.0)),
    "finer and coarser": affine_of("LAS", (3.1, 0.4, 5.0)),
    "half-way positions": affine_of("LPS", (3.0, 0.75, 1.0)),
    "oblique": rotated(affine_of("LPS"), (7, -4, 12)),
    "slightly oblique": rotated(affine_of("RAS"), (0.001, 0, 0)),
    "tilted gantry": sheared(affine_of("LPS")),
}


@pytest.mark.parametrize("shape", [(31, 27, 14), (40, 9, 1)], ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_values_shape_and_affine_equal_monais(grid, shape):
    image, label = Volume(ct_array(shape), GRIDS[grid]), Volume(label_array(shape), GRIDS[grid])
    theirs = by_monai(image, label)
    ours = resample(to_ras(image), TARGET), resample(to_ras(label), TARGET, mode="nearest")
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.array.shape == other.array.shape
        np.testing.assert_allclose(mine.affine, other.affine, atol=1e-6)
    assert ours[0].array.dtype == np.float32
    np.testing.assert_allclose(ours[0].array, theirs[0].array, atol=0.01)
    assert ours[1].array.dtype == np.uint8
    np.testing.assert_array_equal(ours[1].array, theirs[1].array)


@pytest.mark.parametrize("seed", range(12))
def test_any_spacing_and_shape_equals_monais(seed):
    rng = np.random.default_rng(seed)
    shape, own = rng.integers(2, 40, 3), rng.uniform(0.4, 4, 3).round(2)
    spacing = tuple(rng.choice([0.5, 1, 1.25, 1.5, 2, 3], 3))
    image, label = (
        Volume(make(shape), affine_of("LPS", own)) for make in (ct_array, lambda size: ct_array(size).clip(0, 9))
    )
    theirs = by_monai(image, label, spacing)
    ours = resample(to_ras(image), spacing), resample(to_ras(label), spacing, mode="nearest")
    np.testing.assert_allclose(ours[0].array, theirs[0].array, atol=0.01)
    np.testing.assert_array_equal(ours[1].array, theirs[1].array)
    np.testing.assert_allclose(ours[0].affine, theirs[0].affine, atol=1e-9)


def test_the_map_keeps_a_linear_field_of_the_world():
    affine = affine_of("RAS", (0.7, 0.7, 5.0))
    index = np.stack(np.meshgrid(*map(np.arange, (30, 20, 12)), indexing="ij"), axis=-1)
    field = (index @ affine[:3, :3].T + affine[:3, 3]) @ np.array([1.0, -2.0, 3.0])
    result = resample(Volume(field, affine), TARGET)
    index = np.stack(np.meshgrid(*map(np.arange, result.array.shape), indexing="ij"), axis=-1)
    expected = (index @ result.affine[:3, :3].T + result.affine[:3, 3]) @ np.array([1.0, -2.0, 3.0])
    inside = (slice(0, -1),) * 3  # the last voxel may lie beyond the last centre, where the border is repeated
    np.testing.assert_allclose(result.array[inside], expected[inside], atol=1e-3)


def test_nearest_makes_no_new_value():
    label = Volume(label_array((31, 27, 14), (3, 70, 200)), rotated(affine_of("LPS"), (9, 4, 3)))
    assert set(np.unique(resample(label, (0.6, 2.0, 1.1), mode="nearest").array)) == {0, 3, 70, 200}


class TestAntialias:
    def test_a_constant_stays(self):
        result = resample(Volume(np.full((30, 30, 20), 37, np.int16), affine_of("RAS")), (3, 3, 6), antialias=True)
        np.testing.assert_allclose(result.array, 37, rtol=1e-6)

    def test_noise_is_averaged_where_two_neighbours_would_be_picked(self):
        noise = np.random.default_rng(0).normal(0, 100, (64, 64, 16)).astype(np.float32)
        volume = Volume(noise, affine_of("RAS", (0.5, 0.5, 2.0)))
        plain, smooth = (resample(volume, (2, 2, 2), antialias=flag).array.std() for flag in (False, True))
        assert smooth < 0.35 * plain

    def test_going_finer_is_plain_linear(self):
        volume = Volume(ct_array(), affine_of("RAS", (3, 3, 5)))
        np.testing.assert_array_equal(resample(volume, TARGET, antialias=True).array, resample(volume, TARGET).array)

    def test_a_sheared_grid_is_refused(self):
        with pytest.raises(UserError, match="antialias"):
            resample(Volume(ct_array(), sheared(affine_of("RAS"))), TARGET, antialias=True)


def test_options_are_checked():
    volume = Volume(ct_array(), np.eye(4))
    with pytest.raises(ValueError, match='mode must be "linear" or "nearest", got \'cubic\''):
        resample(volume, TARGET, mode="cubic")
    for wrong in [(1, 1), (1, 1, 0), (1, 1, -2), (1, 1, np.nan)]:
        with pytest.raises(ValueError, match="spacing must be three lengths > 0 mm"):
            resample(volume, wrong)


def test_the_target_grid_keeps_the_first_voxel():
    volume = Volume(ct_array((100, 80, 60)), affine_of("RAS", (0.75, 0.75, 5.0)))
    shape, affine = target_grid(volume, TARGET)
    assert shape == (50, 40, 148)  # 50.5, 40.5 and 148.5 steps: MONAI rounds half to even
    np.testing.assert_allclose(affine[:3, 3], volume.affine[:3, 3])


@pytest.mark.real_data
def test_a_real_scan_equals_monais_within_one_hounsfield_unit(real_data):
    folder = real_data / "ct_organs"
    image, label = read_volume(folder / "totalseg_ct.nii.gz"), read_volume(folder / "totalseg_structures.nii.gz")
    theirs = by_monai(image, label)
    ours = resample(to_ras(image), TARGET), resample(to_ras(label), TARGET, mode="nearest")
    assert np.abs(ours[0].array - theirs[0].array).max() < 1
    np.testing.assert_array_equal(ours[1].array, theirs[1].array)
