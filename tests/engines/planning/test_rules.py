"""The rules of a plan, by value, at their limits, and where they must be monotone."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from monai_cl.engines.planning.rules import (
    intensity_window,
    iterations_within,
    largest_batch,
    largest_patch,
    median_shape,
    padded,
    patch_sequence,
    target_spacing,
)

CT = ((0.8, 0.8, 2.5), (300, 300, 90))


def test_the_target_spacing_is_the_median_of_each_axis():
    spacings = [(0.7, 0.7, 1.0), (0.8, 0.8, 2.0), (0.9, 0.9, 5.0)]
    assert target_spacing(spacings, [(512, 512, 300)] * 3) == (0.8, 0.8, 2.0)


def test_an_anisotropic_axis_takes_its_tenth_percentile():
    thick = [5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 2.0, 2.0]
    spacings = [(0.8, 0.8, step) for step in thick]
    assert target_spacing(spacings, [(512, 512, 60)] * 11) == (0.8, 0.8, 2.0)
    # as many voxels along it as a third of the others: thick slices, but the medians stay
    assert target_spacing(spacings, [(512, 512, 171)] * 11) == (0.8, 0.8, 5.0)
    # never finer than the other axes
    assert target_spacing([(1.0, 1.0, 0.5)] + [(1.0, 1.0, 4.0)] * 3, [(512, 512, 60)] * 4)[2] >= 1.0


def test_the_anisotropic_axis_may_be_any():
    assert target_spacing([(6.0, 1.0, 1.0)] * 3, [(30, 256, 256)] * 3) == (6.0, 1.0, 1.0)
    assert target_spacing([(6.0, 1.0, 1.0)] * 9 + [(2.0, 1.0, 1.0)] * 2, [(30, 256, 256)] * 11)[0] == 2.0


def test_the_median_scan_in_voxels_of_a_spacing():
    assert median_shape([(300, 300, 400), (400, 300, 200), (500, 300, 100)], (2.0, 1.5, 5.0)) == (200, 200, 40)
    assert median_shape([(300, 300, 1)], (2.0, 1.5, 5.0)) == (150, 200, 1)


@pytest.mark.parametrize(
    ("shape", "multiple", "smallest", "expected"),
    [((97, 96, 10), 16, 32, (112, 96, 32)), ((97, 96, 10), 8, 16, (104, 96, 16)), ((65, 64, 1), 32, 64, (96, 64, 64))],
)
def test_padding_to_what_a_network_takes(shape, multiple, smallest, expected):
    assert padded(shape, multiple=multiple, smallest=smallest) == expected


@pytest.mark.parametrize(("multiple", "smallest"), [(16, 32), (32, 64), (8, 16)])
@pytest.mark.parametrize(("spacing", "shape"), [CT, ((1.5, 1.5, 1.5), (200, 180, 240)), ((1, 1, 8), (512, 512, 12))])
def test_every_patch_fits_the_network_and_the_padded_median_scan(spacing, shape, multiple, smallest):
    patches = patch_sequence(spacing, shape, multiple=multiple, smallest=smallest)
    most = padded(shape, multiple=multiple, smallest=smallest)
    for patch in patches:
        assert all(edge % multiple == 0 and edge >= smallest for edge in patch)
        assert all(edge <= bound for edge, bound in zip(patch, most))
    assert patches[-1] == (smallest,) * 3
    for before, after in pairwise(patches):
        assert sorted(b - a for b, a in zip(before, after)) == [0, 0, multiple]


def test_square_patches_shrink_in_both_axes_of_the_plane_together():
    patches = patch_sequence((1.0, 1.0, 2.0), (200, 150, 60), multiple=16, smallest=32, square=True)
    assert patches[0] == (160, 160, 64)  # 150 padded
    assert all(patch[0] == patch[1] for patch in patches)
    assert patches[-1] == (32, 32, 32)
    assert len(set(patches)) == len(patches) == 1 + (160 - 32) // 16 + (64 - 32) // 16


def test_the_first_patch_is_a_cube_in_mm():
    # edges of 256 voxels at 1 mm; half as many along an axis of twice the spacing
    patches = patch_sequence((1.0, 1.0, 2.0), (2000, 2000, 2000), multiple=16, smallest=32)
    edge = (256**3 * 2) ** (1 / 3)  # mm
    assert patches[0] == (round(edge / 16) * 16, round(edge / 16) * 16, round(edge / 2 / 16) * 16)


def test_the_axis_that_covers_most_of_the_scan_shrinks_first():
    patches = patch_sequence((1.0, 1.0, 1.0), (100, 200, 64), multiple=16, smallest=32)
    assert patches[0] == (112, 208, 64)
    assert patches[1] == (96, 208, 64)  # 1.12 of the scan, against 1.04 and 1.0


def test_more_memory_never_gives_a_smaller_patch():
    patches = patch_sequence(*CT, multiple=16, smallest=32)
    chosen = [
        largest_patch(patches, lambda p: 1e9 + 1500.0 * math.prod(p), limit) for limit in np.geomspace(5e8, 1e11, 60)
    ]
    assert chosen[0] is None
    assert chosen[-1] == patches[0]
    fitting = [patch for patch in chosen if patch is not None]
    assert len(set(fitting)) > 10
    for smaller, larger in pairwise(fitting):
        assert all(a <= b for a, b in zip(smaller, larger))


@pytest.mark.parametrize(("limit", "expected"), [(1.0, 2), (4.0, 4), (4.9, 4), (1e9, 10)])
def test_the_batch_fills_the_memory_up_to_five_per_cent_of_the_data(limit, expected):
    found = largest_batch(lambda batch: float(batch), limit, least=2, patch_voxels=1000, data_voxels=200_000)
    assert found == expected


def test_a_batch_of_few_data_is_the_bundles_own():
    assert largest_batch(lambda batch: 0.0, 1.0, least=2, patch_voxels=1000, data_voxels=3000) == 2


def test_the_window_takes_as_many_voxels_of_every_scan():
    flat = {"0": 0.0, "100": 100.0}
    assert intensity_window([flat]) == (0.0, 100.0)  # 0.5 and 99.5, outwards to 5
    higher = {"0": 200.0, "100": 300.0}
    # of both together: 1 % of the lower scan lies below
    assert intensity_window([flat, higher]) == (0.0, 300.0)
    narrow = {"0": -1000.0, "0.5": -41.0, "50": 40.0, "99.5": 121.0, "100": 3000.0}
    assert intensity_window([narrow]) == (-45.0, 125.0)
    assert intensity_window([]) is None


@pytest.mark.parametrize(
    ("hours", "expected"), [(None, 2000), (100.0, 2000), (1.0, 3600), (0.5, 1800), (1e-6, 200), (0.999, 3400)]
)
def test_iterations_fit_the_hours_in_whole_steps(hours, expected):
    own = 4000 if expected == 3600 or expected == 3400 else 2000
    assert iterations_within(own, step=200, seconds=1.0, hours=hours) == expected


def test_more_hours_never_give_fewer_iterations():
    found = [iterations_within(5000, step=50, seconds=3.7, hours=hours) for hours in np.linspace(0.01, 8, 40)]
    assert found == sorted(found)
    assert all(count % 50 == 0 for count in found)
