"""Any transform's randomness by address: all of MONAI's, wrapped ones, and what draws from the global generators."""

# ruff: noqa: NPY002 -- the global generators are what this file is about
from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any

import monai.transforms
import numpy as np
import pytest
import torch
from monai.transforms import Compose, MapTransform, OneOf, Randomizable, RandomOrder, SomeOf

from monai_cl.transforms.seeding import call_seeded, global_seeds, seed_everything

# options without which a transform cannot be made or does nothing at random
OPTIONS: dict[str, dict[str, Any]] = {
    "AddExtremePointsChanneld": {"label_key": "label"},
    "CutMixd": {"batch_size": 2, "label_keys": ["weight"]},
    "CutOutd": {"batch_size": 2},
    "MixUpd": {"batch_size": 2},
    "Rand2DElasticd": {"spacing": (4, 4), "magnitude_range": (1, 2)},
    "Rand3DElasticd": {"sigma_range": (1, 2), "magnitude_range": (5, 9)},
    "RandAffined": {"rotate_range": (0.5, 0.5, 0.5)},
    "RandCoarseDropoutd": {"holes": 2, "spatial_size": 3},
    "RandCoarseShuffled": {"holes": 2, "spatial_size": 3},
    "RandCropByLabelClassesd": {"label_key": "label", "spatial_size": (6, 6, 6), "num_classes": 2},
    "RandCropByPosNegLabeld": {"label_key": "label", "spatial_size": (6, 6, 6)},
    "RandFlipd": {"prob": 0.5},
    "RandGridPatchd": {"patch_size": (4, 4), "num_patches": 2, "sort_fn": "random"},
    "RandImageFilterd": {"kernel": "mean", "kernel_size": 3, "prob": 0.5},
    "RandLambdad": {"func": lambda image: image + torch.rand(1)},
    "RandRotated": {"range_x": 0.5},
    "RandScaleCropd": {"roi_scale": 0.5, "random_size": True},
    "RandScaleIntensityFixedMeand": {"factors": 0.5},
    "RandScaleIntensityd": {"factors": 0.5},
    "RandShiftIntensityd": {"offsets": 0.5},
    "RandSmoothDeformd": {"spatial_size": (12, 12, 12), "rand_size": (4, 4, 4), "def_range": 0.5},
    "RandSmoothFieldAdjustContrastd": {"spatial_size": (12, 12, 12), "rand_size": (4, 4, 4)},
    "RandSmoothFieldAdjustIntensityd": {"spatial_size": (12, 12, 12), "rand_size": (4, 4, 4)},
    "RandSpatialCropSamplesd": {"roi_size": 6, "num_samples": 2, "random_size": False},
    "RandSpatialCropd": {"roi_size": 6, "random_size": False},
    "RandStdShiftIntensityd": {"factors": 0.5},
    "RandWeightedCropd": {"w_key": "weight", "spatial_size": (6, 6, 6)},
    "RandZoomd": {"min_zoom": 0.7, "max_zoom": 1.4},
}
RANDOM = sorted(
    name
    for name, found in vars(monai.transforms).items()
    if inspect.isclass(found) and issubclass(found, Randomizable) and issubclass(found, MapTransform)
    if name == found.__name__ and name != "RandCropd"  # takes a cropper: the parent of others
)


def made(name: str) -> MapTransform:
    """A random dictionary transform of MONAI."""
    kind = getattr(monai.transforms, name)
    often = {"prob": 0.9} if "prob" in inspect.signature(kind).parameters else {}
    return kind(keys=["image"], **{**often, **OPTIONS.get(name, {})})


def sample(name: str = "") -> dict[str, torch.Tensor]:
    in_batches, flat = name in ("CutMixd", "CutOutd", "MixUpd"), name in ("Rand2DElasticd", "RandGridPatchd")
    shape = (2, 1, 12, 12, 12) if in_batches else (1, 12, 12) if flat else (1, 12, 12, 12)
    generator = torch.Generator().manual_seed(0)
    image, label, weight = (torch.rand(shape, generator=generator) for _ in range(3))
    return {"image": image, "label": (label > 0.5).float(), "weight": weight}


