"""The same spatial augmentation by the engine and by its peers: elastic and affine, equal displacement in mm.

Every contestant is a function ``(image, label) -> (image, label)`` of tensors (C, H, W, D), linear for the image and
nearest for the label. The elastic part of each is scaled until its measured root mean square displacement is the one
asked for: coordinates themselves are warped as an image, so no library is taken at its word.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from engine.cohort import SPACING
from monai_cl.transforms.warp import apply_warp, random_warp

Pair = tuple[Tensor, Tensor]
Warp = Callable[[Tensor, Tensor], Pair]
Maker = Callable[..., Warp]  # (amount, elastic probability, affine probability) -> Warp

PATCH = (96, 96, 96)
ROTATION, SCALE = 15.0, 0.1  # degrees, fraction
CONTROL_POINTS = (6, 6, 7)  # as many as the engine's 48 mm give on this patch
_MARGIN = 20  # voxels at the border left out of the measurement: what comes from outside is no coordinate


def engine(amount: float, elastic: float, affine: float) -> Warp:
    """This project's."""
    numbers = itertools.count()

    def warp(image: Tensor, label: Tensor) -> Pair:
        parameters = random_warp(
            np.random.default_rng(next(numbers)),
            patch_size=PATCH,
            spacing=SPACING,
            displacement_rms=amount,
            elastic_probability=elastic,
            affine_probability=affine,
            rotation=ROTATION,
            scale=SCALE,
        )
        return apply_warp(image, label, parameters)

    return warp


def monai_stock(amount: float, elastic: float, affine: float) -> Warp:
    """MONAI's Rand3DElasticd, then RandAffined, with the smoothing of its tutorials."""
    from monai.transforms import Compose, Rand3DElasticd

    steps = Rand3DElasticd(
        ["image", "label"],
        sigma_range=(5, 8),
        magnitude_range=(amount, amount),
        prob=elastic,
        mode=("bilinear", "nearest"),
        padding_mode="zeros",
    )
    return _monai(Compose([steps, _monai_affine(affine)]))


def monai_strong(amount: float, elastic: float, affine: float) -> Warp:
    """MONAI's RandSmoothDeformd (a field of a few control points), then RandAffined with its grid cached."""
    from monai.transforms import Compose, RandSmoothDeformd

    steps = RandSmoothDeformd(
        ["image", "label"],
        spatial_size=PATCH,
        rand_size=CONTROL_POINTS,
        field_mode="trilinear",
        prob=elastic,
        def_range=amount,
        grid_mode=("bilinear", "nearest"),
        grid_padding_mode="zeros",
    )
    return _monai(Compose([steps, _monai_affine(affine, cache_grid=True, spatial_size=PATCH)]))


def batchgenerators(amount: float, elastic: float, affine: float) -> Warp:
    """batchgeneratorsv2's SpatialTransform, which folds both parts into one sampling."""
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

    angle = np.deg2rad(ROTATION)
    transform = SpatialTransform(
        PATCH,
        0,
        False,
        p_elastic_deform=elastic,
        elastic_deform_scale=(0.1, 0.2),
        elastic_deform_magnitude=amount,
        p_rotation=affine,
        rotation=(-angle, angle),
        p_scaling=affine,
        scaling=(1 - SCALE, 1 + SCALE),
        p_synchronize_scaling_across_axes=1,
        mode_seg="nearest",
    )

    def warp(image: Tensor, label: Tensor) -> Pair:
        done = transform(image=image, segmentation=label)
        return done["image"], done["segmentation"]

    return warp


def torchio(amount: float, elastic: float, affine: float) -> Warp:
    """TorchIO's RandomElasticDeformation (through SimpleITK), then RandomAffine."""
    import torchio as tio

    steps = tio.Compose(
        [
            tio.RandomElasticDeformation(
                num_control_points=CONTROL_POINTS, max_displacement=amount, locked_borders=0, p=elastic
            ),
            tio.RandomAffine(scales=SCALE, degrees=ROTATION, isotropic=True, default_pad_value=0, p=affine),
        ]
    )
    grid = np.diag([*SPACING, 1.0])

    def warp(image: Tensor, label: Tensor) -> Pair:
        subject = tio.Subject(
            image=tio.ScalarImage(tensor=image, affine=grid), label=tio.LabelMap(tensor=label, affine=grid)
        )
        done = steps(subject)
        return done["image"].data, done["label"].data

    return warp


def contestants() -> dict[str, Maker]:
    """Name -> maker, of the libraries that are installed."""
    found: dict[str, Maker] = {
        "engine": engine,
        "MONAI Rand3DElasticd + RandAffined": monai_stock,
        "MONAI RandSmoothDeformd + RandAffined": monai_strong,
    }
    if importlib.util.find_spec("batchgeneratorsv2"):
        found["batchgeneratorsv2 SpatialTransform"] = batchgenerators
    if importlib.util.find_spec("torchio"):
        found["TorchIO elastic + affine"] = torchio
    return found


def displacement_rms(warp: Warp, *, draws: int) -> float:
    """Root mean square displacement in mm that a warp was seen to cause, away from the patch's border."""
    ramps = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in PATCH), indexing="ij"))
    inner = (slice(None), *(slice(_MARGIN, n - _MARGIN) for n in PATCH))
    label = torch.zeros((1, *PATCH), dtype=torch.uint8)
    squares = []
    for _ in range(draws):
        moved = torch.as_tensor(np.asarray(warp(ramps.clone(), label)[0]))
        millimetres = (moved - ramps)[inner] * torch.tensor(SPACING).reshape(3, 1, 1, 1)
        squares.append(float(millimetres.square().sum(0).mean()))
    return float(np.sqrt(np.mean(squares)))


def calibrate(maker: Maker, *, rms: float, first: float, draws: int) -> tuple[float, float]:
    """The amount that gives ``rms`` mm, and what it was measured to give (displacement is linear in the amount)."""
    amount = first * rms / displacement_rms(maker(first, 1.0, 0.0), draws=draws)
    return amount, displacement_rms(maker(amount, 1.0, 0.0), draws=draws)


# an amount to start from, in each one's own unit
FIRST = {
    "engine": 4.0,
    "MONAI Rand3DElasticd + RandAffined": 80.0,
    "MONAI RandSmoothDeformd + RandAffined": 0.05,
    "batchgeneratorsv2 SpatialTransform": 4.0,
    "TorchIO elastic + affine": 5.0,
}


def _monai_affine(probability: float, **more):
    from monai.transforms import RandAffined

    angle = float(np.deg2rad(ROTATION))
    return RandAffined(
        ["image", "label"],
        prob=probability,
        rotate_range=(angle,) * 3,
        scale_range=(SCALE,) * 3,
        mode=("bilinear", "nearest"),
        padding_mode="zeros",
        **more,
    )


def _monai(steps) -> Warp:
    steps.set_random_state(0)

    def warp(image: Tensor, label: Tensor) -> Pair:
        done = steps({"image": image, "label": label})
        return done["image"], done["label"]

    return warp
