"""Views of a patch by transforms that a config names, MONAI's or the user's own, in place of `random_views`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform
from torch import Tensor

from monai_cl.addressing import Stream, address_seed
from monai_cl.errors import UserError
from monai_cl.transforms.seeding import call_seeded

_MOVING = ("monai.transforms.spatial.", "monai.transforms.croppad.")
_STILL = ("RandSimulateLowResolution", "Identity")  # theirs that leave every voxel in its place
_ALIGNED = "that changes intensities only: both views of a patch show the same voxels (Eq. 5)"


class OwnViews:
    """A view of every sample of a batch by a transform of (1, H, W, D), addressed as `random_views`.

    Whatever of MONAI's moves, cuts or pads voxels is refused. What a function of the user does to voxels is not known:
    it must leave them in their places too, or the identity term compares different tissue.

    Args:
        transform: callable, or a list of such, for arrays: MONAI's without a ``d`` at the end of their names.
        size: of a patch, to try it on.

    Raises:
        UserError: a transform that may not be used here, or that fails, or gives another shape, on a patch of noise.
    """

    def __init__(self, transform: Callable[[Any], Any] | Sequence[Callable[[Any], Any]], size: Sequence[int]) -> None:
        self.transform = transform if callable(transform) else Compose(list(transform))
        for member in _members(self.transform):
            _check(member)
        try:
            self(torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0)), seed=0, positions=[0], view=0)
        except UserError:
            raise
        except Exception as error:
            expected, found = (
                f"a transform of a patch (1, {', '.join(map(str, size))})",
                f"{type(error).__name__}: {error}",
            )
            raise UserError("views", expected=expected, found=found) from error

    def __call__(self, images: Tensor, *, seed: int, positions: Sequence[int] | Tensor, view: int) -> Tensor:
        """One random view of every sample, on the batch's device.

        Args:
            images: (N, 1, H, W, D); not changed.
            seed: the run's seed.
            positions: (N,) the samples' global positions.
            view: which view of the sample this is.

        Raises:
            UserError: a view of another shape.
        """
        seeds = [address_seed(seed, Stream.VIEWS, int(position), int(view)) for position in positions]
        made = [
            torch.as_tensor(call_seeded(self.transform, image.clone(), seed=its)) for image, its in zip(images, seeds)
        ]
        for image in made:
            if image.shape != images.shape[1:]:
                found = f"{tuple(image.shape)} of a patch {tuple(images.shape[1:])}"
                raise UserError("views", expected=f"a transform {_ALIGNED}", found=found)
        plain = [image.as_tensor() if isinstance(image, MetaTensor) else image for image in made]
        return torch.stack(plain).to(images)


def _check(member: object) -> None:
    kind = type(member)
    if kind.__module__.startswith(_MOVING) and kind.__name__.removesuffix("d") not in _STILL:
        remedy = (
            "leave it out; patches are turned and deformed before, together with their labels: see warp and geometry"
        )
        raise UserError("views", expected=f"a transform {_ALIGNED}", found=kind.__name__, remedy=remedy)
    if isinstance(member, MapTransform):
        remedy = f"name the transform of arrays, {kind.__name__.removesuffix('d')}, without keys"
        found = f"{kind.__name__}, of a dictionary"
        raise UserError("views", expected="a transform of an array", found=found, remedy=remedy)


def _members(transform: object) -> Iterator[object]:
    """A transform and what it holds: a Compose, OneOf or list of others."""
    yield transform
    for inner in getattr(transform, "transforms", ()):
        yield from _members(inner)
