"""Data-dependent initialisation: channels start standardised, the function is only scaled, embeddings start apart."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_cl.engines.handlers.collapse import mean_cosine
from monai_cl.networks import data_dependent_init, slice_encoder, standardise_convolutions


def slices(n: int = 8) -> torch.Tensor:
    """Slices alike but for a little, as CT slices are."""
    rng = torch.Generator().manual_seed(0)
    return torch.rand(1, 1, 156, 156, generator=rng) + 0.1 * torch.rand(n, 1, 156, 156, generator=rng)


def test_every_channel_of_every_convolution_has_mean_0_and_deviation_1():
    torch.manual_seed(0)
    encoder, images = slice_encoder("tinynet", width=0.25), slices()
    standardise_convolutions(encoder, images)
    seen = []
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, __, output: seen.append(output))
    encoder(images)
    assert len(seen) == 5
    for output in seen:
        torch.testing.assert_close(output.mean((0, 2, 3)), torch.zeros(output.shape[1]), atol=1e-3, rtol=0)
        torch.testing.assert_close(output.std((0, 2, 3)), torch.ones(output.shape[1]), atol=2e-2, rtol=0)


def test_a_layer_is_only_scaled_and_shifted():
    torch.manual_seed(1)
    layer, images = nn.Conv2d(1, 4, 3), slices(4)
    before = layer(images)
    standardise_convolutions(layer, images)
    after = layer(images)
    for channel in range(4):
        pair = torch.stack([before[:, channel].flatten(), after[:, channel].flatten()])
        assert torch.corrcoef(pair)[0, 1].item() == pytest.approx(1, abs=1e-5)


def test_embeddings_start_further_apart():
    torch.manual_seed(0)
    encoder, images = slice_encoder("tinynet", width=0.25), slices()
    start = mean_cosine(encoder(images)["representation"])
    again = mean_cosine(standardise_convolutions(encoder, images)(images)["representation"])
    assert start > 0.99
    assert 1 - again > 3 * (1 - start)


def test_a_channel_without_contrast_stays_finite():
    layer = nn.Conv2d(1, 2, 3)
    nn.init.zeros_(layer.weight)
    standardise_convolutions(layer, slices(2))
    assert torch.isfinite(layer.weight).all()
    assert torch.isfinite(layer.bias).all()


def test_networks_it_does_not_fit_are_refused():
    with pytest.raises(ValueError, match="must have a bias in every convolution"):
        standardise_convolutions(slice_encoder("resnet18"), slices(2))
    with pytest.raises(ValueError, match="must have a 2D convolution, found none"):
        standardise_convolutions(nn.Linear(3, 2), slices(2))


def test_a_network_is_reported_when_its_first_weights_have_changed():
    class Follower(nn.Sequential):
        seen = None

        def after_initialisation(self) -> None:
            self.seen = self[0].weight.clone()

    torch.manual_seed(0)
    network = Follower(nn.Conv2d(1, 4, 3))
    before = network[0].weight.clone()
    data_dependent_init(network, slices(4))
    assert torch.equal(network.seen, network[0].weight)
    assert not torch.equal(network.seen, before)
