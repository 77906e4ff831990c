"""Patches clustered by a 3-D encoder: unit vectors, every level taught, prototypes that wait."""

from __future__ import annotations

import pytest
import torch

from monai_cl.losses import swapped_prediction_loss
from monai_cl.networks.volume.pooled_clusters import PooledClusters

CHANNELS = (4, 8, 6)


def levels(patches: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2 * patches, c, 8 >> i, 8 >> i, 8 >> i) for i, c in enumerate(CHANNELS)]
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]


def clusters(**options: int) -> PooledClusters:
    torch.manual_seed(0)
    return PooledClusters(CHANNELS, prototypes=5, embedding=7, **options)


def test_scores_are_cosines_of_each_patchs_two_views():
    net, z = clusters(), levels()
    found = net(z)
    assert found["embedding"].shape == (3, 2, 7)
    assert found["scores"].shape == (3, 2, 5)
    assert torch.allclose(found["embedding"].norm(dim=-1), torch.ones(3, 2))
    assert torch.allclose(found["scores"], found["embedding"] @ found["prototypes"].T)
    assert not found["prototypes"].requires_grad
    # the second view of patch 1 is row 3 + 1 of the stack
    other = [x.detach().clone() for x in z]
    for x in other:
        x[4] += 1
    changed = (net(other)["embedding"] != found["embedding"]).any(dim=-1)
    assert changed.tolist() == [[False, False], [False, True], [False, False]]


def test_where_a_patch_shows_something_does_not_matter():
    net, z = clusters(), levels()
    turned = [x.flip(2).transpose(3, 4) for x in z]
    assert torch.allclose(net(turned)["embedding"], net(z)["embedding"], atol=1e-6)


def test_every_level_and_the_head_are_taught():
    net, z = clusters(), levels()
    found = net(z)
    swapped_prediction_loss(found["scores"].unbind(dim=1)).backward()
    assert all(x.grad is not None and x.grad.abs().sum() > 0 for x in z)
    assert all(p.grad is not None for p in net.parameters())


def test_frozen_prototypes_have_no_gradient_for_so_many_steps_in_a_resumed_run_too():
    net = clusters(freeze_iterations=2)
    seen = []
    for step in range(4):
        if step == 1:
            state = net.state_dict()
            net = clusters(freeze_iterations=2)
            net.load_state_dict(state)
        swapped_prediction_loss(net(levels())["scores"].unbind(dim=1)).backward()
        net.before_step()
        seen.append(net.prototypes.weight.grad is not None)
        net.zero_grad()
        net.after_step()
    assert seen == [False, False, True, True]


@pytest.mark.parametrize("option", ["prototypes", "embedding", "freeze_iterations"])
def test_numbers_out_of_range_are_refused(option):
    with pytest.raises(ValueError, match=r"must be >= |sizes must be"):
        PooledClusters(CHANNELS, **{option: -1})
