"""Torch's random state of a step, addressed by the step."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events

from monai_cl.engines import AddressedRandomness, seed_weights


def draws(iterations: int, *, start: int = 0, seed: int = 0, rank: int = 0, wasted: int = 0) -> list[float]:
    """A number that each step draws from torch's generator, after as many wasted draws."""
    found: list[float] = []

    def step(engine: Engine, batch: int) -> None:
        found.append(float(torch.rand(1)))
        torch.rand(wasted)

    engine = Engine(step)
    AddressedRandomness(seed=seed, rank=rank).attach(engine)

    @engine.on(Events.STARTED)
    def resume(engine: Engine) -> None:
        engine.state.iteration = engine.state.epoch = start

    engine.run(range(99), max_epochs=iterations, epoch_length=1)
    return found


def test_every_step_draws_its_own_number():
    assert len(set(draws(5))) == 5


def test_a_step_draws_the_same_after_a_resume():
    assert draws(5, start=3) == draws(5)[3:]


def test_what_a_step_draws_does_not_move_the_next_one():
    assert draws(4, wasted=17) == draws(4)


def test_seed_and_rank_are_part_of_the_address():
    assert not set(draws(4)) & set(draws(4, seed=1))
    assert not set(draws(4)) & set(draws(4, rank=1))


def test_initial_weights_depend_on_the_seed_alone():
    def weights(seed: int, wasted: int) -> torch.Tensor:
        torch.rand(wasted)
        seed_weights(seed)
        return torch.nn.Linear(3, 3).weight.detach()

    assert torch.equal(weights(0, 1), weights(0, 5))
    assert not torch.equal(weights(0, 1), weights(1, 1))
