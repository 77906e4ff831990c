"""MixCL's network: shapes, what is built for which term, and that every trained parameter gets a gradient."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNETR

from monai_cl.losses import MixCLLoss, mixcl_preset
from monai_cl.networks import MixCLNet

SMALL = {"img_size": 32, "feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}


def stacked(batch: int = 1) -> torch.Tensor:
    return torch.rand(3 * batch, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))


def targets(batch: int, classes: list[int]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    voxels = torch.stack([torch.randperm(16**3, generator=generator)[:20] for _ in range(batch)])
    labels = torch.arange(20).remainder(2).expand(batch, 20)
    return {
        "clean": torch.rand(3 * batch, 1, 32, 32, 32, generator=generator),
        "labels": torch.randint(0, min(classes), (2 * batch, 1, 32, 32, 32), generator=generator),
        "voxels1": voxels,
        "voxels2": voxels,
        "voxel_labels1": labels,
        "voxel_labels2": labels,
        "dataset": torch.zeros(batch, dtype=torch.long),
    }


def net_for(preset: str, classes: list[int], **network) -> tuple[MixCLNet, MixCLLoss]:
    from monai_cl.engines import identity_levels

    weights = mixcl_preset(preset)
    supervised = weights["supervised_weight"] > 0
    net = MixCLNet(
        **{**SMALL, **network},
        levels=identity_levels(weights["identity_levels"], weights["identity_weight"]),
        label_level=weights["label_level"] if weights["label_weight"] else None,
        reconstruct=weights["reconstruction_weight"] > 0,
        classes=classes if supervised else (),
        clusters={"prototypes": 4, "embedding": 6} if weights["clustering_weight"] else None,
    )
    return net, MixCLLoss(**weights, class_counts=classes if supervised else None, codes={"few_embeddings": "warn"})


def test_levels_have_the_strides_and_twice_the_channels_of_the_encoder():
    net = MixCLNet(**SMALL, classes=[2, 3])
    outputs = net(stacked(2))
    shapes = [tuple(z.shape) for z in outputs["levels"]]
    assert shapes == [(4, 8, 32, 32, 32), (6, 16, 16, 16, 16), (4, 32, 8, 8, 8), (4, 64, 4, 4, 4), (4, 48, 2, 2, 2)]
    assert outputs["reconstruction"].shape == (6, 1, 32, 32, 32)
    assert outputs["segmentation"].shape == (6, 5, 32, 32, 32)


def test_the_encoder_and_decoder_compute_what_stock_unetr_computes():
    torch.manual_seed(0)
    net = MixCLNet(**SMALL).eval()
    stock = UNETR(in_channels=1, out_channels=1, **SMALL).eval()
    stock.load_state_dict(net.unetr.state_dict())
    x = stacked()
    torch.testing.assert_close(net(x)["reconstruction"], stock(x))


@pytest.mark.parametrize(
    "preset", ["paper", "balanced", "hybrid", "supervised", "clustering_hybrid", "clustering", "label"]
)
@pytest.mark.parametrize(("backbone", "feature_size"), [("unetr", 4), ("segresnet", 8), ("dynunet", 4)])
def test_every_trained_parameter_gets_a_gradient(preset, backbone, feature_size):
    net, loss = net_for(preset, [2, 3], backbone=backbone, feature_size=feature_size)
    loss(net(stacked()), targets(1, [2, 3])).backward()
    without = [name for name, p in net.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in net.encoder_parameters())


def test_what_no_term_needs_is_not_computed():
    net, _ = net_for("label", [2])
    outputs = net(stacked())
    assert set(outputs) == {"levels"}
    assert [z is not None for z in outputs["levels"]] == [False, True, False, False, False]


def test_the_paper_size_has_the_papers_channels():
    with torch.device("meta"):
        net = MixCLNet()
    channels = [net.projectors[str(level)][-1].out_channels for level in range(5)]
    assert channels == [32, 64, 128, 256, 1536]


def test_a_batch_that_is_not_a_stack_of_three_is_refused():
    with pytest.raises(ValueError, match=r"divisible by 3, got 4"):
        MixCLNet(**SMALL)(torch.zeros(4, 1, 32, 32, 32))


@pytest.mark.parametrize(("size", "found"), [(16, "16"), (40, "40")])
def test_patch_sizes_unetr_cannot_take_are_refused(size, found):
    with pytest.raises(ValueError, match=f"multiples of 16, at least 32 voxels, got .{found}"):
        MixCLNet(**{**SMALL, "img_size": size})


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match=r"levels must be among \[0, 1, 2, 3, 4\], got"):
        MixCLNet(**SMALL, levels=[0, 5])
