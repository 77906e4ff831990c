"""Networks as they are deployed: one tensor in and out, a training's weights as they are, TorchScript."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNETR
from torch import nn

from monai_cl.engines import slice_classifier, slice_probability
from monai_cl.networks import MixCLNet, reconstruction_network, slice_representation

SIZES = {"img_size": (32, 32, 32), "feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}
SMALL = {"backbone": "tinynet", "width": 0.125}


@pytest.fixture
def slices() -> torch.Tensor:
    return torch.rand(2, 1, 160, 160, generator=torch.Generator().manual_seed(0))


def test_features_of_another_width_are_refused():
    with pytest.raises(RuntimeError, match="size mismatch"):
        slice_representation(**SMALL).load_state_dict(slice_representation(width=0.25).state_dict())
    with pytest.raises(RuntimeError, match="Missing key"):
        slice_representation(**SMALL).load_state_dict({"head.weight": torch.zeros(1)})


def test_a_probability_is_that_of_the_classifiers_logit(slices):
    trained, deployed = slice_classifier(**SMALL).eval(), slice_probability(**SMALL).eval()
    deployed.load_state_dict(trained.state_dict())
    with torch.no_grad():
        logit = trained(slices)["embedding"]
        found = deployed(slices)
        assert torch.equal(deployed.outputs(slices)["embedding"], logit)
    assert (found.shape, found.dtype) == ((2, 1), torch.float32)
    assert torch.allclose(found.double(), torch.sigmoid(logit), atol=1e-7)


@pytest.mark.parametrize(
    "options", [{}, {"classes": [2, 3]}, {"reconstruct": False}, {"levels": (1,), "label_level": None}]
)
def test_a_reconstruction_is_that_of_the_unetr_within_the_pre_trained_network(options):
    trained, deployed = MixCLNet(**SIZES, **options).eval(), reconstruction_network(**SIZES).eval()
    deployed.load_state_dict(trained.state_dict())
    patch = torch.rand(1, 1, 32, 32, 32)
    with torch.no_grad():
        assert torch.equal(deployed(patch), trained.unetr(patch))


def test_a_plain_unetrs_weights_are_taken_as_well():
    plain, deployed = UNETR(1, 1, **SIZES), reconstruction_network(**SIZES)
    deployed.load_state_dict(plain.state_dict())
    assert all(torch.equal(tensor, plain.state_dict()[name]) for name, tensor in deployed.state_dict().items())
    with pytest.raises(RuntimeError, match="Missing key"):
        deployed.load_state_dict({"unetr.out.conv.conv.bias": torch.zeros(1)})


class Maps(nn.Sequential):
    """A backbone that gives a map."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 6, 3, stride=2), nn.ReLU())


@pytest.mark.parametrize("made", [slice_representation, slice_probability])
@pytest.mark.parametrize("backbone", ["tinynet", "resnet18", "maps"])
def test_torchscript_computes_the_same(made, backbone, slices):
    network = made(Maps() if backbone == "maps" else backbone).eval()
    with torch.no_grad():
        assert torch.equal(torch.jit.script(network)(slices), network(slices))
