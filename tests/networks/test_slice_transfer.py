"""A pre-trained encoder of slices is found in any run's checkpoint, and another one refused."""

from __future__ import annotations

import pytest
import torch

from monai_cl.errors import UserError
from monai_cl.networks import SliceEncoder, load_slice_encoder, slice_encoder


def tiny(seed: int = 0, **options) -> SliceEncoder:
    torch.manual_seed(seed)
    return slice_encoder("tinynet", width=1 / 16, **options)


def same_backbone(a: SliceEncoder, b: SliceEncoder) -> bool:
    return all(torch.equal(v, b.backbone.state_dict()[k]) for k, v in a.backbone.state_dict().items())


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapper", [None, "network"])
def test_backbone_and_standardisation_are_taken_and_the_head_is_left(tmp_path, prefix, wrapper):
    source, target = tiny(0, mean=0.3, std=0.5), tiny(1, head=(7,))
    head = target.head[0].weight.clone()
    weights = {prefix + k: v for k, v in source.state_dict().items()}
    torch.save({wrapper: weights} if wrapper else weights, tmp_path / "model.pt")
    report = load_slice_encoder(target, tmp_path / "model.pt")
    assert same_backbone(source, target)
    assert (target.mean.item(), target.std.item()) == pytest.approx((0.3, 0.5))
    assert torch.equal(target.head[0].weight, head)
    assert len(report.matched) == 10 + 2
    assert report.missing == report.other_shape == report.unknown == ()


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (
            lambda: slice_encoder("tinynet", width=1 / 8),
            r"of another shape: backbone\.layers\.0\.bias \(2,\) for \(1,\)",
        ),
        (lambda: slice_encoder("resnet18"), r"missing: backbone\.layers\.0\.bias"),
        (lambda: torch.nn.Linear(2, 2), r"0 encoder tensors matched; missing"),
    ],
)
def test_another_network_is_refused_and_changes_nothing(tmp_path, other, found):
    torch.save(other().state_dict(), tmp_path / "other.pt")
    target, before = tiny(0), tiny(0)
    with pytest.raises(UserError, match=rf"other\.pt: .*{found}.*build it as it was pre-trained"):
        load_slice_encoder(target, tmp_path / "other.pt")
    assert same_backbone(before, target)


def test_weights_of_imagenet_are_sent_to_their_own_key(tmp_path):
    resnet = slice_encoder("resnet18").backbone.state_dict()
    torch.save(resnet, tmp_path / "resnet18-f37072fd.pth")
    with pytest.raises(UserError, match=r"found a ResNet with torchvision's names: .* given as imagenet_weights"):
        load_slice_encoder(tiny(0), tmp_path / "resnet18-f37072fd.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.pt: no such file; pass a checkpoint of a pre-training on slices"):
        load_slice_encoder(tiny(), tmp_path / "gone.pt")
