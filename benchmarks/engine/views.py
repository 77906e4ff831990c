"""One intensity view of a patch by the engine and by its peers: shift, gamma, Gaussian smoothing, Gaussian noise."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from monai_cl.transforms import random_views

View = Callable[[Tensor], Tensor]

SHIFT, GAMMA, SIGMA, NOISE = 0.1, (0.5, 2.0), (0.25, 1.5), 0.1


def engine(probability: float) -> View:
    """This project's."""
    numbers = itertools.count()

    def view(image: Tensor) -> Tensor:
        return random_views(image[None], seed=0, positions=[next(numbers)], view=0, probability=probability)[0]

    return view


def monai(probability: float) -> View:
    """MONAI's four random transforms."""
    from monai.transforms import (
        Compose,
        RandAdjustContrast,
        RandGaussianNoise,
        RandGaussianSmooth,
        RandShiftIntensity,
    )

    steps = Compose(
        [
            RandShiftIntensity(offsets=SHIFT, prob=probability),
            RandAdjustContrast(gamma=GAMMA, prob=probability),
            RandGaussianSmooth(sigma_x=SIGMA, sigma_y=SIGMA, sigma_z=SIGMA, prob=probability),
            RandGaussianNoise(std=NOISE, prob=probability),
        ]
    )
    steps.set_random_state(0)
    return steps


def batchgenerators(probability: float) -> View:
    """batchgeneratorsv2's."""
    from batchgeneratorsv2.transforms.intensity.brightness import BrightnessAdditiveTransform
    from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform

    steps = [
        BrightnessAdditiveTransform(0, SHIFT / 3**0.5),
        GammaTransform(GAMMA, 0, True, 1, 0),
        GaussianBlurTransform(SIGMA, synchronize_axes=True),
        GaussianNoiseTransform((0, NOISE**2)),
    ]

    def view(image: Tensor) -> Tensor:
        for step in steps:
            if np.random.random() < probability:  # noqa: NPY002 (as the library itself draws)
                image = step(image=image)["image"]
        return image

    return view


def torchio(probability: float) -> View:
    """TorchIO's; it has no shift by an offset, so one is added by hand."""
    import torchio as tio

    low, high = np.log(GAMMA)
    steps = tio.Compose(
        [
            tio.RandomGamma(log_gamma=(low, high), p=probability),
            tio.RandomBlur(std=SIGMA, p=probability),
            tio.RandomNoise(std=(0, NOISE), p=probability),
        ]
    )

    def view(image: Tensor) -> Tensor:
        if torch.rand(()) < probability:
            image = image + float(torch.empty(()).uniform_(-SHIFT, SHIFT))
        return steps(tio.ScalarImage(tensor=image)).data

    return view


def contestants() -> dict[str, Callable[[float], View]]:
    """Name -> maker, of the libraries that are installed."""
    found: dict[str, Callable[[float], View]] = {"engine": engine, "MONAI": monai}
    if importlib.util.find_spec("batchgeneratorsv2"):
        found["batchgeneratorsv2"] = batchgenerators
    if importlib.util.find_spec("torchio"):
        found["TorchIO"] = torchio
    return found
