"""What goes out under other libraries' names gives there what it gives here."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DynUNet, SegResNet

from monai_cl.errors import UserError
from monai_cl.networks import MixCLNet, SliceUNet, load_encoder, segmentation_network, slice_encoder
from monai_cl.networks.foreign.names import bare_name
from monai_cl.networks.foreign.outgoing import any_weights, monai_weights, nnunet_weights, timm_weights
from monai_cl.networks.foreign.plain_conv_unet import dynunet_encoder, nnunet_architecture, plain_conv_weights
from tests.networks.test_resnet import standard_forward, standard_names

ALL = ("encoder", "decoder", "output")
SIZE = {"img_size": (32, 32, 32), "in_channels": 1}


def filled(network: torch.nn.Module) -> torch.nn.Module:
    """With values of every kind, also where a fresh network has zeros and ones."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5 if "var" in name else tensor)
            if tensor.ndim == 1 and "var" not in name:
                tensor.add_(torch.randn(tensor.shape, generator=generator) * 0.2)
    return network.eval()


def dynunet(out_channels: int = 3) -> torch.nn.Module:
    torch.manual_seed(0)
    return filled(segmentation_network(backbone="dynunet", feature_size=4, out_channels=out_channels, **SIZE))


def plain_conv_unet(architecture: dict, *, in_channels: int = 1, classes: int = 3) -> torch.nn.Module:
    """Built as nnU-Net v2 builds it from its plans."""
    nets = pytest.importorskip("dynamic_network_architectures.architectures.unet", reason="not installed")
    kwargs = {**architecture["arch_kwargs"]}
    own = {"conv_op": torch.nn.Conv3d, "norm_op": torch.nn.InstanceNorm3d, "nonlin": torch.nn.LeakyReLU}
    assert {key: kwargs[key].rsplit(".", 1)[1] for key in own} == {key: kind.__name__ for key, kind in own.items()}
    torch.manual_seed(1)
    return nets.PlainConvUNet(in_channels, num_classes=classes, **{**kwargs, **own}).eval()


def reversed_axes(images: torch.Tensor) -> torch.Tensor:
    return images.permute(0, 1, 4, 3, 2)


