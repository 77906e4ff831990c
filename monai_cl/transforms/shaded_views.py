"""Views of slices whose brightness and contrast change too, as those of MR do from scanner to scanner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from monai_cl.addressing import Stream, address_rng
from monai_cl.transforms.slice_views import SliceViews


class ShadedSliceViews(SliceViews):
    """`SliceViews`, then ``b (m + c (x - m))`` with the slice's mean m, clipped to [0, 1].

    Args:
        seed: the run's seed.
        views: V, views of every slice.
        brightness: b is uniform in 1 ± this.
        contrast: c is uniform in 1 ± this.
        **options: of `SliceViews`.

    Raises:
        ValueError: an option out of its range.
    """

    def __init__(
        self, *, seed: int, views: int = 2, brightness: float = 0.5, contrast: float = 0.5, **options: Any
    ) -> None:
        super().__init__(seed=seed, views=views, **options)
        for name, value in (("brightness", brightness), ("contrast", contrast)):
            if not 0 <= value < 1:
                raise ValueError(f"{name} must be in [0, 1), got {value}")
        self.brightness, self.contrast = float(brightness), float(contrast)

    def forward(self, images: Tensor, positions: Sequence[int] | Tensor | None = None) -> Tensor:
        """Views of slices; arguments and result of `SliceViews`."""
        made = super().forward(images, positions)
        if not self.training or positions is None:
            return made
        drawn = torch.tensor(
            [
                [
                    address_rng(self.seed, Stream.VIEWS, int(p), v, 1).uniform(-1, 1, 2).tolist()
                    for v in range(self.views)
                ]
                for p in positions
            ]
        ).to(made)
        b, c = 1 + self.brightness * drawn[..., 0], 1 + self.contrast * drawn[..., 1]
        return shade_slices(made, b, c)


def shade_slices(images: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """``b (m + c (x - m))`` with the slice's mean m, clipped to [0, 1].

    Args:
        images: x, (..., C, H, W).
        brightness: b of every slice, (...).
        contrast: c, likewise.
    """
    mean = images.mean(dim=(-3, -2, -1), keepdim=True)
    b, c = brightness[..., None, None, None], contrast[..., None, None, None]
    return (b * (mean + c * (images - mean))).clamp(0, 1)
