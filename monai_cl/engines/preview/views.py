"""The images of a batch, sample by sample, told apart by their keys and shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_cl.data.patches.mixcl import PADDING
from monai_cl.data.records.previewed import PATCH, SLICE, STACK, View
from monai_cl.engines.preview.batches import Batch
from monai_cl.mixcl_views import unstack
from monai_cl.transforms.label_table import IGNORED
from monai_cl.transforms.voxel_sampling import boundary_weight_map


def sample_views(batch: Batch, number: int, dataset: Any) -> list[View]:
    """What a sample looks like before the run's ``prepare_batch``, and what the network gets of it.

    Args:
        batch: of `first_batches`.
        number: of the sample in it.
        dataset: of the run, which has the options of MixCL's weight map.
    """
    if "image1" in batch.loaded:
        return list(_pair(batch, number, dataset))
    image, label = batch.loaded["image"][number], _map(batch.loaded, number)
    if isinstance(batch.inputs, Mapping):
        label = label if is_labelled(batch, number) else None
        return [View("slice", _array(image), SLICE, label, as_prepared=False), *_semi_supervised(batch, number)]
    if image.ndim == 4 and label is not None:
        return list(_patch(batch, number, label))
    axes = SLICE if image.ndim == 3 else STACK
    return [View("slice" if axes == SLICE else "box", _array(image), axes, as_prepared=False),
            *_views(batch.inputs, number, axes, image.ndim)]  # fmt: skip


def is_labelled(batch: Batch, number: int) -> bool:
    """Whether the labels of a sample take part: of a batch with labelled and unlabelled ones the former come first."""
    targets, inputs = batch.targets, batch.inputs
    if isinstance(inputs, Mapping):
        return number < len(inputs["labelled"])
    maps = targets.get("label") if isinstance(targets, Mapping) else targets
    return "image1" in batch.loaded or not isinstance(maps, Tensor) or number < len(maps)


def foreground(batch: Batch, number: int) -> tuple[float, ...]:
    """Of each label map of a sample, the share of its voxels that are of an organ; none of an unlabelled sample."""
    if "image1" in batch.loaded:
        maps = [batch.loaded[key][number].numpy() for key in ("label1", "label2")]
    else:
        maps = [label for label in [_map(batch.loaded, number)] if label is not None and is_labelled(batch, number)]
    return tuple(float((label > 0).mean()) for label in maps if (label != IGNORED).any())


def _pair(batch: Batch, number: int, dataset: Any) -> Iterator[View]:
    pairs = len(batch.loaded["position"])
    views, clean = unstack(batch.inputs, pairs), unstack(batch.targets["clean"], pairs)
    seen = {1: {"V1": views.v1, "V1'": views.v1_prime}, 2: {"V2": views.v2}}
    for which, patch in ((1, clean.v1), (2, clean.v2)):
        label = batch.loaded[f"label{which}"][number, 0]
        voxels = batch.loaded[f"voxels{which}"][number]
        known = label.numpy() if (label != IGNORED).any() else None
        weights = None if known is None else boundary_weight_map(known, mu=dataset.mu, epsilon=dataset.epsilon)
        points = _places(voxels[voxels != PADDING].numpy(), label.shape, dataset.levels_stride)
        yield View(f"P{which}", _array(patch[number]), PATCH, known, weights, points, as_prepared=False, scan=which - 1)
        for name, image in seen[which].items():
            yield View(name, _array(image[number]), PATCH, scan=which - 1)


def _places(flat: np.ndarray, shape: Sequence[int], stride: int) -> np.ndarray:
    """Voxels of the patch for which the drawn voxels of the level stand, (n, 3); see `MixCLPatches`."""
    level = [len(range(stride // 2, length, stride)) for length in shape]
    return np.stack(np.unravel_index(flat, level), axis=1) * stride + stride // 2


def _semi_supervised(batch: Batch, number: int) -> Iterator[View]:
    labelled = len(batch.inputs["labelled"])
    if number < labelled:
        mask = batch.targets["mask"][number].cpu().numpy()
        yield View("labelled view", _array(batch.inputs["labelled"][number]), SLICE, mask)
        if "mixed" in batch.inputs:
            yield View("mixed", _array(batch.inputs["mixed"][number]), SLICE)
    else:
        for name in ("views", "plain"):
            if name in batch.inputs:
                yield from _views(batch.inputs[name], number - labelled, SLICE, 3)


def _patch(batch: Batch, number: int, label: np.ndarray) -> Iterator[View]:
    known = is_labelled(batch, number)
    name = "patch" if known else "patch without label"
    yield View(name, _array(batch.inputs[number]), PATCH, label if known else None)


def _views(inputs: Any, number: int, axes: str, dimensions: int) -> list[View]:
    """Of (N, C, …) one view, of (N, V, C, …) V of them, of a list (large and small crops, …) those of each."""
    if isinstance(inputs, Tensor) and inputs.ndim == dimensions + 1:
        return [View("crop", _array(inputs[number]), axes)]
    parts = [inputs] if isinstance(inputs, Tensor) else inputs
    kinds = ["view"] if len(parts) == 1 else ["large crop", "small crop", "whole slice"]
    return [
        View(f"{kind} {place + 1}" if len(part[number]) > 1 else kind, _array(image), axes)
        for kind, part in zip(kinds, parts)
        for place, image in enumerate(part[number])
    ]


def _map(loaded: Mapping[str, Any], number: int) -> np.ndarray | None:
    """The label map of a sample, without its channel."""
    for key in ("mask", "label"):
        value = loaded.get(key)
        if isinstance(value, Tensor) and value.ndim > 2:
            return value[number].reshape(loaded["image"].shape[2:]).numpy()
    return None


def _array(image: Tensor) -> np.ndarray:
    return image.detach().to("cpu", torch.float32).numpy()
