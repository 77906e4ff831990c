"""LARC against a loop of scalars; what it leaves alone; a resumed run; its learning-rate schedule."""

from __future__ import annotations

import math

import pytest
import torch

from monai_cl.engines import LARC, clustering_optimizer, cosine_schedule


def parameters(seed: int = 0) -> list[torch.nn.Parameter]:
    drawn = torch.Generator().manual_seed(seed)
    shapes = ((3, 2), (4,), (2, 2))
    values = [torch.randn(shape, generator=drawn, dtype=torch.float64) for shape in shapes]
    values[2].zero_()
    return [torch.nn.Parameter(value) for value in values]


def gradients(step: int) -> list[torch.Tensor]:
    drawn = torch.Generator().manual_seed(100 + step)
    return [torch.randn(p.shape, generator=drawn, dtype=torch.float64) for p in parameters()]


def go(optimizer: torch.optim.Optimizer, own: list[torch.nn.Parameter], steps: range) -> None:
    for step in steps:
        for parameter, gradient in zip(own, gradients(step)):
            parameter.grad = gradient.clone()
        optimizer.step()


@pytest.mark.parametrize("exclude_1d", [True, False])
def test_steps_are_those_of_a_loop(exclude_1d):
    lr, momentum, decay, trust = 0.6, 0.9, 0.1, 0.01
    own = parameters()
    options = {"momentum": momentum, "weight_decay": decay, "trust": trust, "exclude_1d": exclude_1d}
    go(LARC(own, lr, **options), own, range(3))
    for number, parameter in enumerate(parameters()):
        p = parameter.detach().flatten().tolist()
        velocity = None
        for step in range(3):
            g = gradients(step)[number].flatten().tolist()
            length, slope = math.hypot(*p), math.hypot(*g)
            if length > 0 and not (exclude_1d and number == 1):
                factor = trust * length / (slope + decay * length + 1e-8)
                g = [(b + decay * a) * factor for a, b in zip(p, g)]
            velocity = g if velocity is None else [momentum * v + b for v, b in zip(velocity, g)]
            p = [a - lr * v for a, v in zip(p, velocity)]
        torch.testing.assert_close(own[number].flatten(), torch.tensor(p, dtype=torch.float64))


def test_the_first_step_is_a_share_of_the_length_whatever_the_loss_is_multiplied_by():
    for scale in (1.0, 1000.0):
        (p, *_) = own = parameters()
        before = p.detach().clone()
        p.grad = scale * gradients(0)[0]
        LARC(own, 0.6, trust=0.001).step()
        assert float((p.detach() - before).norm() / before.norm()) == pytest.approx(0.6 * 0.001, rel=1e-6)


def test_a_parameter_without_a_gradient_stays_and_the_weight_decay_is_kept():
    own = parameters()
    optimizer = LARC(own, 0.6, weight_decay=0.1)
    own[0].grad = gradients(0)[0]
    before = [p.detach().clone() for p in own]
    optimizer.step()
    assert [torch.equal(p, old) for p, old in zip(own, before)] == [False, True, True]
    assert optimizer.param_groups[0]["weight_decay"] == 0.1
    own[0].grad = torch.zeros_like(own[0])
    optimizer = LARC(own, 0.6, momentum=0.0, weight_decay=0.1)
    value = own[0].detach().clone()
    optimizer.step()
    assert torch.equal(own[0], value)


def test_a_resumed_run_is_the_same_run():
    whole, first, second = parameters(), parameters(), parameters()
    runs = {}
    for name, own in (("whole", whole), ("first", first), ("second", second)):
        runs[name] = LARC(own, 0.6, weight_decay=0.1)
    go(runs["whole"], whole, range(5))
    go(runs["first"], first, range(2))
    with torch.no_grad():
        for to, value in zip(second, first):
            to.copy_(value)
    runs["second"].load_state_dict(runs["first"].state_dict())
    go(runs["second"], second, range(2, 5))
    assert all(torch.equal(one, other) for one, other in zip(whole, second))


def test_the_schedule_is_half_a_cosine_from_its_first_rate_to_its_last():
    own = parameters()
    optimizer = clustering_optimizer("larc", own, lr=0.6, weight_decay=1e-6)
    schedule = cosine_schedule(optimizer, iterations=100, final_rate=0.0006)
    rates = []
    for step in range(101):
        rates.append(optimizer.param_groups[0]["lr"])
        go(optimizer, own, range(step, step + 1))
        schedule.step()
    assert rates[0] == 0.6
    assert rates[50] == pytest.approx((0.6 + 0.0006) / 2)
    assert rates[100] == pytest.approx(0.0006)


def test_its_options_are_those_of_the_config():
    own = {"momentum": 0.5, "trust": 0.01, "exclude_1d": False}
    optimizer = clustering_optimizer("larc", parameters(), lr=0.6, weight_decay=0, larc=own)
    assert (optimizer.trust, optimizer.exclude_1d, optimizer.param_groups[0]["momentum"]) == (0.01, False, 0.5)


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="trust must be > 0, got 0"):
        LARC(parameters(), trust=0)
    with pytest.raises(ValueError, match="optimizer must be larc or adamw, got 'lars'"):
        clustering_optimizer("lars", parameters(), lr=1, weight_decay=0)
    assert isinstance(clustering_optimizer("adamw", parameters(), lr=1, weight_decay=0), torch.optim.AdamW)
