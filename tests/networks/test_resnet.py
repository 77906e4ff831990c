"""ResNet-18 is the standard one, and takes ImageNet's weights from a file in torchvision's format only."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from monai.networks.nets import resnet34, resnet50

from monai_cl.errors import UserError
from monai_cl.networks import grey_convolution, load_imagenet, slice_encoder, slice_resnet


def standard_names() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's resnet18, from the paper's table."""

    def norm(name: str, c: int) -> dict[str, tuple[int, ...]]:
        names = {f"{name}.{k}": (c,) for k in ("weight", "bias", "running_mean", "running_var")}
        return {**names, f"{name}.num_batches_tracked": ()}

    names = {"conv1.weight": (64, 3, 7, 7), **norm("bn1", 64)}
    before = 64
    for layer, c in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            prefix = f"layer{layer}.{block}"
            names[f"{prefix}.conv1.weight"] = (c, before, 3, 3)
            names[f"{prefix}.conv2.weight"] = (c, c, 3, 3)
            names |= norm(f"{prefix}.bn1", c) | norm(f"{prefix}.bn2", c)
            if before != c:
                names[f"{prefix}.downsample.0.weight"] = (c, before, 1, 1)
                names |= norm(f"{prefix}.downsample.1", c)
            before = c
    return {**names, "fc.weight": (1000, 512), "fc.bias": (1000,)}


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name, shape in standard_names().items():
        if name.endswith("num_batches_tracked"):
            made[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            made[name] = torch.rand(shape, generator=generator) + 0.5
        else:
            made[name] = torch.randn(shape, generator=generator) * (0.05 if len(shape) > 1 else 1)
    return made


def standard_forward(w: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """ResNet-18 in evaluation, layer by layer (He et al., Table 1)."""

    def norm(x, name):
        return F.batch_norm(
            x, w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-5
        )

    x = F.max_pool2d(F.relu(norm(F.conv2d(x, w["conv1.weight"], stride=2, padding=3), "bn1")), 3, stride=2, padding=1)
    for layer in range(1, 5):
        for block in range(2):
            prefix, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            y = F.relu(norm(F.conv2d(x, w[f"{prefix}.conv1.weight"], stride=stride, padding=1), f"{prefix}.bn1"))
            y = norm(F.conv2d(y, w[f"{prefix}.conv2.weight"], padding=1), f"{prefix}.bn2")
            if f"{prefix}.downsample.0.weight" in w:
                x = norm(F.conv2d(x, w[f"{prefix}.downsample.0.weight"], stride=stride), f"{prefix}.downsample.1")
            x = F.relu(x + y)
    return x.mean(dim=(2, 3))


@pytest.fixture
def file(tmp_path):
    torch.save(weights(), tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth"


@pytest.mark.parametrize(
    ("name", "width", "features"), [("resnet18", 0.5, 256), ("resnet18", 0.3, 153), ("resnet50", 0.25, 512)]
)
def test_a_narrow_one_has_narrow_layers_throughout(name, width, features):
    full, narrow = (slice_resnet(name, width=factor) for factor in (1.0, width))
    assert narrow.representation_size == features
    assert narrow.eval()(torch.zeros(2, 1, 64, 64)).shape == (2, features)
    convolutions = [
        (a.weight.shape[0], b.weight.shape[0])
        for a, b in zip(full.modules(), narrow.modules())
        if isinstance(a, torch.nn.Conv2d)
    ]
    assert convolutions
    assert all(own == int(whole * width) for whole, own in convolutions if whole <= 512)


def test_names_shapes_and_size_are_the_standard_networks():
    own = {name: tuple(tensor.shape) for name, tensor in slice_resnet("resnet18", in_channels=3).state_dict().items()}
    assert own == {name: shape for name, shape in standard_names().items() if not name.startswith("fc.")}
    assert sum(p.numel() for p in slice_resnet("resnet18", in_channels=3).parameters()) == 11_176_512


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_a_grey_slice_has_the_response_it_has_in_the_original(file, channels):
    # in double precision: how a processor rounds twenty layers of float32 is not what is compared
    net = slice_resnet("resnet18", in_channels=channels, weights=file).eval().double()
    grey = torch.randn(2, 1, 70, 64, generator=torch.Generator().manual_seed(1)).double()
    expected = standard_forward({name: w.double() for name, w in weights().items()}, grey.expand(-1, 3, -1, -1))
    assert expected.shape == (2, 512)
    assert expected.std() > 0.1
    torch.testing.assert_close(net(grey.expand(-1, channels, -1, -1)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "representation", "parameters"),
    [
        ("resnet18", 512, 11_170_240),
        ("resnet50", 2048, 23_501_760),
        ("resnet50w2", 4096, 93_894_528),
        ("resnet50w4", 8192, 375_353_088),
        ("resnet152", 2048, 58_137_536),
    ],
)
def test_each_has_its_size_and_representation(name, representation, parameters):
    with torch.device("meta"):  # nothing is allocated
        network = slice_resnet(name)
        assert network(torch.empty(1, 1, 64, 64)).shape == (1, representation)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network.representation_size == representation


def test_head_and_prototypes_of_a_clustering_in_the_file_are_left_out(tmp_path):
    more = {"projection_head.0.weight": torch.zeros(3, 512), "prototypes.weight": torch.zeros(5, 3)}
    torch.save({f"module.{k}": v for k, v in (weights() | more).items() if not k.startswith("fc.")}, tmp_path / "s.pth")
    net = slice_resnet("resnet18")
    assert set(load_imagenet(net, tmp_path / "s.pth").matched) == set(net.state_dict())


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"name must be one of resnet18, .*resnet152, got 'resnet81'"):
        slice_resnet("resnet81")


def test_grey_convolution_shares_the_sum_of_the_colours():
    colours = torch.tensor([1.0, 2.0, 6.0]).reshape(1, 3, 1, 1)
    assert grey_convolution(colours, channels=1).flatten().tolist() == [9]
    assert grey_convolution(colours, channels=3).flatten().tolist() == [3, 3, 3]


def test_the_report_names_everything_that_was_loaded(file):
    net = slice_resnet("resnet18")
    report = load_imagenet(net, file)
    assert set(report.matched) == set(net.state_dict())
    assert report.missing == report.other_shape == report.unknown == ()
    assert torch.equal(net.layer4[1].bn2.running_var, weights()["layer4.1.bn2.running_var"])


def test_old_files_without_counters_and_wrapped_ones_serve_as_well(tmp_path):
    old = {f"module.{k}": v for k, v in weights().items() if not k.endswith("num_batches_tracked")}
    torch.save({"state_dict": old, "epoch": 3}, tmp_path / "old.pth")
    assert "conv1.weight" in load_imagenet(slice_resnet("resnet18"), tmp_path / "old.pth").matched


@torch.no_grad()
@pytest.mark.parametrize(
    ("library", "given", "own"), [("timm", 1, 1), ("timm", 1, 5), ("timm", 3, 1), ("torchvision", 3, 1)]
)
def test_a_file_of_timm_or_torchvision_gives_their_features(library, given, own, request, tmp_path):
    theirs = request.getfixturevalue(library)
    torch.manual_seed(0)
    network = (
        theirs.create_model("resnet18", in_chans=given, num_classes=0)
        if library == "timm"
        else theirs.models.resnet18(weights=None)
    )
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            tensor.copy_(torch.rand(tensor.shape) + 0.5)
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    if library == "torchvision":
        network.fc = torch.nn.Identity()
    net = slice_resnet("resnet18", in_channels=own, weights=tmp_path / "resnet18.pth").eval()
    assert torch.equal(net.layer3[1].conv2.weight, network.layer3[1].conv2.weight)
    grey = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1)).double()
    expected = network.eval().double()(grey.expand(-1, given, -1, -1))
    torch.testing.assert_close(net.double()(grey.expand(-1, own, -1, -1)), expected, rtol=1e-5, atol=1e-5)


