"""Random seeds that are addressed, not consumed: the same address gives the same draws, whatever was drawn before.

An address is the run's seed followed by integers that identify what is drawn: a `Stream`, then a sample's position, ….
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch

_WORD = 0xFFFFFFFF


class Stream(IntEnum):
    """First number of an address: keeps the draws of one purpose apart from those of another at the same position."""

    CASES = 1
    PATCHES = 2
    VOXELS = 3
    VIEWS = 4
    NOISE = 5
    SEGMENTATION = 6
    TRANSFORM = 7
    PATIENTS = 8
    STEP = 9
    PARTS = 10
    MODALITIES = 11
    MASKS = 12
    PROBE = 13
    MOVEMENTS = 14


def address_seed(seed: int, *address: int) -> int:
    """A seed in [0, 2^63) that depends on ``seed`` and every number of the address and on nothing else.

    Args:
        seed: the run's seed, in [0, 2^64).
        *address: integers in [0, 2^64), e.g. a stream, a sample's position, a view.

    Raises:
        ValueError: if a number is negative or too large.
    """
    return int(_sequence(seed, address).generate_state(1, np.uint64)[0] >> np.uint64(1))


def address_rng(seed: int, *address: int) -> np.random.Generator:
    """NumPy generator seeded by an address; see `address_seed`.

    Args:
        seed: the run's seed, in [0, 2^64).
        *address: integers in [0, 2^64) that name the draw, such as a position and an iteration.
    """
    return np.random.Generator(np.random.PCG64(_sequence(seed, address)))


def address_generator(seed: int, *address: int, device: str | torch.device = "cpu") -> torch.Generator:
    """Torch generator on ``device`` seeded by an address; see `address_seed`.

    Args:
        seed: the run's seed, in [0, 2^64).
        *address: integers in [0, 2^64) that name the draw, such as a position and an iteration.
        device: where the generator draws.
    """
    return torch.Generator(device=device).manual_seed(address_seed(seed, *address))


def _sequence(seed: int, address: tuple[int, ...]) -> np.random.SeedSequence:
    # SeedSequence pads with zeros and splits long integers: (7,), (7, 0) and (2^32,), (0, 1) would share their draws.
    # The length first and two words per number make every address a different sequence.
    words = [len(address)]
    for number in (seed, *address):
        number = int(number)
        if not 0 <= number < 2**64:
            raise ValueError(f"seed and address must be integers in [0, 2^64), got {number}")
        words += [number & _WORD, number >> 32]
    return np.random.SeedSequence(words)
