"""Which voxels MixCL's label term compares: the boundary weight map of Eq. 7 and the draw by class from it."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from monai_cl.transforms.region_distance import region_distance

Array = TypeVar("Array", np.ndarray, Tensor)


def boundary_weight_map(labels: Array, *, mu: float = 8.0, epsilon: float = 0.05) -> Array:
    """``W = ½ √D exp(−D/μ) + ε`` (MixCL, Eq. 7), largest at D = μ/2: voxels near, but not at, a boundary.

    D is the distance, in voxels, from a voxel's centre to the centre of the nearest voxel of another region, so a
    voxel that touches another region has D = 1, never 0. A region is a connected or unconnected set of voxels of
    one id; background is a region too. The border of the patch is not a boundary, and a patch of a single region has W
    = ε everywhere.

    Args:
        labels: class ids, integers or booleans, (H, W, D) (or (H, W)); a NumPy array or a tensor on any device.
        mu: μ in voxels of ``labels``.
        epsilon: ε, the weight left to voxels far from every boundary.

    Returns:
        float32 of the same shape, kind and device as ``labels``.

    Raises:
        ValueError: not 2 or 3 axes, no voxels, labels that are not integers, ``mu`` not above 0, ``epsilon`` below 0.
    """
    if not mu > 0:
        raise ValueError(f"mu must be > 0, got {mu}")
    if not epsilon >= 0:
        raise ValueError(f"epsilon must be >= 0, got {epsilon}")
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if array.ndim not in (2, 3) or array.size == 0:
        raise ValueError(f"labels must be (H, W, D) with at least one voxel, got shape {array.shape}")
    _require_integers(labels)

    weights = np.full(array.shape, epsilon, dtype=np.float32)
    regions = _regions_from_one(array)
    if regions is not None:
        distance = region_distance(regions)
        weights += 0.5 * np.sqrt(distance) * np.exp(-distance / mu)
    if isinstance(labels, Tensor):
        return torch.from_numpy(weights).to(labels.device)
    return weights


def sample_voxels(
    labels: Array, weights: Array, *, per_class: int = 64, generator: torch.Generator | None = None
) -> Array:
    """Draw at most ``per_class`` voxels of every class present, without replacement, with probability ∝ weight.

    Every voxel runs an exponential race at the rate of its weight and the first ``per_class`` of its class win,
    which is the same as drawing one after the other, each time ∝ the weights that are left. A voxel of weight 0
    is never drawn. One random number is used per voxel, whatever the classes.

    Args:
        labels: class ids, integers or booleans, of any shape; background counts as a class.
        weights: their weights, >= 0 and finite, of the same shape.
        per_class: the largest number of voxels of a class.
        generator: source of randomness; the global one of torch when None.

    Returns:
        Flat (row-major) indices into ``labels``, int64 (K,), ordered by class id; an array for an array, a tensor
        on the device of ``labels`` for a tensor.

    Raises:
        ValueError: shapes differ, labels that are not integers, a negative or non-finite weight, ``per_class`` < 1.
    """
    if per_class < 1:
        raise ValueError(f"per_class must be >= 1, got {per_class}")
    if tuple(labels.shape) != tuple(weights.shape):
        raise ValueError(
            f"labels and weights must have the same shape, got {tuple(labels.shape)} and {tuple(weights.shape)}"
        )
    _require_integers(labels)
    ids, rates = _flat(labels, torch.int64), _flat(weights, torch.float64)
    if not bool(((rates >= 0) & torch.isfinite(rates)).all()):
        raise ValueError("weights must be >= 0 and finite")

    # float64: float32 has ties among a million voxels, and torch.topk breaks ties by position.
    device = ids.device if generator is None else generator.device
    arrival = torch.empty(ids.numel(), dtype=torch.float64, device=device).exponential_(generator=generator)
    arrival = arrival.to(ids.device) / rates.to(ids.device)  # weight 0: infinitely late
    winners = []
    for class_id in torch.unique(ids):
        members = torch.nonzero((ids == class_id) & torch.isfinite(arrival)).squeeze(1)
        first = torch.topk(arrival[members], min(per_class, members.numel()), largest=False).indices
        winners.append(members[first])
    indices = torch.cat(winners) if winners else torch.empty(0, dtype=torch.int64, device=ids.device)
    return indices if isinstance(labels, Tensor) else indices.numpy()


def _regions_from_one(array: np.ndarray) -> np.ndarray | None:
    """Ids shifted to begin at 1 in an unsigned type that holds them, contiguous; None for a single region.

    edt gives id 0 no distance, ``labels + 1`` wraps round at the end of a type (uint8 255, int8 127) and ids may be
    negative. It also has no meaningful answer for a single region, whose distance is infinite.
    """
    low, high = int(array.min()), int(array.max())
    if low == high:
        return None
    span = high - low + 1
    if span >= 2**31:  # widely spread ids: number them instead
        _, array = np.unique(array, return_inverse=True)
        low, span = 0, int(array.max()) + 1
    kind = np.uint8 if span < 2**8 else np.uint16 if span < 2**16 else np.uint32
    return np.ascontiguousarray(array.astype(np.int64) - (low - 1)).astype(kind)


def _require_integers(labels: np.ndarray | Tensor) -> None:
    if isinstance(labels, Tensor):
        fits = not (labels.is_floating_point() or labels.is_complex())
    else:
        fits = labels.dtype.kind in "iub"
    if not fits:
        raise ValueError(f"labels must be integers, got {labels.dtype}")


def _flat(x: np.ndarray | Tensor, dtype: torch.dtype) -> Tensor:
    """Row-major copy with one axis, in a type every operation here knows (torch.unique has no uint16)."""
    if isinstance(x, Tensor):
        return x.detach().as_subclass(Tensor).reshape(-1).to(dtype)  # MetaTensor would keep its metadata
    return torch.from_numpy(x.astype(np.int64 if dtype == torch.int64 else np.float64).reshape(-1))
