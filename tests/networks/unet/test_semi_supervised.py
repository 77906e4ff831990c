"""One forward for labelled and unlabelled slices: what comes out, turns, the teacher, loading."""

from __future__ import annotations

import pytest
import torch

from monai_cl.errors import UserError
from monai_cl.networks import MeanTeacherUNet, SemiSupervisedUNet, SliceUNet, load_slice_unet, slice_unet, turn_slices

FEATURES = (4, 4, 8, 8, 16, 4)
X, U = torch.rand(2, 1, 32, 32), torch.rand(3, 1, 32, 32)
TURNS = torch.tensor([0, 3, 6])


def net(kind=SemiSupervisedUNet, **options):
    torch.manual_seed(0)
    return kind(SliceUNet(3, features=FEATURES), **options)


def test_a_turn_is_exact_and_eight_of_them_differ():
    square = torch.arange(9.0).reshape(1, 1, 3, 3)
    turned = turn_slices(square.expand(8, 1, 3, 3), torch.arange(8))
    assert len({tuple(one.flatten().tolist()) for one in turned}) == 8
    assert torch.equal(turned[1, 0], square[0, 0].rot90(1))
    assert torch.equal(turned[4, 0], square[0, 0].flip(1))


def test_slices_in_a_tensor_give_logits_and_a_batch_what_its_losses_take():
    network = net(meta_labels=["position"], clusters=(2, 5)).eval()
    views = torch.rand(3, 2, 1, 32, 32)
    with torch.no_grad():
        found = network({"labelled": X, "mixed": X.flip(0), "plain": U, "turns": TURNS, "views": views})
        alone, plain, turned = network(X), network(U), network(turn_slices(U, TURNS))
    assert alone.shape == (2, 3, 32, 32)
    for name, expected in {
        "logits": alone,
        "logits_mixed": alone.flip(0),
        "logits_unlabelled": plain,
        "probabilities": turned.softmax(1),
        "expected": turn_slices(plain.softmax(1), TURNS),
    }.items():
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-5)
    assert found["clusters"].shape == found["clusters_turned"].shape == (3, 2, 5)
    torch.testing.assert_close(found["clusters"].sum(-1), torch.ones(3, 2))
    assert found["embedding_position"].shape == found["representation"].shape == (3, 2, 16)


def test_any_field_of_a_list_names_a_meta_label():
    names = ("type", "half", "a.b", "position")
    found = net(meta_labels=names)({"labelled": X, "views": torch.rand(2, 2, 1, 32, 32)})
    assert {f"embedding_{name}" for name in names} <= found.keys()


def test_in_training_all_slices_share_the_statistics_of_one_pass():
    network = net().train()
    network({"labelled": X, "plain": U})
    shared = network.unet.conv_0.conv_0.adn.N
    assert shared.num_batches_tracked == 1
    torch.testing.assert_close(
        shared.running_mean, 0.1 * network.unet.conv_0.conv_0.conv(torch.cat([X, U])).mean((0, 2, 3)).detach()
    )


def test_the_teacher_follows_is_not_trained_and_judges_the_slices_as_they_are():
    network = net(MeanTeacherUNet, momentum=0.9).train()
    assert not any(p.requires_grad for p in network.teacher.parameters())
    first = {name: t.clone() for name, t in network.unet.state_dict().items()}
    with torch.no_grad():
        for p in network.unet.parameters():
            p.add_(1.0)
    network.after_step()  # at step 0 it is the student
    name = "conv_0.conv_0.conv.weight"
    assert torch.equal(network.teacher.state_dict()[name], first[name] + 1)
    with torch.no_grad():
        for p in network.unet.parameters():
            p.add_(1.0)
    network.after_step()  # at step 1 halfway
    torch.testing.assert_close(network.teacher.state_dict()[name], first[name] + 1.5)
    assert int(network.steps) == 2
    network = net(MeanTeacherUNet).train()
    found = network({"labelled": X, "plain": U, "turns": TURNS})
    with torch.no_grad():
        torch.testing.assert_close(found["expected"], turn_slices(network.teacher(U).softmax(1), TURNS))
    assert not found["expected"].requires_grad
    assert found["probabilities"].requires_grad
    assert "logits_unlabelled" not in found
    assert network.unet.conv_0.conv_0.adn.N.num_batches_tracked == 1


@pytest.mark.parametrize("options", [{}, {"meta_labels": ["position"]}, {"clusters": (2, 5)}])
def test_the_u_net_of_a_training_loads_and_another_is_refused(tmp_path, options):
    trained = net(**options)
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    found = load_slice_unet(slice_unet(3, features=FEATURES), tmp_path / "model.pt")
    assert all(torch.equal(t, trained.unet.state_dict()[name]) for name, t in found.state_dict().items())
    deployed = SliceUNet(3, features=FEATURES)
    deployed.load_state_dict(trained.state_dict())
    assert torch.equal(deployed.eval()(X), found.eval()(X))
    with pytest.raises(UserError, match="use the features, norm and classes it was trained with"):
        load_slice_unet(slice_unet(4, features=FEATURES), tmp_path / "model.pt")
