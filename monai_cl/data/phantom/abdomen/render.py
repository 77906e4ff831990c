"""An anatomy on a voxel grid: partial volume, point spread, correlated noise; a synthetic CT and its labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from monai_cl.data.phantom.abdomen.structure import Anatomy, Structure
from monai_cl.data.phantom.shapes import Lattice

AIR = -1000.0
_NOISE_LENGTH = 1.4  # mm, over which neighbours agree; at least 0.55 voxels
# standard deviation (voxels) of the edge: a box voxel (1/12) and a point spread of 0.7 voxels full width (0.3^2)
_EDGE_VARIANCE = np.float32(1 / 12 + 0.3**2)


def render(
    anatomy: Anatomy, *, shape: tuple[int, int, int], affine: np.ndarray, rng: np.random.Generator, noise: float = 14.0
) -> tuple[np.ndarray, np.ndarray]:
    """Scan ``anatomy`` on a grid.

    Args:
        anatomy: the patient, in world RAS mm.
        shape: voxels along the three array axes, in any orientation.
        affine: (4, 4) voxel index -> world RAS mm.
        rng: draws the noise only; the anatomy's own texture belongs to the anatomy.
        noise: standard deviation of the noise in HU (0: none).

    Returns:
        int16 HU and uint8 labels (``ORGANS`` and ``LESIONS``), both of ``shape``. A voxel has the label of the last
        painted structure that covers more than half of it.

    Raises:
        ValueError: for a shape or an affine that is not a 3D grid, or negative noise.
    """
    shape, affine = _checked_grid(shape, affine)
    if noise < 0:
        raise ValueError(f"noise must be >= 0, got {noise}")
    lattice = Lattice(affine, shape, warp=anatomy.warp)
    _ = lattice.points  # computed once for the whole grid, cut for each structure
    regions = {name: part.distance(lattice) for name, part in anatomy.regions.items()}
    hu = np.full(shape, AIR, dtype=np.float32)
    labels = np.zeros(shape, dtype=np.uint8)
    for structure in anatomy.structures:
        box = _bounding_box(structure, lattice)
        if box is not None:
            _paint(structure, lattice.box(box), regions, box, hu, labels)
    if noise:
        hu += correlated_noise(shape, np.linalg.norm(affine[:3, :3], axis=0), rng, sd=noise, length=_NOISE_LENGTH)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16), labels


def correlated_noise(
    shape: tuple[int, int, int], spacing: np.ndarray, rng: np.random.Generator, *, sd: float, length: float
) -> np.ndarray:
    """Gaussian noise (HU) whose neighbours agree, as a reconstruction filter leaves it; standard deviation ``sd``.

    Like filtered back-projection it has little power at the lowest frequencies: a wider Gaussian is subtracted.
    """
    sigma = np.maximum(length / np.asarray(spacing), 0.55)
    white = rng.standard_normal(shape, dtype=np.float32)
    fine = gaussian_filter(white, sigma, mode="wrap", truncate=3)
    fine -= gaussian_filter(fine, 2.5 * sigma, mode="wrap", truncate=2)
    return fine * np.float32(sd / max(float(fine.std()), 1e-6))


def _paint(
    structure: Structure,
    lattice: Lattice,
    regions: dict[str, np.ndarray],
    box: tuple[slice, slice, slice],
    hu: np.ndarray,
    labels: np.ndarray,
) -> None:
    distance = structure.shape.distance(lattice)
    if structure.region is not None:
        distance = np.maximum(distance, regions[structure.region][box] + np.float32(structure.gap))
    cover = _coverage(distance)
    if structure.overlay is not None:
        cover *= labels[box] == structure.overlay
    value: np.float32 | np.ndarray = np.float32(structure.hu)
    if structure.texture is not None:
        value = value + lattice.evaluate(structure.texture)
    hu[box] += cover * (value - hu[box])
    if structure.label is not None:
        labels[box][cover > 0.5] = structure.label


def _coverage(distance: np.ndarray) -> np.ndarray:
    """Share of each voxel inside, from the distance and its change per voxel step (so thick slices blur more)."""
    slope = np.zeros_like(distance)
    for axis, length in enumerate(distance.shape):
        if length > 1:
            slope += np.gradient(distance, axis=axis) ** 2
    width = np.sqrt(slope * _EDGE_VARIANCE) + np.float32(1e-4)
    # the logistic function with this slope is within 0.01 of the normal distribution function
    return 1 / (1 + np.exp(np.clip(distance * np.float32(1.702) / width, -30, 30)))


def _bounding_box(structure: Structure, lattice: Lattice) -> tuple[slice, slice, slice] | None:
    low, high = structure.shape.bounds()
    bend = np.array([np.abs(w.amplitudes).sum() for w in lattice.warp] or [0, 0, 0])
    low, high = np.clip(low - bend, -1e5, 1e5), np.clip(high + bend, -1e5, 1e5)
    if np.any(low >= high):
        return None
    to_voxel = np.linalg.inv(lattice.affine)
    corners = np.array(
        [[x, y, z, 1.0] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
    )
    index = (to_voxel @ corners.T)[:3]
    first = np.maximum(np.floor(index.min(axis=1)).astype(int) - 2, 0)
    last = np.minimum(np.ceil(index.max(axis=1)).astype(int) + 3, lattice.shape)
    if np.any(last - first < 1):
        return None
    i, j, k = (slice(int(a), int(b)) for a, b in zip(first, last))
    return i, j, k


def _checked_grid(shape: Sequence[int], affine: npt.ArrayLike) -> tuple[tuple[int, int, int], np.ndarray]:
    sizes = tuple(int(n) for n in shape)
    affine = np.asarray(affine, dtype=np.float64)
    if len(sizes) != 3 or min(sizes) < 1:
        raise ValueError(f"shape must be three positive numbers, got {sizes}")
    if affine.shape != (4, 4) or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ValueError(f"affine must be an invertible (4, 4) matrix, got {affine.tolist()}")
    return sizes, affine
