"""The rules of a plan, after nnU-Net (Isensee et al., Nature Methods 18, 2021); docs/planning.md has differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

_ANISOTROPIC = 3.0  # an axis so many times as coarse as the others, with so many times fewer voxels
_LARGEST_VOXELS = 256**3  # of the patch that a search begins with
_MOST_OF_DATA = 0.05  # of the voxels of all training scans in one batch
_WINDOW_STEP = 5.0  # HU
Triple = tuple[int, int, int]


def target_spacing(spacings: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]]) -> tuple[float, ...]:
    """Median spacing of each axis; of an anisotropic one the 10th percentile, but no finer than the other axes.

    An axis is anisotropic where its median spacing is more than three times that of both others, and it has less than a
    third of their voxels (medians).

    Args:
        spacings: (scans, 3) mm along R, A, S.
        shapes: (scans, 3) voxels.

    Returns:
        mm, to 0.01.
    """
    target, size = np.median(spacings, axis=0), np.median(shapes, axis=0)
    worst = int(target.argmax())
    others = [axis for axis in range(3) if axis != worst]
    if target[worst] > _ANISOTROPIC * target[others].max() and size[worst] * _ANISOTROPIC < size[others].min():
        target[worst] = max(np.percentile(np.asarray(spacings)[:, worst], 10), target[others].max())
    return tuple(round(float(step), 2) for step in target)


def median_shape(extents: Sequence[Sequence[float]], spacing: Sequence[float]) -> Triple:
    """Median size of the scans in voxels of a spacing.

    Args:
        extents: (scans, 3) mm.
        spacing: mm.
    """
    x, y, z = np.median(np.maximum(np.rint(np.asarray(extents) / np.asarray(spacing)), 1), axis=0).round().astype(int)
    return int(x), int(y), int(z)


def padded(shape: Sequence[int], *, multiple: int, smallest: int) -> Triple:
    """The smallest patch that covers a shape and that a network takes.

    Args:
        shape: voxels.
        multiple: the edges of a patch must be multiples of it.
        smallest: edge, a multiple of it.
    """
    x, y, z = (max(math.ceil(size / multiple) * multiple, smallest) for size in shape)
    return x, y, z


def patch_sequence(
    spacing: Sequence[float], shape: Sequence[int], *, multiple: int, smallest: int, square: bool = False
) -> list[Triple]:
    """Patches from the largest to the smallest, each a step smaller along one axis than the one before.

    The first is a cube in mm of 256³ voxels, cut to the padded median scan. The axis that shrinks is the one that
    covers most of the median scan; of equals the longest.

    Args:
        spacing: mm.
        shape: of the median scan, in voxels of that spacing.
        multiple: the edges of a patch must be multiples of it.
        smallest: edge, a multiple of it.
        square: the edges along R and A are equal, and shrink together.
    """
    most = padded(shape, multiple=multiple, smallest=smallest)
    edge_mm = (_LARGEST_VOXELS * math.prod(spacing)) ** (1 / 3)
    first = (max(round(edge_mm / step / multiple) * multiple, smallest) for step in spacing)
    patch = [min(edge, bound) for edge, bound in zip(first, most)]
    groups = [(0, 1), (2,)] if square else [(0,), (1,), (2,)]
    if square:
        patch[:2] = [min(patch[:2])] * 2
    found = [tuple(patch)]
    while left := [group for group in groups if patch[group[0]] > smallest]:
        chosen = max(left, key=lambda group: (max(patch[axis] / shape[axis] for axis in group), patch[group[0]]))
        for axis in chosen:
            patch[axis] -= multiple
        found.append(tuple(patch))
    return [(x, y, z) for x, y, z in found]


def largest_patch(patches: Sequence[Triple], memory: Callable[[Triple], float], limit: float) -> Triple | None:
    """The first of a sequence that fits; with more memory never a later, smaller one. None: not one fits.

    Args:
        patches: from the largest to the smallest.
        memory: bytes of a step with a patch.
        limit: bytes.
    """
    return next((patch for patch in patches if memory(patch) <= limit), None)


def largest_batch(
    memory: Callable[[int], float], limit: float, *, least: int, patch_voxels: int, data_voxels: float
) -> int:
    """The largest batch that fits and holds at most 5 % of the voxels of all training scans, never below ``least``.

    Args:
        memory: bytes of a step with a batch size, which grow with it.
        limit: bytes.
        least: that fits.
        patch_voxels: of one sample.
        data_voxels: of all training scans.
    """
    most = max(int(_MOST_OF_DATA * data_voxels / patch_voxels), least)
    batch = least
    while batch < most and memory(batch + 1) <= limit:
        batch += 1
    return batch


def intensity_window(tables: Sequence[Mapping[str, float]]) -> tuple[float, float] | None:
    """The 0.5th and 99.5th percentile of voxels, the same number of each scan, rounded outwards to 5 HU.

    Args:
        tables: of each scan, percentile -> HU; from 0 to 100.

    Returns:
        None without a scan.
    """
    if not tables:
        return None
    levels = np.linspace(0, 100, 1001)
    values = [np.interp(levels, [float(p) for p in table], list(table.values())) for table in tables]
    low, high = np.percentile(np.concatenate(values), (0.5, 99.5))
    return math.floor(low / _WINDOW_STEP) * _WINDOW_STEP, math.ceil(high / _WINDOW_STEP) * _WINDOW_STEP


def iterations_within(own: int, *, step: int, seconds: float, hours: float | None) -> int:
    """The bundle's own number of iterations, or as many as fit into the hours: multiples of ``step``, at least one.

    Args:
        own: the bundle's.
        step: iterations between validations.
        seconds: of an iteration.
        hours: at most; None: no limit.
    """
    if hours is None:
        return own
    return min(own, max(int(hours * 3600 / seconds / step), 1) * step)
