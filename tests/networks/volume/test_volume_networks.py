"""The dense encoder has the paper's size and takes any volume; heads give a logit per class, finding and slice."""

from __future__ import annotations

import copy

import pytest
import torch

from monai_cl.networks import (
    DenseEncoder3d,
    SliceHead,
    clustering_network,
    load_slice_encoder,
    save_weights,
    scan_classifier,
    volume_encoder,
)


def test_the_dense_encoder_has_the_parameters_and_channels_of_the_paper():
    network = DenseEncoder3d()
    assert sum(p.numel() for p in network.parameters()) == 167_480
    assert (network.channels, network.representation_size) == ([23, 37, 58, 79, 100], 1024)


@pytest.mark.parametrize("size", [(4, 16, 16), (5, 17, 22), (8, 16, 31)])
def test_it_takes_any_size_from_the_least_on(size):
    network = DenseEncoder3d(features=3).eval()
    maps = network.maps(torch.zeros(2, 1, *size))
    d, h, w = size
    assert [tuple(m.shape[2:]) for m in maps] == [
        (d, h, w),
        (d, h // 2, w // 2),
        (d, h // 4, w // 4),
        (d // 2, h // 8, w // 8),
        (d // 4, h // 16, w // 16),
    ]
    assert network(torch.zeros(2, 1, *size)).shape == (2, 6)


@pytest.mark.parametrize("shape", [(1, 1, 3, 16, 16), (1, 1, 4, 15, 16), (1, 4, 16, 16)])
def test_a_smaller_volume_is_refused(shape):
    with pytest.raises(ValueError, match=r"at least \(4, 16, 16\) voxels"):
        DenseEncoder3d(features=2)(torch.zeros(shape))


def test_the_first_two_blocks_do_not_look_at_neighbouring_slices():
    network, image = DenseEncoder3d(features=2).eval(), torch.rand(1, 1, 6, 16, 16)
    changed = image.clone()
    changed[:, :, 3] = 0
    for number, (a, b) in enumerate(zip(network.maps(image)[:3], network.maps(changed)[:3])):
        differs = (a != b).any(dim=1).any(dim=-1).any(dim=-1)[0]
        assert differs.tolist() == [number == 2 or z == 3 for z in range(6)]


def test_the_representation_is_maximum_and_mean_over_all_voxels():
    network, image = DenseEncoder3d(features=5).eval(), torch.rand(1, 1, 8, 32, 32)
    last = network.last(network.maps(image)[-1]).flatten(2)
    torch.testing.assert_close(network(image), torch.cat([last.max(2).values, last.mean(2)], 1))


def test_a_slice_head_without_coarse_features_answers_slice_by_slice():
    torch.manual_seed(0)
    head = SliceHead(2, 3, hidden=4)
    fine, coarse = torch.rand(1, 2, 8, 3, 3), torch.zeros(1, 3, 2, 1, 1)
    changed = fine.clone()
    changed[:, :, 5] += 1
    differs = (head(fine, coarse) != head(changed, coarse))[0]
    assert differs.tolist() == [z in (4, 5, 6) for z in range(8)]  # the kernel's reach


def test_heads_are_those_that_were_asked_for():
    image = torch.rand(2, 1, 8, 16, 16)
    outputs = scan_classifier(finding_names=["a", "b", "c"], slices=True)(image)
    assert {name: tuple(x.shape) for name, x in outputs.items()} == {
        "representation": (2, 1024),
        "target": (2, 1),
        "findings": (2, 3),
        "slice_findings": (2, 8),
    }
    assert scan_classifier(classes=4)(image).keys() == {"representation", "target"}
    assert scan_classifier(classes=4)(image)["target"].shape == (2, 4)
    with pytest.raises(ValueError, match="got classes=1"):
        scan_classifier(classes=1)


def test_a_deployed_classifier_gives_the_probability_of_class_1():
    trained = scan_classifier(finding_names=["a", "b"], slices=True).eval()
    deployed = scan_classifier(finding_names=["a", "b"], slices=True, deployed=True).eval()
    deployed.load_state_dict(trained.state_dict())
    image = torch.rand(2, 1, 4, 16, 16)
    torch.testing.assert_close(deployed(image), torch.sigmoid(trained(image)["target"]))


def test_the_encoder_of_a_clustering_starts_a_classifier(tmp_path):
    torch.manual_seed(1)
    pretrained = clustering_network(volume_encoder(mean=0.3), (8, 4), prototypes=3)
    crops = [torch.rand(2, 1, 1, 4, 32, 16), torch.rand(2, 2, 1, 4, 16, 16)]
    outputs = pretrained(crops)
    assert outputs["scores"].shape == (2, 3, 3)
    file = save_weights(pretrained.state_dict(), tmp_path / "model.pt")
    network = scan_classifier()
    load_slice_encoder(network, file)
    assert float(network.mean) == pytest.approx(0.3)
    image = torch.rand(1, 1, 4, 16, 16)
    torch.testing.assert_close(network.eval().represent(image), pretrained.eval().represent(image))
    torch.testing.assert_close(network(image)["representation"], network.represent(image))


@pytest.mark.parametrize("view", ["crop", "whole"])
def test_the_slices_of_a_clustering_are_scored_from_the_maps_of_the_first_large_crop(view):
    torch.manual_seed(1)
    heads = {"target": 1, "findings": 2, "slice_findings": 1}
    network = clustering_network(
        volume_encoder(mean=0.3), (8, 4), prototypes=3, label_heads=heads, supervised_view=view
    )
    plain = clustering_network(volume_encoder(mean=0.3), (8, 4), prototypes=3, supervised_view=view)
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("label_heads.")})
    large, small, whole = torch.rand(2, 2, 1, 8, 32, 16), torch.rand(2, 3, 1, 8, 16, 16), torch.rand(2, 1, 1, 8, 32, 16)
    same = copy.deepcopy(network)
    outputs, without = network.train()([large, small, *[whole] * (view == "whole")]), plain.train()([large, small])
    for name in ("representation", "embedding", "scores"):
        torch.testing.assert_close(outputs[name], without[name], rtol=0, atol=0)
    assert outputs["logits_slice_findings"].shape == (2, 8)
    # batch norm in training: crops of one size in one pass
    seen = (whole if view == "whole" else large).flatten(0, 1)
    maps = same.train().encoder.backbone.maps((seen - 0.3) / same.encoder.std)
    firsts = [maps[level].unflatten(0, (2, -1))[:, 0] for level in (2, 4)]
    expected = same.label_heads["slice_findings"](*firsts)
    torch.testing.assert_close(outputs["logits_slice_findings"], expected)
    outputs["logits_slice_findings"].sum().backward()
    assert network.label_heads["slice_findings"].layers[0].weight.grad.abs().max() > 0
    assert network.encoder.backbone.stem[0].weight.grad.abs().max() > 0
    assert set(network.eval()([large])) == {"representation", "embedding"}


def test_the_slice_head_of_a_clustering_is_in_full_precision():
    heads = {"slice_findings": 1}
    network = clustering_network(volume_encoder(), (8, 4), prototypes=3, label_heads=heads).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network([torch.rand(2, 2, 1, 8, 16, 16)])["logits_slice_findings"].dtype == torch.float32
    with pytest.raises(ValueError, match="slice_findings has one output, got 5"):
        clustering_network(volume_encoder(), (8, 4), prototypes=3, label_heads={"slice_findings": 5})


def test_gradients_are_those_of_the_function_in_double_precision():
    torch.manual_seed(0)
    network = scan_classifier(finding_names=["a"], slices=True).double().eval()
    image = torch.rand(1, 1, 4, 16, 16, dtype=torch.float64, requires_grad=True)

    def total(x: torch.Tensor) -> torch.Tensor:
        outputs = network(x)
        return sum(outputs[name].sum() for name in ("target", "findings", "slice_findings"))

    (gradient,) = torch.autograd.grad(total(image), image)
    direction, step = torch.rand_like(image), 1e-6
    with torch.no_grad():
        difference = (total(image + step * direction) - total(image - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), difference, rtol=1e-5, atol=1e-7)