def test_names_behind_a_prefix_serve_as_well(tmp_path):
    given = {**{f"backbone.{name}": tensor for name, tensor in weights().items()}, "head.weight": torch.zeros(2, 2)}
    torch.save({"state_dict": given}, tmp_path / "lightning.ckpt")
    net = slice_resnet("resnet18", weights=tmp_path / "lightning.ckpt")
    assert torch.equal(net.layer4[1].bn2.running_var, weights()["layer4.1.bn2.running_var"])


def test_another_resnet_is_named_with_the_option_that_takes_it(tmp_path):
    torch.save(slice_resnet("resnet50", in_channels=3).state_dict(), tmp_path / "resnet50.pth")
    with pytest.raises(UserError, match=r"expected ImageNet's ResNet-18 .*: it is a ResNet-50, backbone resnet50$"):
        load_imagenet(slice_resnet("resnet18"), tmp_path / "resnet50.pth")
    deep = {name.replace("conv1.weight", "conv1.0.weight"): tensor for name, tensor in weights().items()}
    torch.save(deep, tmp_path / "resnet18d.pth")  # timm's, whose first layer has several convolutions
    with pytest.raises(UserError, match=r"missing: conv1\.weight, .*: it is another network$"):
        load_imagenet(slice_resnet("resnet18"), tmp_path / "resnet18d.pth")


@pytest.mark.parametrize(("make", "found"), [(resnet34, "unknown"), (resnet50, "another shape")])
def test_another_resnet_is_refused_and_changes_nothing(tmp_path, make, found):
    other = make(spatial_dims=2, n_input_channels=3, conv1_t_stride=2, bias_downsample=False, num_classes=10)
    torch.save(other.state_dict(), tmp_path / "other.pth")
    net = slice_resnet("resnet18")
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(UserError, match=rf"other\.pth: .*{found}.*expected ImageNet's ResNet-18"):
        load_imagenet(net, tmp_path / "other.pth")
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_a_truncated_set_of_weights_is_refused(tmp_path):
    torch.save({k: v for k, v in weights().items() if not k.startswith("layer4")}, tmp_path / "part.pth")
    with pytest.raises(UserError, match=r"part\.pth: .*missing: layer4\.0\.bn1\.bias"):
        load_imagenet(slice_resnet("resnet18"), tmp_path / "part.pth")


def test_no_file_no_checkpoint_and_pickled_code_are_refused_by_name(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (print, ("boom",))

    with pytest.raises(UserError, match=r"gone\.pth: no such file; pass a ResNet-18 weights file"):
        slice_resnet("resnet18", weights=tmp_path / "gone.pth")
    torch.save({"conv1.weight": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(UserError, match=r"bomb\.pth: not a readable PyTorch checkpoint of plain tensors"):
        slice_resnet("resnet18", weights=tmp_path / "bomb.pth")
    with pytest.raises(ValueError, match=r"weights are of ImageNet's ResNet-18.*got 'tinynet'"):
        slice_encoder("tinynet", weights=tmp_path / "gone.pth")
