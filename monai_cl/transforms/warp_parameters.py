"""Parameters of a warp: drawing them, and the box of voxels it takes its values from.

The map is a pull-back in millimetres about the patch's centre: the voxel at p takes what lies at M·p + u(p), with M
affine and u a cubic B-spline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from monai_cl.transforms.bspline import bspline_basis, evaluate_bspline, knot_positions

# Control points that move less than 0.4 knot distances cannot fold a cubic B-spline (Choi & Lee 2000, 3D).
FOLD_LIMIT = 0.4


@dataclass(frozen=True, eq=False)
class WarpParameters:
    """What a warp does to a patch; applying it again gives the same bits.

    Attributes:
        patch_size: (H, W, D) voxels of the result.
        spacing: mm per voxel of the three axes.
        matrix: (3, 3) float64, the pull-back M in mm; None for no affine part.
        displacement: (I, J, K, 3) float64, mm, the control points of u; None for no elastic part.
    """

    patch_size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    matrix: np.ndarray | None = None
    displacement: np.ndarray | None = None

    @property
    def is_identity(self) -> bool:
        """Whether it is the identity."""
        return self.matrix is None and self.displacement is None

    @property
    def intervals(self) -> tuple[int, ...]:
        """Knot intervals of each axis."""
        return (1, 1, 1) if self.displacement is None else tuple(k - 3 for k in self.displacement.shape[:3])

    def control_points(self) -> np.ndarray:
        """Where each control point takes its value from: (I, J, K, 3) float64, in voxels of the patch."""
        knots = [knot_positions(size, n) for size, n in zip(self.patch_size, self.intervals)]
        spacing, centre = np.array(self.spacing), (np.array(self.patch_size) - 1) / 2
        millimetres = (np.stack(np.meshgrid(*knots, indexing="ij"), axis=-1) - centre) * spacing
        source = millimetres if self.matrix is None else millimetres @ self.matrix.T
        if self.displacement is not None:
            source = source + self.displacement
        return source / spacing + centre


def random_warp(
    rng: np.random.Generator,
    *,
    patch_size: Sequence[int],
    spacing: Sequence[float],
    elastic_probability: float = 0.5,
    affine_probability: float = 0.5,
    rotation: float | Sequence[float] = 15.0,
    scale: float = 0.1,
    shear: float = 0.0,
    displacement_rms: float = 4.0,
    control_spacing: float = 48.0,
) -> WarpParameters:
    """Draw a warp.

    Args:
        rng: where every draw comes from.
        patch_size: (H, W, D) voxels, each at least 2.
        spacing: mm per voxel.
        elastic_probability: probability of the elastic part, in [0, 1].
        affine_probability: probability of the affine part, in [0, 1], independent of the other.
        rotation: degrees; each of the three angles is uniform in ±rotation (one number, or one per axis).
        scale: one factor for all axes, uniform in 1 ± scale.
        shear: each of the six off-diagonal entries is uniform in ±shear.
        displacement_rms: mm, root mean square length of u over patches and voxels. Control points move uniformly in a
            cube; its half side is at most 0.4 knot distances, where a larger one could fold the patch: patches
            smaller than about two and a half times the rms across therefore move less.
        control_spacing: mm between knots; each axis takes the nearest integer number of intervals.

    Raises:
        ValueError: if an option is out of its range.
    """
    size, spacing, angles = _validate(patch_size, spacing, rotation)
    for name, value in (("elastic_probability", elastic_probability), ("affine_probability", affine_probability)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {value}")
    if not 0 <= scale < 1:
        raise ValueError(f"scale must be in [0, 1), got {scale}")
    if shear < 0:
        raise ValueError(f"shear must be >= 0, got {shear}")
    if displacement_rms < 0:
        raise ValueError(f"displacement_rms must be >= 0 mm, got {displacement_rms}")
    if control_spacing <= 0:
        raise ValueError(f"control_spacing must be > 0 mm, got {control_spacing}")

    matrix = displacement = None
    if rng.random() < affine_probability:
        matrix = rotation_matrix(rng.uniform(-angles, angles)) * rng.uniform(1 - scale, 1 + scale)
        matrix = matrix @ (np.eye(3) + rng.uniform(-shear, shear, (3, 3)) * (1 - np.eye(3)))
    if rng.random() < elastic_probability:
        displacement = _displacement(rng, size, spacing, displacement_rms, control_spacing)
    return WarpParameters(size, spacing, matrix, displacement)


def source_box(parameters: WarpParameters) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The voxels a warp takes its values from, so that they can be read beyond the patch instead of being padded.

    Returns:
        start and size (three integers each), in voxels of the patch: a negative start lies before its first voxel.
    """
    if parameters.is_identity:
        return (0, 0, 0), parameters.patch_size
    # Every fourth voxel and the last: a spline is too smooth to move the extremes in between by more than the margin.
    bases = [bspline_basis(size, n) for size, n in zip(parameters.patch_size, parameters.intervals)]
    coarse = [torch.from_numpy(np.concatenate([basis[:-1:4], basis[-1:]])) for basis in bases]
    coordinates = evaluate_bspline(torch.from_numpy(parameters.control_points()), coarse).flatten(0, 2)
    start = coordinates.amin(0).floor().long() - 1
    stop = coordinates.amax(0).ceil().long() + 2
    return tuple(start.tolist()), tuple((stop - start).tolist())


def _validate(
    patch_size: Sequence[int], spacing: Sequence[float], rotation: float | Sequence[float]
) -> tuple[tuple[int, int, int], tuple[float, float, float], np.ndarray]:
    size, steps = tuple(int(s) for s in patch_size), tuple(float(s) for s in spacing)
    if len(size) != 3 or min(size) < 2:
        raise ValueError(f"patch_size must be three integers >= 2, got {tuple(patch_size)}")
    if len(steps) != 3 or min(steps) <= 0:
        raise ValueError(f"spacing must be three numbers > 0 mm, got {steps}")
    angles = np.broadcast_to(np.asarray(rotation, dtype=float), 3)
    if angles.min() < 0 or angles.max() > 180:
        raise ValueError(f"rotation must be in [0, 180] degrees, got {rotation}")
    return size, steps, np.deg2rad(angles)


def rotation_matrix(angles: np.ndarray) -> np.ndarray:
    """The rotation about the first, then the second, then the third axis, (3, 3).

    Args:
        angles: (3,) radians.
    """
    (a, b, c), (sa, sb, sc) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, a, -sa], [0, sa, a]])
    about_y = np.array([[b, 0, sb], [0, 1, 0], [-sb, 0, b]])
    about_z = np.array([[c, -sc, 0], [sc, c, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _displacement(
    rng: np.random.Generator, size: tuple[int, ...], spacing: tuple[float, ...], rms: float, control_spacing: float
) -> np.ndarray:
    extent = (np.array(size) - 1) * spacing
    intervals = np.maximum(np.rint(extent / control_spacing).astype(int), 1)
    # Uniform control points in ±a have variance a²/3 each; at a voxel the three components together have
    # a² · Σ_k β_k², and that sum is separable.
    energy = np.prod([(bspline_basis(s, n) ** 2).sum(1).mean() for s, n in zip(size, intervals)])
    half_side = np.minimum(rms / np.sqrt(energy), FOLD_LIMIT * extent / intervals)
    return rng.uniform(-half_side, half_side, (*(intervals + 3), 3))
