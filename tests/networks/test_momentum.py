"""The momentum encoder: its schedule, its average, its resumption."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from monai_cl.networks import (
    BYOLNet,
    MomentumEncoder,
    SliceEncoder,
    data_dependent_init,
    momentum_at,
    move_towards,
    predictor,
    slice_encoder,
)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


def encoder(seed: int = 0) -> SliceEncoder:
    return slice_encoder(network(seed), head=(3, 2))


def images(seed: int = 0) -> torch.Tensor:
    return torch.rand(6, 2, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


class TestSchedule:
    def test_rises_from_the_start_to_one_by_a_cosine(self):
        assert momentum_at(0, iterations=100) == pytest.approx(0.996, abs=1e-15)
        assert momentum_at(50, iterations=100) == pytest.approx(0.998, abs=1e-15)
        assert momentum_at(25, iterations=100) == pytest.approx(1 - 0.004 * (math.sqrt(0.5) + 1) / 2, abs=1e-15)
        assert momentum_at(100, iterations=100) == 1
        values = [momentum_at(k, iterations=30, start=0.9) for k in range(31)]
        assert values == sorted(values)

    def test_stays_at_one_after_the_end(self):
        assert momentum_at(1000, iterations=10) == 1

    def test_wrong_arguments_are_named(self):
        with pytest.raises(ValueError, match="iterations must be >= 1, got 0"):
            momentum_at(0, iterations=0)
        with pytest.raises(ValueError, match="iteration must be >= 0, got -1"):
            momentum_at(-1, iterations=5)
        with pytest.raises(ValueError, match=r"start must be in \[0, 1\], got 1.5"):
            momentum_at(0, iterations=5, start=1.5)


class TestAverage:
    def test_parameters_and_running_statistics_move_and_counters_are_copied(self):
        target, online = network(0), network(1)
        online(torch.rand(2, 1, 8, 8))
        before = {k: v.clone() for k, v in target.state_dict().items()}
        move_towards(target, online, momentum=0.75)
        for name, now in target.state_dict().items():
            goal = online.state_dict()[name]
            if name.endswith("num_batches_tracked"):
                assert now == goal == 1
            else:
                torch.testing.assert_close(now, 0.75 * before[name] + 0.25 * goal)

    def test_momentum_one_keeps_and_zero_copies_to_the_bit(self):
        target, online = network(0), network(1)
        before = {k: v.clone() for k, v in target.state_dict().items()}
        move_towards(target, online, momentum=1)
        assert all(torch.equal(v, before[k]) for k, v in target.state_dict().items())
        move_towards(target, online, momentum=0)
        assert all(torch.equal(v, online.state_dict()[k]) for k, v in target.state_dict().items())

    def test_closed_form_of_a_constant_online_network(self):
        target, online = nn.Linear(1, 1, bias=False).double(), nn.Linear(1, 1, bias=False).double()
        nn.init.constant_(target.weight, 1)
        nn.init.constant_(online.weight, 0)
        for _ in range(20):
            move_towards(target, online, momentum=0.9)
        assert target.weight.item() == pytest.approx(0.9**20, abs=1e-14)

    def test_the_online_network_does_not_change(self):
        target, online = network(0), network(1)
        before = {k: v.clone() for k, v in online.state_dict().items()}
        move_towards(target, online, momentum=0.5)
        assert all(torch.equal(v, before[k]) for k, v in online.state_dict().items())

    def test_networks_of_another_make_are_refused(self):
        with pytest.raises(ValueError, match=r"must have the same tensors, got \['bias'\] in one of them only"):
            move_towards(nn.Linear(2, 2), nn.Linear(2, 2, bias=False), momentum=0.5)
        with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\], got 2"):
            move_towards(nn.Linear(2, 2), nn.Linear(2, 2), momentum=2)


class TestMomentumEncoder:
    def test_starts_as_a_copy_without_gradient(self):
        online = network()
        follower = MomentumEncoder(online, iterations=10)
        assert not any(p.requires_grad for p in follower.parameters())
        assert all(p.requires_grad for p in online.parameters())
        x = torch.rand(4, 1, 8, 8)
        torch.testing.assert_close(follower(x), online(x).detach())
        assert not follower(x).requires_grad

    def test_follows_by_its_schedule(self):
        online, expected = network(0), network(0)
        follower = MomentumEncoder(online, iterations=4, start=0.5)
        for k in range(6):
            with torch.no_grad():
                online[0].weight += 1
            follower.update(online)
            move_towards(expected, online, momentum=momentum_at(k, iterations=4, start=0.5))
            torch.testing.assert_close(follower.target[0].weight, expected[0].weight)
        assert follower.momentum == 1

    def test_its_own_batches_do_not_enter_its_running_statistics(self):
        online = network()
        follower = MomentumEncoder(online, iterations=10).train()
        before = follower.target[1].running_mean.clone()
        out = follower(torch.rand(4, 1, 8, 8) + 3)
        assert torch.equal(follower.target[1].running_mean, before)
        # yet it is its own batch that normalises: the map before ReLU is centred
        assert out.mean() == pytest.approx(1 / math.sqrt(2 * math.pi), abs=0.1)

    def test_resumes_where_it_was(self):
        online = network(0)
        first = MomentumEncoder(network(1), iterations=10, start=0.5)
        for _ in range(3):
            first.update(online)
        second = MomentumEncoder(network(2), iterations=10, start=0.5)
        second.load_state_dict(first.state_dict())
        for follower in (first, second):
            follower.update(online)
        assert int(second.updates) == 4
        for a, b in zip(first.state_dict().values(), second.state_dict().values()):
            assert torch.equal(a, b)

    def test_wrong_options_are_named_when_it_is_made(self):
        with pytest.raises(ValueError, match="iterations must be >= 1, got 0"):
            MomentumEncoder(network(), iterations=0)


class TestBYOLNet:
    def test_gives_predictions_and_targets_in_training_only(self):
        net = BYOLNet(encoder(), iterations=10)
        out = net(images())
        shapes = {name: tuple(z.shape) for name, z in out.items()}
        expected = {"representation": (6, 2, 4), "embedding": (6, 2, 2), "prediction": (6, 2, 2), "target": (6, 2, 2)}
        assert shapes == expected
        assert not out["target"].requires_grad
        torch.testing.assert_close(out["target"], out["embedding"].detach())
        assert set(net.eval()(images())) == {"representation", "embedding"}
        torch.testing.assert_close(net.represent(images()), net.online.represent(images()))

    def test_every_trained_parameter_gets_a_gradient_and_the_target_none(self):
        net = BYOLNet(encoder(), iterations=10)
        net(images())["prediction"].square().sum().backward()
        for name, p in net.named_parameters():
            assert (p.grad is None) == name.startswith("momentum."), name

    def test_the_target_follows_after_a_step(self):
        net = BYOLNet(encoder(), iterations=10, momentum=0.9)
        start = net.online.head[2].weight.detach().clone()
        with torch.no_grad():
            net.online.head[2].weight += 1
        net.after_step()
        torch.testing.assert_close(net.momentum.target.head[2].weight, start + 0.1)

    def test_the_target_starts_as_the_standardised_online_network(self):
        torch.manual_seed(0)
        net = BYOLNet(slice_encoder(nn.Conv2d(1, 4, 3), head=(3, 2), head_norm=True), iterations=10)
        before = net.encoder.backbone.weight.clone()
        data_dependent_init(net, images()[:, 0])
        online, target = net.online.state_dict(), net.momentum.target.state_dict()
        assert online.keys() == target.keys()
        assert all(torch.equal(online[name], target[name]) for name in online)
        assert not torch.equal(target["encoder.backbone.weight"], before)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_autocast_leaves_predictions_in_float32(self, dtype):
        with torch.autocast("cpu", dtype=dtype):
            out = BYOLNet(encoder(), iterations=10)(images())
        assert out["prediction"].dtype == out["target"].dtype == torch.float32

    def test_wrong_options_are_named(self):
        with pytest.raises(ValueError, match="online must have a head that ends in a linear layer"):
            BYOLNet(SliceEncoder(network()), iterations=10)
        with pytest.raises(ValueError, match="features and hidden must be >= 1, got 4 and 0"):
            predictor(4, hidden=0)
