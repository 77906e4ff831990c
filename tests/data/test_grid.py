"""Grids: the same place in the world counts, however the axes of the array run."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest

from monai_cl.data.grid import GRID_TOLERANCE, Grid
from tests.data.volume_files import affine_of, rotated

SHAPE = (11, 5, 7)
CODES = ["".join(codes) for axes in itertools.permutations(("LR", "PA", "IS")) for codes in itertools.product(*axes)]


def grid(codes: str = "LPS", *, turn=(4, -3, 6), shape=SHAPE) -> Grid:
    return Grid(shape, rotated(affine_of(codes, spacing=(1.0, 2.0, 3.0)), turn))


def test_the_corner_that_moves_most_counts():
    one = Grid((11, 5, 5), np.diag([1.0, 2.0, 3.0, 1.0]))
    other = Grid((11, 5, 5), np.diag([1.1, 2.0, 3.0, 1.0]))  # the 11th voxel along x lies 1 mm further
    assert one.corner_distance(other) == pytest.approx(1.0)
    assert one.corner_distance(one) == 0


def test_drift_is_counted_in_voxels_of_the_axis_it_goes_along():
    one, other = grid(), grid()
    other.affine[:3, 3] += 1.5 * other.affine[:3, 2] + 0.25 * other.affine[:3, 0]
    assert one.drift(other) == pytest.approx(1.5)
    assert one.drift(one) == 0


@pytest.mark.parametrize("codes", CODES)
def test_flipped_and_permuted_axes_are_the_same_grid(codes):
    first = grid("RAS")
    turn = nib.orientations.axcodes2ornt(codes)
    turned = Grid(first.shape, first.affine).turned(nib.orientations.ornt_transform(first.orientation, turn))
    assert "".join(nib.aff2axcodes(turned.affine)) == codes
    assert first.same_as(turned)
    assert turned.same_as(first)
    assert first.same_as(turned, any_axes=False) is (codes == "RAS")
    np.testing.assert_allclose(turned.to_ras().affine, first.affine, atol=1e-12)
    assert turned.to_ras().shape == first.shape


@pytest.mark.parametrize("codes", ["LPS", "SAR", "PIL"])
def test_an_array_turned_to_another_grid_keeps_every_voxel_at_its_place(codes):
    label, image = grid(codes), grid("RAS")
    array = np.arange(np.prod(label.shape)).reshape(label.shape)
    turn = label.turn_to(image)
    turned, moved = nib.apply_orientation(array, turn), label.turned(turn)
    assert moved.shape == turned.shape
    for index in [(0, 0, 0), (3, 1, 4), (10, 4, 6)]:
        world = label.affine @ [*index, 1]
        there = np.linalg.solve(moved.affine, world)[:3].round().astype(int)
        assert turned[tuple(there)] == array[index]


@pytest.mark.parametrize("any_axes", [True, False])
@pytest.mark.parametrize(("part", "same"), [(0.9 * GRID_TOLERANCE, True), (1.1 * GRID_TOLERANCE, False)])
def test_corners_may_differ_by_a_part_of_the_smallest_edge(any_axes, part, same):
    one, other = grid(), grid()
    other.affine[0, 3] += part * 1.0  # the smallest edge is 1 mm
    assert one.same_as(other, any_axes=any_axes) is same


def test_another_shape_is_another_grid():
    assert not grid().same_as(grid(shape=(11, 5, 6)))
    assert not grid().same_as(grid(shape=(5, 11, 7)))  # a permutation by name only: the axes run the same way


@pytest.mark.parametrize("degrees", [(45, 0, 0), (0, 45, 45), (30, 55, 45)])
def test_axes_half_way_between_two_directions_are_turned_to_those_of_the_other_grid(degrees):
    image = Grid((11, 5, 7), rotated(np.eye(4), degrees))
    for codes in CODES:
        turn = nib.orientations.axcodes2ornt(codes)
        label = image.turned(turn)
        # a header holds float32: which axis points most to the left is then chance
        label = Grid(label.shape, label.affine.astype(np.float32).astype(float))
        assert image.same_as(label)
        np.testing.assert_allclose(label.turned(label.turn_to(image)).affine, image.affine, atol=1e-5)


def test_a_grid_without_directions_is_shown_and_equals_itself():
    flat = Grid((2, 3, 4), np.diag([1.0, 1.0, 0.0, 1.0]))
    assert flat.same_as(flat, any_axes=False)
    assert str(flat) == "shape 2x3x4, 1x1x0 mm, first voxel at (0, 0, 0) mm"