@torch.no_grad()
def test_nnunets_network_loads_a_dynunet_strictly_and_gives_its_output():
    network = dynunet()
    made = nnunet_weights(network.state_dict(), parts=ALL)
    theirs = plain_conv_unet(made.arguments)
    theirs.load_state_dict(made.tensors, strict=True)
    images = torch.randn(2, 1, 32, 48, 16)
    torch.testing.assert_close(theirs(reversed_axes(images)), reversed_axes(network(images)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_flat_kernels_and_uneven_strides_are_reversed_as_well():
    torch.manual_seed(0)
    strides = [[1, 1, 1], [2, 2, 1], [2, 2, 2], [2, 2, 2], [1, 2, 2]]
    network = filled(DynUNet(3, 2, 3, [[3, 3, 1]] * 5, strides, strides[1:], filters=[4, 6, 8, 8, 8]))
    made = nnunet_weights(network.state_dict(), parts=ALL)
    assert made.arguments["arch_kwargs"]["strides"] == [stride[::-1] for stride in strides]
    assert made.arguments["arch_kwargs"]["kernel_sizes"] == [[1, 3, 3]] * 5
    theirs = plain_conv_unet(made.arguments, in_channels=2)
    theirs.load_state_dict(made.tensors, strict=True)
    images = torch.randn(2, 2, 16, 32, 16)
    torch.testing.assert_close(theirs(reversed_axes(images)), reversed_axes(network(images)), rtol=1e-4, atol=1e-5)


def test_several_kernel_sizes_are_refused_for_the_decoders_differ():
    kernels, strides = [[3, 3, 1], *[[3, 3, 3]] * 4], [1, 2, 2, 2, 2]
    network = DynUNet(3, 1, 2, kernels, strides, strides[1:], filters=[4] * 5)
    with pytest.raises(UserError, match=r"one kernel size, found \[\(3, 3, 1\), \(3, 3, 3\)\]"):
        nnunet_weights(network.state_dict(), parts=ALL)


@torch.no_grad()
def test_a_pre_training_gives_nnunet_all_that_its_start_from_weights_asks_for():
    network = filled(MixCLNet(backbone="dynunet", img_size=32, feature_size=4))
    weights = {bare_name(name): tensor for name, tensor in network.state_dict().items()}
    made = nnunet_weights(weights, parts=("encoder", "decoder"))
    theirs = plain_conv_unet(made.arguments)
    # nnunetv2.run.load_pretrained_weights: every name but these, of one shape
    needed = {name: tensor for name, tensor in theirs.state_dict().items() if ".seg_layers." not in name}
    assert {name: tensor.shape for name, tensor in made.tensors.items()} == {n: t.shape for n, t in needed.items()}
    theirs.load_state_dict(made.tensors, strict=False)
    images = torch.randn(1, 1, 32, 32, 32)
    for ours, own in zip(network.encode(images), theirs.encoder(reversed_axes(images))):
        torch.testing.assert_close(reversed_axes(own), ours, rtol=1e-4, atol=1e-5)


def test_an_encoder_alone_is_an_encoder_alone():
    made = nnunet_weights(dynunet().state_dict(), parts=("encoder",))
    assert made.parts == ("encoder",)
    assert {name.split(".")[0] for name in made.tensors} == {"encoder"}


@torch.no_grad()
@pytest.mark.parametrize("wrapper", [None, "network_weights"])
def test_an_encoder_of_nnunet_starts_a_dynunet_and_gives_nnunets_features(wrapper, tmp_path):
    theirs = filled(plain_conv_unet(nnunet_architecture(dynunet().state_dict())))
    weights = theirs.state_dict()
    torch.save({wrapper: weights, "current_epoch": 7} if wrapper else weights, tmp_path / "checkpoint_final.pth")
    network = MixCLNet(backbone="dynunet", img_size=32, feature_size=4).eval()
    decoder = network.within.upsamples[0].transp_conv.conv.weight.clone()
    report = load_encoder(network, tmp_path / "checkpoint_final.pth")
    assert report.complete
    assert report.parts == {"input_block": 6, "downsamples": 18, "bottleneck": 6}
    images = torch.randn(1, 1, 32, 32, 32)
    for ours, own in zip(network.encode(images), theirs.encoder(reversed_axes(images))):
        torch.testing.assert_close(reversed_axes(own), ours, rtol=1e-4, atol=1e-4)
    assert torch.equal(network.within.upsamples[0].transp_conv.conv.weight, decoder)


def test_what_went_out_comes_back_tensor_for_tensor():
    network = dynunet()
    back = dynunet_encoder(nnunet_weights(network.state_dict(), parts=ALL).tensors, network.state_dict())
    expected = monai_weights(network.state_dict(), parts=("encoder",)).tensors
    assert back.keys() == expected.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in expected.items())


def test_an_encoder_of_other_stages_is_refused_with_both_numbers():
    network = dynunet()
    weights = nnunet_weights(network.state_dict(), parts=ALL).tensors
    shorter = {name: tensor for name, tensor in weights.items() if "encoder.stages.4." not in name}
    with pytest.raises(UserError, match=r"expected a PlainConvUNet of 5 stages, .* found 4 stages; plan its training"):
        dynunet_encoder(shorter, network.state_dict())


def test_an_encoder_of_nnunet_with_other_sizes_is_refused_with_the_difference(tmp_path):
    weights = nnunet_weights(dynunet().state_dict(), parts=ALL).tensors
    torch.save({"network_weights": weights}, tmp_path / "wide.pth")
    network = MixCLNet(backbone="dynunet", img_size=32, feature_size=8)
    with pytest.raises(UserError, match=r"nothing can be transferred|of another shape: "):
        load_encoder(network, tmp_path / "wide.pth")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            {"n_conv_per_stage": [2, 2, 3, 2, 2]},
            r"two convolutions in each stage, found encoder\.stages\.2\.0\.convs\.2\.",
        ),
        (
            {"strides": [[1, 1, 1], [1, 2, 2], *[[2, 2, 2]] * 3]},
            r"expected strides \[2, 2, 2\] \(x, y, z\) at stage 1, found \[2, 2, 1\]",
        ),
    ],
)
def test_what_shapes_of_an_encoder_do_not_tell_is_refused(change, found, tmp_path):
    network = dynunet()
    architecture = nnunet_architecture(network.state_dict())
    architecture["arch_kwargs"] |= change
    torch.save({"network_weights": plain_conv_unet(architecture).state_dict()}, tmp_path / "nnunet.pth")
    with pytest.raises(UserError, match=found):
        load_encoder(network, tmp_path / "nnunet.pth")


def test_residual_blocks_are_refused_by_name():
    network = DynUNet(3, 1, 2, [3] * 5, [1, 2, 2, 2, 2], [2] * 4, filters=[4] * 5, res_block=True)
    with pytest.raises(UserError, match=r"a DynUNet of plain blocks, found input_block\.\w+"):
        nnunet_weights(network.state_dict(), parts=ALL)


