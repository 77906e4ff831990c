"""Views of a patch that differ by intensity only: shift, gamma, Gaussian smoothing, Gaussian noise, each at random.

A view's draws are addressed by (seed, position of the sample, number of the view): they do not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_cl.addressing import Stream, address_generator, address_rng
from monai_cl.transforms.intensity import add_noise, adjust_gamma, shift_intensity, smooth


@dataclass(frozen=True)
class ViewParameters:
    """What is done to one sample, in this order; None leaves an operation out.

    Attributes:
        shift: added to the image.
        gamma: exponent between the sample's minimum and maximum.
        sigma: of the smoothing, in voxels.
        noise_std: of the noise.
    """

    shift: float | None = None
    gamma: float | None = None
    sigma: float | None = None
    noise_std: float | None = None


def draw_view(
    rng: np.random.Generator,
    *,
    probability: float = 0.2,
    shift: float = 0.1,
    gamma: tuple[float, float] = (0.5, 2.0),
    sigma: tuple[float, float] = (0.25, 1.5),
    noise_std: float = 0.1,
) -> ViewParameters:
    """Draw a view of one sample.

    Args:
        rng: where every draw comes from.
        probability: of each of the four operations, independently.
        shift: the offset is uniform in ±shift (the image's range is [0, 1]).
        gamma: range of the exponent, its logarithm uniform: with (1/g, g) brighter and darker are as likely.
        sigma: range of the smoothing's standard deviation, voxels, uniform.
        noise_std: the noise's standard deviation is uniform in [0, noise_std].

    Raises:
        ValueError: if an option is out of its range.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must be in [0, 1], got {probability}")
    if shift < 0:
        raise ValueError(f"shift must be >= 0, got {shift}")
    if len(gamma) != 2 or not 0 < gamma[0] <= gamma[1]:
        raise ValueError(f"gamma must be a range of numbers > 0, got {gamma}")
    if len(sigma) != 2 or not 0 <= sigma[0] <= sigma[1]:
        raise ValueError(f"sigma must be a range of numbers >= 0, got {sigma}")
    if noise_std < 0:
        raise ValueError(f"noise_std must be >= 0, got {noise_std}")
    # All eight draws are always made: leaving one operation out does not change another.
    applied = rng.random(4) < probability
    values = (
        rng.uniform(-shift, shift),
        float(np.exp(rng.uniform(*np.log(gamma)))),
        rng.uniform(*sigma),
        rng.uniform(0, noise_std),
    )
    return ViewParameters(*(value if used else None for value, used in zip(values, applied)))


@torch.no_grad()
def apply_views(images: Tensor, views: Sequence[ViewParameters], generators: Sequence[torch.Generator]) -> Tensor:
    """Make one view of every sample.

    Args:
        images: (N, C, H, W, D) floating point; not changed.
        views: N views.
        generators: N generators on the device of ``images``, for the noise.

    Returns:
        As ``images``. Not clipped: noise and shift may leave [0, 1] (as MONAI's transforms; cutting the noise off
        would bias air and bone).
    """
    if images.ndim != 5 or not images.is_floating_point():
        raise ValueError(f"images must be floating point (N, C, H, W, D), got {images.dtype} {tuple(images.shape)}")
    if not len(images) == len(views) == len(generators):
        raise ValueError(
            f"expected a view and a generator for each of {len(images)} samples, got {len(views)} and {len(generators)}"
        )
    images = images.clone()

    def apply(operation: Callable[..., Tensor], name: str, *per_sample: Sequence) -> None:
        chosen = [n for n, view in enumerate(views) if getattr(view, name) is not None]
        if chosen:
            values = [getattr(views[n], name) for n in chosen]
            images[chosen] = operation(images[chosen], values, *([p[n] for n in chosen] for p in per_sample))

    apply(shift_intensity, "shift")
    apply(adjust_gamma, "gamma")
    apply(smooth, "sigma")
    apply(add_noise, "noise_std", generators)
    return images


def random_views(
    images: Tensor,
    *,
    seed: int,
    positions: Sequence[int] | Tensor,
    view: int,
    **options: Any,
) -> Tensor:
    """One random view of every sample of a batch, on the batch's device.

    Args:
        images: (N, C, H, W, D) floating point in [0, 1].
        seed: the run's seed.
        positions: (N,) the samples' global positions.
        view: which view of the sample this is: another number, another view.
        **options: of `draw_view`.

    Returns:
        As ``images``, not clipped. The parameters depend on (seed, position, view) alone; the noise also on the kind
        of device, whose generators differ.
    """
    addresses = [(int(position), int(view)) for position in positions]
    views = [draw_view(address_rng(seed, Stream.VIEWS, *address), **options) for address in addresses]
    generators = [address_generator(seed, Stream.NOISE, *address, device=images.device) for address in addresses]
    return apply_views(images, views, generators)
