"""From class scores on the network's grid to a label map on the scan's own, without every class at every voxel."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from einops import rearrange
from monai.data import MetaTensor
from monai.transforms import AsDiscrete, Invertd
from torch import Tensor

_EXACT = 1e-4
"""In voxels: an axis that is off by less is that axis, and a voxel's centre that is off by less is that centre."""
_POINTS = 1 << 19  # voxels interpolated at a time: some 50 MB for 14 classes


class AxisSamples(NamedTuple):
    """Voxels of one axis between those of another: neighbours ``low`` and ``high``, weight of ``high``."""

    low: Tensor
    high: Tensor
    weight: Tensor


def axis_samples(positions: Tensor, size: int) -> AxisSamples:
    """The two voxels around each position, and the share of the second in a linear interpolation.

    Args:
        positions: (n,), in voxels; outside of the axis the last voxel counts (MONAI's ``padding_mode="border"``).
        size: of the axis.
    """
    positions = positions.double().clamp(0, size - 1)
    nearest = positions.round()
    positions = torch.where((positions - nearest).abs() < _EXACT, nearest, positions)
    low = positions.floor()
    weight = positions - low
    return AxisSamples(low.long(), (low + (weight > 0)).long(), weight.float())


def interpolated_argmax(scores: Tensor, axes: Sequence[AxisSamples]) -> Tensor:
    """The argmax over classes of linearly interpolated scores: (C, X', Y', Z') → (X, Y, Z).

    Where the eight voxels around a point have one class as their highest, that class is highest at the point too:
    the weights of the interpolation are not negative. So only the other points, near borders of organs, are
    interpolated. Of equal scores the lower class wins, as in `torch.argmax`.

    Args:
        scores: of C classes on the grid of X'·Y'·Z' voxels.
        axes: of the points of the result, an axis of the grid each, n_X, n_Y and n_Z long.

    Returns:
        Class numbers, int16.
    """
    lowest = highest = _argmax(scores)
    for axis, (low, high, _) in enumerate(axes):
        lowest, highest = (
            extreme(labels.index_select(axis, low), labels.index_select(axis, high))
            for extreme, labels in ((torch.minimum, lowest), (torch.maximum, highest))
        )
    undecided = (lowest != highest).flatten().nonzero()[:, 0]
    labels = lowest.flatten()
    if len(undecided):
        by_voxel = rearrange(scores, "c x y z -> (x y z) c").float().contiguous()
        for points in undecided.split(_POINTS):
            labels[points] = _at(by_voxel, scores.shape[1:], axes, points).argmax(1).to(labels.dtype)
    return labels.unflatten(0, lowest.shape)


def _argmax(scores: Tensor) -> Tensor:
    """Of scores (C, …) over C, int16; class by class, several times as fast as `torch.argmax` over a first axis."""
    highest, labels = scores[0].clone(), torch.zeros_like(scores[0], dtype=torch.int16)
    for number, its in enumerate(scores[1:], start=1):
        labels.masked_fill_(its > highest, number)
        torch.maximum(highest, its, out=highest)
    return labels


def _at(by_voxel: Tensor, grid: Sequence[int], axes: Sequence[AxisSamples], points: Tensor) -> Tensor:
    """Scores (N, C) at points of the result, given by their flat index (N,)."""
    found: list[tuple[Tensor | int, Tensor | float]] = [(0, 1.0)]  # flat index of a corner, and its weight
    places = torch.unravel_index(points, [len(axis.low) for axis in axes])
    for size, place, axis in zip(grid, places, axes):
        weight = axis.weight[place]
        sides = ((axis.low[place], 1 - weight), (axis.high[place], weight))
        found = [(index * size + side, share * its) for index, share in found for side, its in sides]
    total = by_voxel.new_zeros(len(points), by_voxel.shape[1])
    for index, share in found:
        total += by_voxel[index] * share[:, None]  # type: ignore[index]
    return total


