"""Crops of volumes: all slices, each cut alike, and addressed by seed, position and crop."""

from __future__ import annotations

import pytest
import torch

from monai_cl.transforms import VolumeCrops

STILL = {"gamma": (1.0, 1.0), "slope": (1.0, 1.0), "offset": (0.0, 0.0)}


def volumes(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 1, 5, 16, 12, generator=torch.Generator().manual_seed(0))


def test_large_and_small_crops_keep_every_slice():
    crops = VolumeCrops(seed=0, count=[1, 2], size=[(16, 12), (8, 6)], rescaled_side=[(8, 6), (18, 13)])
    large, small = crops(volumes(), [0, 1])
    assert large.shape == (2, 1, 1, 5, 16, 12)
    assert small.shape == (2, 2, 1, 5, 8, 6)
    assert crops.eval()(volumes()).shape == (2, 1, 1, 5, 16, 12)


def test_a_crop_at_the_scale_of_the_volume_is_the_volume_or_its_mirror_image():
    options = {"seed": 3, "count": [1, 0], "size": [(16, 12)] * 2, "rescaled_side": [(16, 12)] * 2, **STILL}
    image = volumes(6)
    (same,) = VolumeCrops(**options)(image, range(6))
    torch.testing.assert_close(same[:, 0], image)
    (turned,) = VolumeCrops(**options, flip=1.0)(image, range(6))
    torch.testing.assert_close(turned[:, 0], image.flip(-1))
    (some,) = VolumeCrops(**options, flip=0.5)(image, range(6))
    flipped = [bool(torch.allclose(crop[0], one.flip(-1))) for crop, one in zip(some, image)]
    assert 0 < sum(flipped) < 6


def test_slices_are_cut_alike():
    image = volumes(1)[:, :, :1].expand(-1, -1, 5, -1, -1)
    (crop,) = VolumeCrops(seed=1, count=[1, 0], size=[(10, 10)] * 2, scale=(0.6, 1.4), flip=0.5)(image, [7])
    for k in range(1, 5):
        torch.testing.assert_close(crop[0, 0, 0, k], crop[0, 0, 0, 0])


def test_what_is_drawn_depends_on_seed_and_position_alone():
    crops = VolumeCrops(seed=0, count=[1, 1], size=[(8, 8), (4, 4)], flip=0.5)
    both = crops(volumes(), [4, 9])
    alone = crops(volumes()[1:], [9])
    for together, single in zip(both, alone):
        torch.testing.assert_close(together[1:], single)
    assert not torch.equal(both[0][0], crops(volumes(), [5, 9])[0][0])


def test_impossible_options_are_refused():
    with pytest.raises(ValueError, match=r"flip must be in \[0, 1\], got 2"):
        VolumeCrops(seed=0, flip=2)
    with pytest.raises(ValueError, match=r"1 or more large crops and 1 in all, got \[0, 2\]"):
        VolumeCrops(seed=0, count=[0, 2])
