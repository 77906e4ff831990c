"""Hidden cubes: as many as asked for, whole, and giving nothing away."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from einops import rearrange

from monai_cl.transforms.block_mask import hide, random_block_mask


@pytest.mark.parametrize(("ratio", "count"), [(0.6, 14), (0.01, 1), (0.99, 23), (0.5, 12)])
def test_as_many_whole_cubes_are_hidden_as_asked_for(ratio, count):
    hidden = random_block_mask(np.random.default_rng(0), (8, 12, 16), block=4, ratio=ratio)
    assert hidden.shape == (8, 12, 16)
    cubes = rearrange(hidden, "(h a) (w b) (d c) -> (h w d) (a b c)", a=4, b=4, c=4)
    assert set(cubes.sum(1).tolist()) <= {0, 64}
    assert int(hidden.sum()) == 64 * count


def test_every_cube_is_hidden_equally_often():
    rng = np.random.default_rng(0)
    share = torch.stack([random_block_mask(rng, (4, 4, 4), block=2, ratio=0.5) for _ in range(2000)]).float().mean(0)
    assert float((share - 0.5).abs().max()) < 5 * 0.5 / 2000**0.5


def test_hidden_voxels_have_the_mean_of_the_visible_ones_and_tell_nothing_of_themselves():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 1, 8, 8, 8, generator=generator)
    hidden = torch.stack([random_block_mask(np.random.default_rng(i), (8, 8, 8), block=4, ratio=0.6) for i in (0, 1)])
    found = hide(images, hidden)
    for image, mask, other in zip(found[:, 0], hidden, images[:, 0]):
        torch.testing.assert_close(image[mask], other[~mask].mean().expand(int(mask.sum())))
        assert torch.equal(image[~mask], other[~mask])
    changed = torch.where(hidden[:, None], torch.rand(2, 1, 8, 8, 8, generator=generator), images)
    assert torch.equal(hide(changed, hidden), found)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"block": 5, "ratio": 0.5}, r"mask_block must divide the patch size \[8, 8, 8\], got 5"),
        ({"block": 8, "ratio": 0.5}, "at least two cubes"),
        ({"block": 4, "ratio": 1.0}, r"mask_ratio must be in \(0, 1\), got 1.0"),
    ],
)
def test_bad_options_are_named(options, text):
    with pytest.raises(ValueError, match=text):
        random_block_mask(np.random.default_rng(0), (8, 8, 8), **options)
