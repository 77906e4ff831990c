"""Iterations, epochs and the learning rate."""

from __future__ import annotations

import math
import pickle

import pytest
import torch

from monai_cl.engines import cosine_schedule, epochs_of
from monai_cl.errors import UserError


def rates(iterations: int, **options) -> list[float]:
    """The learning rate of every step of a run at rate 1, and what is left after the last."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = cosine_schedule(optimizer, iterations=iterations, **options)
    found = []
    for _ in range(iterations + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def after(steps: int, **options):
    """Optimiser (rate 1) and schedule after some steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = cosine_schedule(optimizer, **options)
    for _ in range(steps):
        optimizer.step()
        schedule.step()
    return optimizer, schedule


@pytest.mark.parametrize(
    ("arguments", "epochs"), [((1000, 50), 20), ((2000, 200, 1), 10), ((600, 100, 3), 6), ((7, 7), 1)]
)
def test_epochs_cover_the_iterations(arguments, epochs):
    assert epochs_of(*arguments) == epochs


@pytest.mark.parametrize(
    ("arguments", "better"), [((1001, 50), 1050), ((100, 200), 200), ((400, 100, 3), 600), ((500, 100, 2), 600)]
)
def test_iterations_that_would_end_unvalidated_are_refused_with_ones_that_fit(arguments, better):
    with pytest.raises(UserError, match=f"use {better}$"):
        epochs_of(*arguments)
    assert better % math.prod(arguments[1:]) == 0


@pytest.mark.parametrize("name", ["iterations", "epoch_length", "val_interval"])
@pytest.mark.parametrize("value", [0, -5, 2.5])
def test_numbers_of_iterations_must_be_whole_and_positive(name, value):
    with pytest.raises(UserError, match=f"{name} must be an integer >= 1, got {value}"):
        epochs_of(**{"iterations": 10, "epoch_length": 10, "val_interval": 1, name: value})


def test_the_rate_falls_as_half_a_cosine_to_zero():
    assert rates(4) == pytest.approx([1, 0.5 + math.sqrt(0.5) / 2, 0.5, 0.5 - math.sqrt(0.5) / 2, 0])


def test_warm_up_rises_linearly_and_reaches_the_full_rate_once():
    assert rates(7, warmup=3) == pytest.approx([0.25, 0.5, 0.75, 1, *rates(4)[1:]])


def test_a_fraction_of_the_rate_is_left_at_the_end():
    assert rates(4, final_rate=0.1)[-1] == pytest.approx(0.1)
    assert rates(4, final_rate=0.1)[0] == pytest.approx(1)


def test_the_rate_stays_at_its_end_beyond_the_run():
    optimizer, _ = after(9, iterations=2, final_rate=0.2)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2)


def test_a_state_brings_its_step_and_leaves_the_length_of_the_run():
    optimizer, short = after(10, iterations=10, warmup=2)
    assert optimizer.param_groups[0]["lr"] == 0
    again = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    long = cosine_schedule(again, iterations=20, warmup=4)
    again.load_state_dict(optimizer.state_dict())
    long.load_state_dict(short.state_dict())
    found = []
    for _ in range(10):
        found.append(again.param_groups[0]["lr"])
        assert long.get_last_lr() == found[-1:]
        again.step()
        long.step()
    assert found == rates(20, warmup=4)[10:20]


@pytest.mark.parametrize("warmup", [-1, 10, 11])
def test_a_warm_up_as_long_as_the_run_is_the_users_error(warmup):
    with pytest.raises(UserError, match=rf"warmup must be in \[0, iterations\), got {warmup} of 10"):
        rates(10, warmup=warmup)


def test_a_schedule_pickles_and_its_state_is_plain():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = cosine_schedule(optimizer, iterations=8, warmup=2)
    again = pickle.loads(pickle.dumps(schedule.lr_lambdas[0]))
    assert [again(step) for step in range(9)] == [schedule.lr_lambdas[0](step) for step in range(9)]


@pytest.mark.parametrize(
    ("rate", "final", "expected"), [(0.0, 1e-3, "at least the 0.001"), (1e-5, 1e-3, "at least the 0.001")]
)
def test_a_rate_that_cannot_fall_to_its_last_is_named(rate, final, expected):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    with pytest.raises(UserError, match=f"learning_rate: expected .*{expected}"):
        cosine_schedule(optimizer, iterations=4, final_rate=final)


def test_every_group_ends_at_the_same_rate():
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (1.0, 0.1)]
    optimizer = torch.optim.SGD(groups)
    schedule = cosine_schedule(optimizer, iterations=2, final_rate=0.01)
    for _ in range(2):
        optimizer.step()
        schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01, 0.01])


def test_a_rate_of_0_stays_0():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.0)
    schedule = cosine_schedule(optimizer, iterations=4, warmup=2)
    for _ in range(5):
        assert schedule.get_last_lr() == [0]
        optimizer.step()
        schedule.step()
