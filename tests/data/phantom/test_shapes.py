"""The implicit shapes measure millimetres, whatever the grid."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cl.data.phantom.chest import BelowDiaphragm
from monai_cl.data.phantom.draw import rotation
from monai_cl.data.phantom.shapes import CosineSum, Ellipsoid, HalfSpace, Lattice, Shape, Tube, smooth_minimum

OBLIQUE = np.array([[-2.0, 0.3, 0.1, 40], [0.2, -1.7, 0.3, 25], [0.1, 0.2, 3.0, -30], [0, 0, 0, 1]])


@pytest.fixture
def lattice() -> Lattice:
    return Lattice(OBLIQUE, (40, 30, 20))


def world(lattice: Lattice) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, lattice.shape), indexing="ij"), axis=-1)
    return index @ lattice.affine[:3, :3].T + lattice.affine[:3, 3]


def test_lattice_points_are_world_coordinates(lattice):
    np.testing.assert_allclose(np.stack(lattice.points, axis=-1), world(lattice), atol=1e-4)


def test_cosine_sum_on_a_lattice_is_the_formula(lattice):
    field = CosineSum.random(np.random.default_rng(0), rms=3.0, wavelengths=(10, 60), terms=7)
    expected = (field.amplitudes * np.cos(world(lattice) @ field.waves.T + field.phases)).sum(axis=-1)
    np.testing.assert_allclose(lattice.evaluate(field), expected, atol=1e-3)


def test_cosine_sum_has_the_asked_root_mean_square():
    field = CosineSum.random(np.random.default_rng(0), rms=5.0, wavelengths=(10, 30), terms=30)
    assert np.std(Lattice(np.diag([3, 3, 3, 1.0]), (60, 60, 60)).evaluate(field)) == pytest.approx(5, rel=0.1)


def test_a_box_of_a_lattice_sees_the_same_points_and_fields():
    warp = tuple(CosineSum.random(np.random.default_rng(i), rms=4, wavelengths=(90, 200)) for i in range(3))
    whole = Lattice(OBLIQUE, (20, 18, 16), warp=warp)
    box = (slice(3, 11), slice(5, 18), slice(0, 7))
    fresh, cut = whole.box(box), (whole.points, whole.box(box))[1]
    for a, b, c in zip(fresh.points, cut.points, whole.points):
        np.testing.assert_allclose(a, c[box], atol=1e-3)
        np.testing.assert_array_equal(b, c[box])
    np.testing.assert_allclose(fresh.evaluate(warp[0]), whole.evaluate(warp[0])[box], atol=1e-3)


def test_sphere_distance_is_exact(lattice):
    centre = np.array([5.0, -3.0, 2.0])
    expected = np.linalg.norm(world(lattice) - centre, axis=-1) - 12
    got = Ellipsoid(centre, np.full(3, 12.0)).distance(lattice)
    np.testing.assert_allclose(got, expected, atol=1e-3)


@pytest.mark.parametrize("exponent", [2.0, 4.0])
def test_ellipsoid_is_negative_inside_and_has_unit_slope_at_its_surface(exponent):
    ellipsoid = Ellipsoid(np.zeros(3), np.array([30.0, 14, 22]), rotation(np.array([20.0, 40, 10])).T, exponent)
    fine = Lattice(np.array([[1, 0, 0, -40], [0, 1, 0, -40], [0, 0, 1, -40], [0, 0, 0, 1.0]]), (81, 81, 81))
    distance = ellipsoid.distance(fine)
    near = np.abs(distance) < 0.5
    slope = np.sqrt(sum(np.gradient(distance, axis=a) ** 2 for a in range(3)))[near]
    assert np.percentile(slope, [5, 95]) == pytest.approx([1, 1], abs=0.2)
    index = (world(fine) @ ellipsoid.axes.T) / ellipsoid.radii
    np.testing.assert_array_equal(distance < 0, (np.abs(index) ** exponent).sum(axis=-1) < 1)


def test_tube_distance_is_that_to_its_axis(lattice):
    tube = Tube(np.array([[0, 0, -200.0], [0, 0, 200.0]]), np.array([6.0, 6.0]))
    expected = np.hypot(world(lattice)[..., 0], world(lattice)[..., 1]) - 6
    np.testing.assert_allclose(tube.distance(lattice), expected, atol=1e-3)


def test_union_cut_within_and_grow(lattice):
    ball = Ellipsoid(np.zeros(3), np.full(3, 20.0))
    left, below = HalfSpace(np.array([1.0, 0, 0]), 0), HalfSpace(np.array([0, 0, 1.0]), 0)
    p = world(lattice)
    inside = np.linalg.norm(p, axis=-1) < 20
    half = Shape((ball,), cuts=(left,), within=(below,), blend=0).distance(lattice) < 0
    np.testing.assert_array_equal(half, inside & (p[..., 0] > 0) & (p[..., 2] < 0))
    grown = Shape((ball,), grow=3.0)
    np.testing.assert_array_equal(grown.distance(lattice) < 0, np.linalg.norm(p, axis=-1) < 23)
    low, high = grown.bounds()
    assert (low <= -23).all()
    assert (high >= 23).all()


def test_smooth_minimum_only_rounds_the_crease():
    a, b = np.array([0.0, 5.0, 2.0]), np.array([10.0, -5.0, 2.0])
    np.testing.assert_allclose(smooth_minimum(a, b, 4.0), [0, -5, 1])
    np.testing.assert_allclose(smooth_minimum(a, b, 0.0), [0, -5, 2])


def test_diaphragm_is_highest_at_its_tops():
    dome = BelowDiaphragm(np.array([[70.0, 0, 90], [-70.0, 0, 80]]), np.array([60.0, 60]), blend=1e-3)
    column = Lattice(np.array([[1, 0, 0, 70], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), (1, 1, 120))
    np.testing.assert_array_equal(dome.distance(column)[0, 0] < 0, np.arange(120) < 90)
