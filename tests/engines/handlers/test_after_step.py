"""What a network does to itself behind a step: once an iteration, after the optimiser; a momentum target follows."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from torch import nn

from monai_cl.engines import AfterStep
from monai_cl.losses import byol_loss
from monai_cl.networks import BYOLNet, momentum_at, slice_encoder


def test_the_target_follows_the_stepped_network():
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    net = BYOLNet(slice_encoder(backbone, head=(4, 3)), iterations=10, momentum=0.9)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    expected, seen = net.momentum.target.head[0].weight.clone(), []

    def step(engine: Engine, images: torch.Tensor) -> None:
        optimizer.zero_grad()
        out = net(images)
        byol_loss(out["prediction"], out["target"]).backward()
        optimizer.step()
        m = momentum_at(engine.state.iteration - 1, iterations=10, start=0.9)
        expected.mul_(m).add_((1 - m) * net.online.head[0].weight.detach())
        seen.append(net.momentum.momentum)

    engine = Engine(step)
    AfterStep(network=net).attach(engine)
    engine.run([torch.rand(4, 2, 1, 8, 8) for _ in range(3)])
    assert int(net.momentum.updates) == 3
    assert seen == pytest.approx([momentum_at(k, iterations=10, start=0.9) for k in range(3)])
    torch.testing.assert_close(net.momentum.target.head[0].weight, expected)
    assert (expected - net.online.head[0].weight).abs().max() > 1e-6


class Queued(nn.Module):
    """A loss that keeps something between steps."""

    pushed = 0

    def after_step(self) -> None:
        self.pushed += 1


class Freezing(nn.Linear):
    """A network that changes its gradient before the step."""

    def before_step(self) -> None:
        self.weight.grad = None


def test_the_network_is_asked_before_the_step_and_the_loss_behind_it_unless_the_step_is_left_out():
    network, loss = Freezing(1, 1), Queued()
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0, weight_decay=1.0)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}

    def step(engine: Engine, batch: int) -> None:
        engine.state.step_skipped = batch == 1
        network(torch.ones(1, 1)).sum().backward()
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        if not engine.state.step_skipped:
            optimizer.step()

    engine = Engine(step)
    engine.register_events(*IterationEvents)
    engine.loss_function = loss
    AfterStep(network=network).attach(engine)
    engine.run([0, 1, 2])
    assert torch.equal(network.weight, before["weight"])
    assert not torch.equal(network.bias, before["bias"])
    assert loss.pushed == 2


def test_a_network_without_anything_to_do_is_left_alone():
    engine = Engine(lambda engine, batch: None)
    AfterStep(network=nn.Linear(1, 1)).attach(engine)
    engine.run([0, 1])
    assert engine.state.iteration == 2


def test_a_loss_is_called_where_the_network_has_nothing_to_do_and_the_trainer_gets_it_after_its_handlers():
    engine = Engine(lambda engine, batch: None)
    AfterStep(network=nn.Linear(1, 1)).attach(engine)
    engine.loss_function = loss = Queued()
    engine.run([0, 1])
    assert loss.pushed == 2
