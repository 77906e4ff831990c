"""Randomness of a training step addressed by its iteration, so that a resumed run is the same run."""

# ruff: noqa: NPY002 -- the global generators are what this file is about
from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from monai_cl import processes
from monai_cl.data import address_seed
from monai_cl.data.sampling.positions import Stream
from monai_cl.transforms.seeding import seed_everything


class AddressedRandomness:
    """Handler: before iteration k, the global generators are seeded from (seed, rank, k).

    Those are torch's on every device (dropout), NumPy's and Python's: what a step draws from them depends neither on
    earlier draws nor on where the run was interrupted.

    Args:
        seed: the run's seed.
        rank: this process's number; None: its own.
    """

    def __init__(self, *, seed: int, rank: int | None = None) -> None:
        self.seed, self.rank = int(seed), processes.rank() if rank is None else int(rank)

    def attach(self, engine: Engine) -> None:
        """Register on ``ITERATION_STARTED``."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        seed_everything(address_seed(self.seed, Stream.STEP, self.rank, engine.state.iteration))


def seed_weights(seed: int) -> None:
    """Seed torch before a network is built: the initial weights depend on nothing else. Call it in ``initialize``.

    Args:
        seed: the run's seed.
    """
    torch.manual_seed(address_seed(seed))


def random_states() -> dict[str, Any]:
    """States of the generators of Python, NumPy and torch (CPU and CUDA), as ``torch.load`` reads them safely."""
    state = np.random.get_state(legacy=False)
    keys = torch.from_numpy(state["state"]["key"].astype(np.int64))
    return {
        "python": random.getstate(),
        "numpy": (
            *(state["bit_generator"], keys, int(state["state"]["pos"])),
            *(int(state["has_gauss"]), float(state["gauss"])),
        ),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_states(states: Mapping[str, Any]) -> None:
    """Restore what `random_states` returned; the states of GPUs only where their number is the same."""
    version, words, gauss_next = states["python"]
    random.setstate((version, tuple(words), gauss_next))
    kind, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
