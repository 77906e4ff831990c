"""What a network does to itself behind a step: once an iteration, after the optimiser; a momentum target follows."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
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


def test_a_network_without_anything_to_do_is_left_alone():
    engine = Engine(lambda engine, batch: None)
    AfterStep(network=nn.Linear(1, 1)).attach(engine)
    engine.run([0, 1])
    assert engine.state.iteration == 2