class InvertLabelsd(Invertd):
    """MONAI's `Invertd` of class scores (C, X', Y', Z') by linear interpolation, and their argmax (1, X, Y, Z).

    The label map is that of ``Invertd(nearest_interp=False)`` and ``AsDiscreted(argmax=True)`` one after the other,
    but the scores are not written out on the scan's own grid, which takes most of the time and memory of a validation.
    That holds where the image was turned into other axes and resampled along them. After any other step, and for a
    tilted gantry, MONAI's two transforms do it.

    Args:
        keys: of the scores.
        transform: what the image was prepared by.
        orig_keys: of the image.
    """

    def __init__(self, keys: Any, transform: Any, orig_keys: Any = None) -> None:
        super().__init__(keys, transform, orig_keys, nearest_interp=False, to_tensor=True)
        self._argmax = AsDiscrete(argmax=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with label maps in place of the scores."""
        item = dict(data)
        for key, original in self.key_iterator(item, self.orig_keys):
            image, scores = item[original], item[key]
            origin = _origin(image)
            axes = origin and _axes(image.affine, *origin, scores.shape[1:])
            if origin is None or axes is None:
                inverted = super().__call__(item)
                return {**inverted, **{name: self._argmax(inverted[name]) for name in self.key_iterator(inverted)}}
            order, samples = axes
            plain = scores.as_tensor() if isinstance(scores, MetaTensor) else scores
            samples = [AxisSamples(*(part.to(plain.device) for part in axis)) for axis in samples]
            labels = interpolated_argmax(plain.detach().permute(0, *(1 + axis for axis in order)), samples)
            meta = {name: value for name, value in deepcopy(image.meta).items() if name != "affine"}
            item[key] = MetaTensor(labels[None].float(), affine=origin[0], meta=meta)
        return item


def _origin(image: Any) -> tuple[Tensor, list[int]] | None:
    """Affine (4, 4) and size of an image before its first step; None where a step may not be undone by axis."""
    steps = image.applied_operations if isinstance(image, MetaTensor) else []
    plain = {"Orientation": "original_affine", "SpatialResample": "src_affine"}
    if not steps or any(step["class"] not in plain for step in steps) or image.pending_operations:
        return None
    if any(step["extra_info"].get("padding_mode", "border") != "border" for step in steps):
        return None
    if any(step["extra_info"].get("mode", "bilinear") != "bilinear" for step in steps):
        return None
    first = steps[0]
    affine = torch.as_tensor(first["extra_info"][plain[first["class"]]], dtype=torch.float64)
    size = [int(n) for n in first["orig_size"]]
    return (affine, size) if affine.shape == (4, 4) and len(size) == 3 else None


def _axes(
    affine: Tensor, target: Tensor, size: Sequence[int], grid: Sequence[int]
) -> tuple[list[int], list[AxisSamples]] | None:
    """For each axis of the target its axis on the grid, and its voxels on that; None where they are oblique.

    Args:
        affine: (4, 4) of the grid, voxels to mm.
        target: (4, 4) of the scan.
        size: of the scan.
        grid: its size.
    """
    affine = torch.as_tensor(affine, dtype=torch.float64).cpu()
    to_grid = torch.linalg.solve(affine, target.cpu())
    linear, offset = to_grid[:3, :3], to_grid[:3, 3]
    order = linear.abs().argmax(0).tolist()
    oblique = linear.clone()
    oblique[order, [0, 1, 2]] = 0.0
    drift = oblique.abs() @ torch.as_tensor(size, dtype=torch.float64)
    if sorted(order) != [0, 1, 2] or drift.max() > _EXACT:
        return None
    voxels = [torch.arange(n, dtype=torch.float64) for n in size]
    return order, [
        axis_samples(voxels[axis] * linear[its, axis] + offset[its], grid[its]) for axis, its in enumerate(order)
    ]
