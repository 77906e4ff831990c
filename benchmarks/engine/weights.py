"""The weight map of Eq. 7 on a 96³ patch with 13 classes: edt against MONAI's distance transform, and its sampling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from engine.timing import interleave, ratio, without_samples
from monai_cl.transforms import boundary_weight_map, sample_voxels

MU, EPSILON = 8.0, 0.05


def by_monai(label: Tensor, *, classes: int | None) -> Tensor:
    """Eq. 7 as a user of MONAI writes it: one-hot, `distance_transform_edt`, and the distance of each voxel's class.

    Args:
        label: (H, W, D) integers.
        classes: number of classes, background included; None: those present only, which is faster.
    """
    from monai.networks import one_hot
    from monai.transforms.utils import distance_transform_edt

    if classes is None:
        present = torch.unique(label)
        hot = torch.stack([(label == value) for value in present]).to(torch.float32)
    else:
        hot = one_hot(label[None, None].long(), classes)[0]
    if len(hot) == 1:
        return torch.full(label.shape, EPSILON)
    distance = torch.as_tensor(distance_transform_edt(hot)).sum(0).to(torch.float32)
    return 0.5 * distance.sqrt() * torch.exp(-distance / MU) + EPSILON


def draw_by_monai(label: Tensor, weights: Tensor, *, per_class: int = 64) -> Tensor:
    """The same draw in plain torch: `multinomial` a class."""
    flat, rates = label.flatten(), weights.flatten()
    found = []
    for value in torch.unique(flat):
        members = torch.nonzero(flat == value)[:, 0]
        found.append(members[torch.multinomial(rates[members], min(per_class, len(members)))])
    return torch.cat(found)


def measure(labels: list[np.ndarray], *, classes: int, rounds: int, slow_every: int = 3) -> dict:
    """Weight map and draw on patches (H, W, D)."""
    patches = [torch.from_numpy(label) for label in labels]

    def patch(number: int) -> Tensor:
        return patches[number % len(patches)]

    for label in patches[:2]:  # one function, whoever computes it
        if not torch.allclose(boundary_weight_map(label), by_monai(label, classes=classes), atol=1e-5):
            raise AssertionError("the weight maps differ")
    maps: dict[str, Callable[[int], Tensor]] = {
        "engine": lambda number: boundary_weight_map(patch(number)),
        "MONAI distance_transform_edt, all classes": lambda number: by_monai(patch(number), classes=classes),
        "MONAI distance_transform_edt, classes present": lambda number: by_monai(patch(number), classes=None),
    }
    slow = [name for name in maps if name != "engine"]
    times = interleave(maps, rounds=rounds, every=dict.fromkeys(slow, slow_every))
    level = [label[1::2, 1::2, 1::2] for label in patches]
    weights = [boundary_weight_map(label)[1::2, 1::2, 1::2] for label in patches]
    draws = interleave(
        {
            "engine": lambda number: sample_voxels(level[number % len(level)], weights[number % len(level)]),
            "torch.multinomial a class": lambda number: draw_by_monai(
                level[number % len(level)], weights[number % len(level)]
            ),
        },
        rounds=rounds,
    )
    return {
        "what": "96 x 96 x 96 labels, 13 classes and background; the draw on every second voxel, 64 a class",
        "classes present in the patches": [len(np.unique(label)) for label in labels],
        "times": without_samples(times) | {f"draw, {k}": v for k, v in without_samples(draws).items()},
        "ratios": {f"engine against {name}": ratio(times, name, "engine") for name in slow},
    }
