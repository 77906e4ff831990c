from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from monai_cl.engines import extract_features
from monai_cl.errors import UserError


class Slices(Dataset):
    def __init__(self, n: int = 10) -> None:
        self.images = torch.randn(n, 1, 6, 6, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict:
        return {
            "image": self.images[index],
            "depth": torch.tensor(index / 10, dtype=torch.float32),
            "label": -1 if index < 5 else 1,
            "patient": f"p{index // 5}",
            "id": f"scan{index // 5}",
            "slice": 40 + index,
        }


def encoder() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_features_come_with_patient_label_depth_and_slice_in_order():
    network, slices = encoder(), Slices()
    found = extract_features(network, slices, batch_size=4, about={"method": "random"})
    with torch.no_grad():
        expected = network.eval()(slices.images)
    np.testing.assert_allclose(found.features, expected, atol=1e-6)
    assert found.patient.tolist() == ["p0"] * 5 + ["p1"] * 5
    assert found.label.tolist() == [-1] * 5 + [1] * 5
    np.testing.assert_allclose(found.depth, np.arange(10) / 10, atol=1e-6)
    assert found.slice[[0, 9]].tolist() == ["scan0:40", "scan1:49"]
    assert found.about == {"method": "random"}


def test_batches_of_a_loader_give_the_same_whatever_their_size():
    network = encoder()
    one, other = (extract_features(network, DataLoader(Slices(), batch_size=size)) for size in (1, 7))
    np.testing.assert_allclose(one.features, other.features, atol=1e-6)
    assert one.slice.tolist() == other.slice.tolist()


def test_the_encoder_keeps_its_modes_and_statistics():
    network = encoder()
    network[2].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    extract_features(network, Slices())
    assert [module.training for module in network] == [True, True, False, True, True]
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_what_an_encoder_represents_is_taken_before_what_it_embeds():
    class Encoder(nn.Module):
        def represent(self, images):
            return images.mean((2, 3)).half()

        def forward(self, images):
            raise AssertionError("the embedding was asked for")

    found = extract_features(Encoder(), Slices())
    assert found.features.shape == (10, 1)
    assert found.features.dtype == np.float32


def test_slices_without_names_are_numbered():
    batches = [
        {"image": torch.ones(2, 1, 6, 6), "patient": ["a", "a"]},
        {"image": torch.ones(1, 1, 6, 6), "patient": ["a"]},
    ]
    found = extract_features(encoder(), batches)
    assert len(set(found.slice.tolist())) == 3
    assert found.label.tolist() == [-1] * 3
    assert np.isnan(found.depth).all()


def test_what_does_not_fit_is_reported():
    with pytest.raises(ValueError, match=r"an encoder must give \(10, F\) for 10 slices, got \(10, 1, 6, 6\)"):
        extract_features(nn.Identity(), Slices())
    with pytest.raises(UserError, match="expected at least one slice, found none"):
        extract_features(encoder(), [])
    network = encoder()
    nn.init.constant_(network[0].bias, float("nan"))
    with pytest.raises(UserError, match="patient p0, slice scan0:40: expected finite features"):
        extract_features(network, Slices())
