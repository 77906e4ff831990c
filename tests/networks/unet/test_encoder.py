"""The U-Net's encoder: BasicUNet's way down, a projector for each label, the transfer and its refusals."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import BasicUNet

from monai_cl.errors import UserError
from monai_cl.networks import MetaLabelNet, UNetEncoder, load_unet_encoder, slice_encoder
from monai_cl.networks.unet.encoder import ACTIVATION

FEATURES = (4, 4, 8, 8, 16, 4)


def net(names=("position", "patient"), **options) -> MetaLabelNet:
    backbone = UNetEncoder(**{"features": FEATURES, **options})
    return MetaLabelNet(slice_encoder(backbone, head=(), mean=0.0, std=1.0), names)


def unet(features=FEATURES, **options) -> BasicUNet:
    return BasicUNet(spatial_dims=2, out_channels=2, features=features, act=ACTIVATION, **{"norm": "batch", **options})


def test_the_encoder_is_the_way_down_of_monais_unet():
    whole, encoder = unet(upsample="nontrainable").eval(), UNetEncoder(features=FEATURES).eval()
    down = {name: t for name, t in whole.state_dict().items() if name.startswith(("conv_0.", "down_"))}
    assert encoder.state_dict().keys() == down.keys()
    encoder.load_state_dict(down)
    found = {}
    whole.down_4.register_forward_hook(lambda *args: found.update(bottleneck=args[2]))
    images = torch.rand(2, 1, 32, 48)
    with torch.no_grad():
        whole(images)
        assert torch.equal(encoder(images), found["bottleneck"])


def test_the_papers_size():
    encoder = UNetEncoder()
    assert encoder.representation_size == 256
    assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(1.18e6, rel=0.01)


def test_views_go_through_a_projector_for_each_label():
    network = net().eval()
    views = torch.rand(3, 2, 1, 32, 32)
    with torch.no_grad():
        found = network(views)
        alone = network(views[:, 0])
    assert {name: tuple(z.shape) for name, z in found.items()} == {
        "representation": (3, 2, 16),
        "embedding_position": (3, 2, 16),
        "embedding_patient": (3, 2, 16),
    }
    assert not torch.equal(found["embedding_position"], found["embedding_patient"])
    torch.testing.assert_close(found["embedding_position"][:, 0], alone["embedding_position"])


def test_any_field_of_a_list_names_a_meta_label_and_plain_names_stay_as_earlier_files_have_them():
    names = ("type", "half", "values", "training", "a.b", "a%2Eb", "label:type", "phase")
    network = net(names).eval()
    with torch.no_grad():
        found = network(torch.rand(1, 1, 32, 32))
    assert found.keys() == {"representation", *(f"embedding_{name}" for name in names)}
    again = net(names)
    again.load_state_dict(network.state_dict())
    assert len(network.head) == len(names)
    assert "head.phase.0.weight" in network.state_dict()
    assert "head.a%2Eb.0.weight" in network.state_dict()
    assert "head.label:a%2Eb.0.weight" in network.state_dict()


def test_the_encoder_goes_into_a_unet_and_the_way_up_stays(tmp_path):
    network, target = net(), unet()
    torch.save(network.state_dict(), tmp_path / "model.pt")
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    report = load_unet_encoder(target, tmp_path / "model.pt")
    # as Lightning names what it trains
    wrapped = {f"model.{name}": tensor for name, tensor in torch.load(tmp_path / "model.pt", weights_only=True).items()}
    torch.save({"state_dict": wrapped}, tmp_path / "wrapped.pt")
    assert load_unet_encoder(unet(), tmp_path / "wrapped.pt").matched == report.matched
    assert len(report.matched) == len(network.encoder.backbone.state_dict())
    for name, tensor in target.state_dict().items():
        source = network.state_dict().get(f"encoder.backbone.{name}", before[name])
        assert torch.equal(tensor, source), name


def test_another_network_is_refused_and_left_alone(tmp_path):
    torch.save(net().state_dict(), tmp_path / "model.pt")
    for other in (unet((8, 4, 8, 8, 16, 4)), unet(norm=("instance", {"affine": True}))):
        before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
        with pytest.raises(UserError, match="build the network with the same features and norm"):
            load_unet_encoder(other, tmp_path / "model.pt")
        assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())
    with pytest.raises(UserError, match="no such checkpoint file"):
        load_unet_encoder(unet(), tmp_path / "absent.pt")


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="names must hold at least one meta-label"):
        net(names=())
    with pytest.raises(ValueError, match="features must be the channels of five levels"):
        UNetEncoder(features=(4, 8))
