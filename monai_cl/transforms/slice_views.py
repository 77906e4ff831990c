"""Views of CT slices, a batch at a time on its device: flip, flip, crop-resize, translation, rotation (WSP).

A slice's operations are composed into one affine map and resampled once (Kornia), which blurs once instead of three
times. What a crop leaves outside the frame can come back by the translation or rotation after it, where a chain of
operations would show air: air is only beyond the slice's own border.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from kornia.geometry.transform import warp_affine
from torch import Tensor, nn

from monai_cl.addressing import Stream, address_rng
from monai_cl.transforms.slice_geometry import SliceView, draw_slice_view, view_matrix

__all__ = ["SliceView", "SliceViews", "apply_slice_views", "draw_slice_view", "random_slice_views"]


@torch.no_grad()
def apply_slice_views(
    images: Tensor, views: Sequence[SliceView], *, air: float = 0.0, mode: str = "bilinear"
) -> Tensor:
    """Make one view of every slice, all its channels alike.

    Args:
        images: (N, C, H, W) floating point; not changed.
        views: N views.
        air: value beyond the slice's border: 0 for slices windowed to [0, 1].
        mode: ``bilinear``, or ``nearest`` for masks.

    Returns:
        As ``images``. Interpolation is linear (or nearest), in float32 or better whatever the dtype; a slice to which
        nothing is done keeps its bits.

    Raises:
        ValueError: if shapes and number of views do not agree.
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(f"images must be floating point (N, C, H, W), got {images.dtype} {tuple(images.shape)}")
    if len(images) != len(views):
        raise ValueError(f"expected a view for each of {len(images)} slices, got {len(views)}")
    result = images.clone()
    moved = [n for n, view in enumerate(views) if not view.is_identity]
    if not moved:
        return result
    height, width = images.shape[-2:]
    matrices = np.stack([view_matrix(views[n], height=height, width=width)[:2] for n in moved])
    dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
    chosen = torch.tensor(moved, device=images.device)
    with torch.autocast(device_type=images.device.type, enabled=False):
        warped = warp_affine(
            images[chosen].to(dtype) - air,
            torch.from_numpy(matrices).to(dtype).to(images.device),
            dsize=(height, width),
            mode=mode,
            padding_mode="zeros",
            align_corners=True,
        )
    result[chosen] = (warped + air).to(images.dtype)
    return result


def random_slice_views(
    images: Tensor,
    *,
    seed: int,
    positions: Sequence[int] | Tensor,
    view: int,
    air: float = 0.0,
    **options: Any,
) -> Tensor:
    """One random view of every slice of a batch, on the batch's device.

    Args:
        images: (N, C, H, W) floating point.
        seed: the run's seed.
        positions: (N,) the samples' global positions.
        view: which view of the sample this is: another number, another view.
        air: see `apply_slice_views`.
        **options: of `draw_slice_view`.

    Returns:
        As ``images``; what is drawn depends on (seed, position, view) alone, not on batch, device or resolution.
    """
    drawn = [draw_slice_view(address_rng(seed, Stream.VIEWS, int(p), int(view)), **options) for p in positions]
    return apply_slice_views(images, drawn, air=air)


class SliceViews(nn.Module):
    """:func:`random_slice_views` with its options: V views in training, the slice itself at inference.

    Args:
        seed: the run's seed.
        views: V, views of every slice.
        air: value beyond the slice's border: 0 for slices windowed to [0, 1].
        **options: of `random_slice_views`.

    Raises:
        ValueError: fewer than one view, or an option out of its range.
    """

    def __init__(self, *, seed: int, views: int = 2, air: float = 0.0, **options: Any) -> None:
        super().__init__()
        if views < 1:
            raise ValueError(f"views must be >= 1, got {views}")
        draw_slice_view(np.random.default_rng(0), **options)  # errors now, not at the first batch
        self.seed, self.views, self.options = int(seed), int(views), {**options, "air": air}

    def forward(self, images: Tensor, positions: Sequence[int] | Tensor | None = None) -> Tensor:
        """Views of slices.

        Args:
            images: (N, C, H, W) floating point.
            positions: (N,) the samples' global positions; not needed at inference.

        Returns:
            (N, V, C, H, W); at inference (``eval()``) (N, 1, C, H, W), the slices unchanged.
        """
        if not self.training:
            return images[:, None]
        if positions is None or len(positions) != len(images):
            count = "none" if positions is None else len(positions)
            raise ValueError(f"positions must be given, one for each of {len(images)} slices, got {count}")
        made = [
            random_slice_views(images, seed=self.seed, positions=positions, view=v, **self.options)
            for v in range(self.views)
        ]
        return torch.stack(made, dim=1)
