"""Any transform's randomness by address: MONAI's, with their own generators, and those that draw from global ones."""

# ruff: noqa: NPY002 -- the global generators are what this file is about
from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from monai.transforms import Randomizable, Transform

Sample = TypeVar("Sample")
Result = TypeVar("Result")
# what NumPy's RandomState, from which MONAI draws, takes for a seed
_RANGE = 2**32


def seed_everything(seed: int) -> None:
    """Seed the global generators: torch's on every device, NumPy's and Python's.

    Args:
        seed: in [0, 2^63), see `address_seed`.
    """
    torch.manual_seed(seed)
    np.random.seed(seed % _RANGE)
    random.seed(seed)


@contextlib.contextmanager
def global_seeds(seed: int) -> Iterator[None]:
    """Within the ``with`` block the CPU's global generators are seeded; after it they are as they were.

    Args:
        seed: in [0, 2^63), see `address_seed`.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % _RANGE)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def call_seeded(transform: Callable[[Sample], Result], sample: Sample, *, seed: int) -> Result:
    """``transform(sample)`` whose draws depend on ``seed`` alone, not on what was drawn before.

    MONAI's random transforms are re-seeded, also inside another transform (a `Compose`, a wrapper of the user, a list);
    the global generators of Python, NumPy and torch's CPU are seeded for the time of the call, for transforms that draw
    from them (torchvision, a function in a ``Lambda``). A generator hidden elsewhere is not seeded.

    Args:
        transform: callable.
        sample: what it takes.
        seed: in [0, 2^63), see `address_seed`.
    """
    # in the order in which they are found, each with its own seed
    for number, member in enumerate(_random_members(transform)):
        member.set_random_state(seed=(seed + number) % _RANGE)
    with global_seeds(seed):
        return transform(sample)


def _random_members(found: object, *, seeded: bool = False, seen: set[int] | None = None) -> Iterator[Any]:
    """The parts of a transform to seed. A `Randomizable` passes its seed on to those that it holds directly."""
    seen = set() if seen is None else seen
    if id(found) in seen:
        return
    seen.add(id(found))
    if isinstance(found, (list, tuple)):
        inner = found
    elif hasattr(found, "set_random_state"):
        if not seeded:
            yield found
        inner = getattr(found, "transforms", ())
        seeded = True
    else:
        inner = [value for value in getattr(found, "__dict__", {}).values() if _may_hold(value)]
        seeded = False
    for member in inner:
        yield from _random_members(member, seeded=seeded and isinstance(member, Randomizable), seen=seen)


def _may_hold(value: object) -> bool:
    return isinstance(value, (list, tuple, Transform)) or (
        callable(value) and not isinstance(value, type) and hasattr(value, "__dict__")
    )
