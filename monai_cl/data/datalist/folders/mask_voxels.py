"""Masks of one scan: their voxels, where they overlap, which organ wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from monai_cl.data.grid import Grid
from monai_cl.data.io.label_reading import read_label
from monai_cl.errors import UserError

Pair = tuple[str, str]


def mask_voxels(mask: Path, scan: Path, grid: Grid) -> np.ndarray:
    """Flat indices of a mask's voxels on the grid of its scan.

    Args:
        mask: its file.
        scan: that of the scan.
        grid: of the scan.

    Raises:
        UserError: as :func:`read_label`; more than one value besides 0.
    """
    array = read_label(mask, image=scan, grid=grid).array.reshape(-1)
    indices = np.flatnonzero(array)
    if indices.size and (array[indices] != array[indices[0]]).any():
        values = ", ".join(map(str, np.unique(array[indices])[:5]))
        raise UserError(
            mask, expected="a mask, with one value besides 0", found=values, remedy="is it a label map of its own?"
        )
    return indices


def overlaps(voxels: Mapping[str, np.ndarray], grid: Grid) -> dict[Pair, int]:
    """Pair of organs -> number of voxels of both, where there are any.

    Args:
        voxels: organ -> flat indices.
        grid: of the scan.
    """
    claims = np.zeros(int(np.prod(grid.shape)), np.uint16)
    for indices in voxels.values():
        claims[indices] += 1
    shared = {organ: indices[claims[indices] > 1] for organ, indices in voxels.items()}
    pairs = combinations([organ for organ, indices in shared.items() if indices.size], 2)
    counts = {pair: len(np.intersect1d(shared[pair[0]], shared[pair[1]], assume_unique=True)) for pair in pairs}
    return {pair: count for pair, count in counts.items() if count}


def winner(pair: Pair, priority: Sequence[str]) -> tuple[Pair, bool]:
    """The pair with the winner first, and whether ``priority`` says which it is.

    Args:
        pair: two organs.
        priority: organs, the strongest first; they win over all that are not named.
    """
    rank = {organ: number for number, organ in reversed(list(enumerate(priority)))}
    ordered = sorted(pair, key=lambda organ: rank.get(organ, len(priority)))
    return (ordered[0], ordered[1]), any(organ in rank for organ in pair)


def painted(
    voxels: Mapping[str, np.ndarray], organs: Mapping[int, str], priority: Sequence[str], grid: Grid
) -> np.ndarray:
    """The label map (X, Y, Z), uint8 or int16.

    Args:
        voxels: organ -> flat indices.
        organs: id -> organ.
        priority: organs, the strongest first.
        grid: of the scan.
    """
    ids = {organ: value for value, organ in organs.items()}
    label = np.zeros(int(np.prod(grid.shape)), np.uint8 if len(organs) < 256 else np.int16)
    # painted from the weakest to the strongest
    for organ in (*(organ for organ in voxels if organ not in priority), *reversed(priority)):
        if organ in voxels:
            label[voxels[organ]] = ids[organ]
    return label.reshape(grid.shape)