@pytest.mark.parametrize(("backbone", "size"), [("unetr", 4), ("segresnet", 8), ("dynunet", 4), ("swin_unetr", 12)])
def test_monais_own_network_loads_all_of_a_segmentation(backbone, size):
    more = {"hidden_size": 24, "mlp_dim": 36, "num_heads": 2} if backbone == "unetr" else {}
    options = {"backbone": backbone, "feature_size": size, "out_channels": 3, **SIZE, "img_size": (64, 64, 64), **more}
    network = segmentation_network(**options)
    made = monai_weights(network.state_dict(), parts=ALL)
    assert made.network == type(network).__name__
    assert made.whole
    other = segmentation_network(**options)
    other.load_state_dict(made.tensors, strict=True)
    for name, tensor in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_a_slice_unet_is_monais_basic_unet():
    network = SliceUNet(3, features=[4, 4, 4, 4, 6, 4])
    made = monai_weights({f"unet.{name}": tensor for name, tensor in network.state_dict().items()}, parts=ALL)
    assert (made.network, made.whole) == ("BasicUNet", True)
    network.load_state_dict(made.tensors, strict=True)


@torch.no_grad()
def test_a_slice_encoder_has_the_names_and_features_of_the_standard_resnet():
    torch.manual_seed(0)
    encoder = filled(slice_encoder("resnet18", in_channels=3, head=(), mean=0.25, std=0.5))
    made = timm_weights({f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()})
    expected = {name: shape for name, shape in standard_names().items() if not name.startswith("fc.")}
    assert {name: tuple(tensor.shape) for name, tensor in made.tensors.items()} == expected
    assert dict(made.arguments) == {"in_chans": 3, "num_classes": 0, "mean": 0.25, "std": 0.5}
    images = torch.rand(2, 3, 64, 64)
    found = standard_forward(made.tensors, (images - 0.25) / 0.5)
    torch.testing.assert_close(found.flatten(1), encoder.represent(images), rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "channels"),
    [("resnet18", 1), ("resnet18", 5), pytest.param("resnet50", 1, marks=pytest.mark.slow)],
)
def test_timm_loads_it_strictly_and_gives_its_features(name, channels, timm):
    encoder = filled(slice_encoder(name, in_channels=channels, head=(), mean=0.25, std=0.5))
    made = timm_weights(encoder.state_dict())
    network = timm.create_model(made.network, in_chans=made.arguments["in_chans"], num_classes=0).eval()
    network.load_state_dict(made.tensors, strict=True)
    images = torch.rand(2, channels, 64, 64)
    torch.testing.assert_close(network((images - 0.25) / 0.5), encoder.represent(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("mapping", "network", "found"),
    [
        (timm_weights, lambda: slice_encoder("tinynet", width=0.125, head=()), "a TinyNet, a network of this project"),
        (timm_weights, dynunet, "DynUNet of MONAI"),
        (nnunet_weights, lambda: SegResNet(3, 8), "a SegResNet, which nnU-Net v2 does not have"),
        (nnunet_weights, lambda: slice_encoder("resnet18", head=()), "ResNet with torchvision's names"),
        (monai_weights, lambda: slice_encoder("tinynet", width=0.125, head=()), "a TinyNet"),
    ],
)
def test_another_network_is_refused_with_what_it_is(mapping, network, found):
    options = {} if mapping is timm_weights else {"parts": ALL}
    with pytest.raises(UserError) as error:
        mapping(network().state_dict(), source="model.pt", **options)
    assert found in f"{error.value}"
    assert "--format safetensors" in f"{error.value}" or "to safetensors" in f"{error.value}"


def test_safetensors_takes_any_network_under_the_names_that_fit():
    tiny = slice_encoder("tinynet", width=0.125, head=()).state_dict()
    assert any_weights(tiny, parts=ALL).tensors.keys() == tiny.keys()
    assert any_weights(slice_encoder("resnet18", head=()).state_dict(), parts=ALL).network == "resnet18"
    assert any_weights(dynunet().state_dict(), parts=ALL).network == "DynUNet"


def test_the_architecture_is_the_same_with_and_without_decoder():
    weights = dynunet().state_dict()
    encoder = monai_weights(weights, parts=("encoder",)).tensors
    assert nnunet_architecture(encoder) == nnunet_architecture(weights)
    assert len(plain_conv_weights(encoder)) == 5 * 2 * 8
