"""Every head CT on one grid: from the vertex 160 mm downward, as wide and as long as the head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import find_objects, label

from monai_cl.errors import UserError

HEIGHT = 160.0  # mm from the vertex downward
HEAD_HU = -300.0
AIR_HU = -1000.0
LEAST_AREA = 1000.0  # mm² of head on the slice of the vertex
LARGEST, SMALLEST = 300.0, 80.0  # mm, edges of a head in its slices
UNKNOWN = -1.0


def head_box(
    volume: np.ndarray, affine: np.ndarray, *, size: Sequence[int], find: bool = True, where: object = "head CT"
) -> tuple[np.ndarray, np.ndarray]:
    """Cut and scale the box around a head.

    The head is the largest connected part above -300 HU, its vertex the highest slice with more than 10 cm² of it. The
    box reaches 160 mm down from there and, in its slices, as far as the head; each side is scaled on its own. Every
    voxel is the mean over its part of the volume; air where there is none.

    Args:
        volume: (X, Y, Z) HU in RAS.
        affine: (4, 4) voxel -> mm.
        size: (D, H, W) of the box: slices, rows from front to back, columns across.
        find: False: the volume is such a box already, and is only scaled.
        where: the file, for messages.

    Returns:
        (W, H, D) float32, still in RAS, and its affine.

    Raises:
        UserError: no head in the volume, or what is found is not of a head's size.
        ValueError: a size that is not three numbers >= 1.

    Source: the size is that of Ghesu et al., arXiv 2201.01283, section 4.3, whose landmark detector is not public.
    """
    if len(size) != 3 or min(size) < 1:
        raise ValueError(f"size must be three numbers >= 1, got {list(size)}")
    if find:
        low, high = _find_head(volume, np.linalg.norm(affine[:3, :3], axis=0), where)
    else:
        low, high = np.zeros(3), np.array(volume.shape, float)
    edges = np.array(size[::-1])
    matrices = [_averages(n, a, b, count) for n, a, b, count in zip(volume.shape, low, high, edges)]
    inside = [slice(*_reach(matrix)) for matrix in matrices]
    box = volume[tuple(inside)].astype(np.float32) - np.float32(AIR_HU)
    for axis, (matrix, part) in enumerate(zip(matrices, inside)):
        box = np.moveaxis(np.tensordot(matrix[:, part], box, axes=(1, axis)), 0, axis)
    step = (high - low) / edges
    to_volume = np.diag([*step, 1.0])
    to_volume[:3, 3] = low - 0.5 + step / 2
    return box + np.float32(AIR_HU), affine @ to_volume


def _find_head(volume: np.ndarray, spacing: np.ndarray, where: object) -> tuple[np.ndarray, np.ndarray]:
    """First and last edge of the box along X, Y and Z, in voxels from the volume's corner."""
    stride = np.maximum(1, np.round(2 / spacing[:2])).astype(int)  # 2 mm are enough to find it
    coarse = volume[:: stride[0], :: stride[1]] > HEAD_HU
    parts, count = label(coarse)
    if not count:
        raise _no_head(where, f"nothing above {HEAD_HU:g} HU")
    head = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
    area = head.sum((0, 1)) * np.prod(spacing[:2] * stride)
    slices = np.flatnonzero(area > LEAST_AREA)
    if not len(slices):
        raise _no_head(where, f"no slice with more than {LEAST_AREA / 100:g} cm² above {HEAD_HU:g} HU")
    top = float(slices[-1] + 1)
    bottom = top - HEIGHT / spacing[2]
    head = head[:, :, max(0, int(np.floor(bottom))) : slices[-1] + 1]
    ranges = find_objects(head.astype(np.int8))[0][:2]
    low = np.array([part.start for part in ranges]) * stride
    high = np.minimum(np.array([part.stop for part in ranges]) * stride, volume.shape[:2])
    edges = (high - low) * spacing[:2]
    if edges.max() > LARGEST or edges.min() < SMALLEST:
        raise _no_head(where, f"something of {edges[0]:.0f} x {edges[1]:.0f} mm")
    return np.array([*low, bottom], float), np.array([*high, top], float)


def _no_head(where: object, found: str) -> UserError:
    expected = f"a head of {SMALLEST:g} to {LARGEST:g} mm in its slices"
    return UserError(where, expected=expected, found=found, remedy="give a CT of the head alone")


def _averages(length: int, low: float, high: float, count: int) -> np.ndarray:
    """(count, length) shares of an axis' voxels in ``count`` equal parts of [low, high]; less than 1 in all outside."""
    edges = np.linspace(low, high, count + 1)
    voxels = np.arange(length)
    overlap = np.minimum(edges[1:, None], voxels + 1) - np.maximum(edges[:-1, None], voxels)
    return (np.maximum(overlap, 0) * count / (high - low)).astype(np.float32)


def _reach(matrix: np.ndarray) -> tuple[int, int]:
    used = np.flatnonzero(matrix.any(0))
    return (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)


def box_findings(
    values: Sequence[int | None] | None,
    *,
    affine: np.ndarray,
    shape: Sequence[int],
    box_affine: np.ndarray,
    depth: int,
    where: object = "slice_findings",
) -> np.ndarray:
    """Findings of a file's slices for the slices of its box.

    A slice of the box is 1 if any slice of the file whose centre lies in it is, and unknown if that of all is.

    Args:
        values: 0, 1 or None for each slice of the file, in its order; None: none is known.
        affine: (4, 4) voxel -> mm of the file, whatever its orientation.
        shape: (X, Y, Z) of the file.
        box_affine: of the box.
        depth: slices of the box.
        where: the file, for messages.

    Returns:
        (depth,) float32: 0, 1 or -1 where it is not known.

    Raises:
        UserError: not as many values as the file has slices.
    """
    result = np.full(depth, UNKNOWN, np.float32)
    if values is None:
        return result
    to_box = np.linalg.inv(box_affine) @ affine
    # the axis of the file that runs along the body, as it does after a reorientation
    axis = int(np.abs(affine[2, :3] / np.linalg.norm(affine[:3, :3], axis=0)).argmax())
    if len(values) != shape[axis]:
        raise UserError(
            where,
            expected=f"a value for each of {shape[axis]} slices",
            found=f"{len(values)} under slice_findings",
            remedy="correct the data list",
        )
    centre = np.append((np.array(shape) - 1) / 2, 1.0)
    for number, value in enumerate(values):
        centre[axis] = number
        place = int(np.floor(to_box[2] @ centre + 0.5))
        if value is not None and 0 <= place < depth:
            result[place] = max(result[place], float(value))
    return result
