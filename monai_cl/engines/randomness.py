"""Randomness of a training step addressed by its iteration, so that a resumed run is the same run."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events

from monai_cl.data import address_seed


class AddressedRandomness:
    """Handler: before iteration k, torch's generators (dropout and the like) are seeded from (seed, rank, k)."""

    def __init__(self, *, seed: int, rank: int = 0) -> None:
        self.seed, self.rank = int(seed), int(rank)

    def attach(self, engine: Engine) -> None:
        """Register on ``ITERATION_STARTED``."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        torch.manual_seed(address_seed(self.seed, self.rank, engine.state.iteration))


def seed_weights(seed: int) -> None:
    """Seed torch before a network is built: the initial weights depend on nothing else. Call it in ``initialize``."""
    torch.manual_seed(address_seed(seed))
