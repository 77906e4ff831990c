"""A batch of slices in one piece of memory, from the data set to the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import default_collate


class SliceSamples(list):
    """Samples of `CTSlices` whose images stand side by side.

    Args:
        images: (N, 2k + 1, H, W); the i-th row is the image of the i-th sample.
    """

    def __init__(self, images: torch.Tensor) -> None:
        super().__init__()
        self.images = images


def collate_slices(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What ``default_collate`` makes of slices, without copying images that stand side by side already.

    Args:
        samples: as `CTSlices` gives them to a `DataLoader`; other lists of its samples are collated as usual.

    Returns:
        image (N, 2k + 1, H, W), depth (N,), label (N,), index (N,), and the other keys as ``default_collate`` has them.
    """
    if not isinstance(samples, SliceSamples):
        return default_collate(samples)
    rest = [{key: value for key, value in sample.items() if key != "image"} for sample in samples]
    return {"image": samples.images} | default_collate(rest)