def tensors(result: Any) -> list[torch.Tensor]:
    if isinstance(result, (list, tuple)):
        return [tensor for part in result for tensor in tensors(part)]
    return [torch.Tensor(result["image"]).as_subclass(torch.Tensor).clone()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other))


def waste() -> None:
    """Draw from every global generator."""
    random.random(), torch.rand(3), np.random.rand(3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", RANDOM)
def test_every_random_transform_of_monai_draws_from_its_seed_alone(name):
    transform = Compose([made(name)])
    first = [tensors(call_seeded(transform, sample(name), seed=seed)) for seed in range(6)]
    assert any(not same(first[0], other) for other in first[1:]), "it is not random: give it other options"
    waste()
    again = Compose([made(name)])
    for seed in (4, 0, 5):
        assert same(first[seed], tensors(call_seeded(transform, sample(name), seed=seed)))
        assert same(first[seed], tensors(call_seeded(again, sample(name), seed=seed)))


def test_this_covers_what_monai_has():
    assert len(RANDOM) > 35
    assert set(OPTIONS) <= set(RANDOM)


class _Wrapper:
    """A user's callable that knows nothing of random states."""

    def __init__(self, inner: Callable) -> None:
        self.inner = inner

    def __call__(self, sample: Any) -> Any:
        return self.inner(sample)


def noise() -> MapTransform:
    return monai.transforms.RandGaussianNoised(keys=["image"], prob=1.0)


def flips() -> list[MapTransform]:
    return [monai.transforms.RandFlipd(keys=["image"], prob=0.5, spatial_axis=axis) for axis in range(3)]


HOLDERS = {
    "bare": noise,
    "wrapped": lambda: _Wrapper(noise()),
    "twice wrapped": lambda: _Wrapper(_Wrapper(noise())),
    "wrapper in a compose": lambda: Compose([_Wrapper(noise())]),
    "wrapper in a compose in a compose": lambda: Compose([Compose([_Wrapper(noise())]), *flips()]),
    "compose in a wrapper": lambda: _Wrapper(Compose([noise(), *flips()])),
    "one of": lambda: OneOf([noise(), *flips()]),
    "some of": lambda: SomeOf([noise(), *flips()], num_transforms=2),
    "random order": lambda: RandomOrder([noise(), *flips()]),
    "python": lambda: lambda sample: {"image": sample["image"] + random.random()},
    "numpy": lambda: lambda sample: {"image": sample["image"] + np.random.rand()},
    "torch": lambda: lambda sample: {"image": torch.nn.functional.dropout(sample["image"])},
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_randomness_is_addressed_wherever_a_transform_keeps_it(holder):
    transform = HOLDERS[holder]()
    first = [tensors(call_seeded(transform, sample(), seed=seed)) for seed in range(8)]
    assert any(not same(first[0], other) for other in first[1:])
    waste()
    for made_anew in (transform, HOLDERS[holder]()):
        for seed in (5, 0):
            assert same(first[seed], tensors(call_seeded(made_anew, sample(), seed=seed)))


def test_two_wrapped_transforms_do_not_draw_the_same_noise():
    pair = Compose([_Wrapper(noise()), _Wrapper(noise())])
    zeros = {"image": torch.zeros(1, 8, 8, 8)}
    both = tensors(call_seeded(pair, zeros, seed=0))[0]
    one = tensors(call_seeded(Compose([_Wrapper(noise())]), zeros, seed=0))[0]
    assert not torch.allclose(both, 2 * one)


def test_a_transform_that_holds_itself_does_not_hang():
    wrapper = _Wrapper(noise())
    wrapper.me = wrapper
    assert same(*(tensors(call_seeded(wrapper, sample(), seed=3)) for _ in range(2)))


def test_global_generators_are_left_as_they_were():
    seed_everything(0)
    expected = random.random(), float(torch.rand(1)), np.random.rand()
    seed_everything(0)
    with global_seeds(7):
        inside = random.random(), float(torch.rand(1)), np.random.rand()
    assert (random.random(), float(torch.rand(1)), np.random.rand()) == expected
    assert not set(inside) & set(expected)
