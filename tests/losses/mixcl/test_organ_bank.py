"""Label consistency across data sets: who meets whom, by value, and a bank that is the same on every process."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from monai_cl.errors import UserError
from monai_cl.losses import MixCLLoss, NamedOrgans, OrganBank, label_consistency_loss, organ_bank_loss
from tests.oracles import organ_bank_by_loops
from tests.ranks import run_ranks

N, K, M, D, SETS, WORLD = 6, 4, 5, 7, 3, 2
# liver and kidney of two sets under other ids, and a kidney whose side one of them knows
ORGANS = NamedOrgans(
    [{1: "liver", 2: "kidney"}, {1: "kidney", 4: "liver"}, {1: "left kidney"}], overlapping=[("kidney", "left kidney")]
)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def integers(low: int, high: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))


def drawn(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """means, present, datasets, bank, bank_datasets; some organs are missing, some entries empty."""
    means, bank = noise(N, K, D, seed=seed), noise(K, M, D, seed=seed + 1)
    present, datasets = integers(0, 4, N, K, seed=seed) > 0, integers(0, SETS, N, seed=seed)
    return means, present, datasets, bank, integers(-1, SETS, K, M, seed=seed)


def batch(step: int, patches: int = 4, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """z, labels and data sets of a step; labels 0 are background, 3 is an id that no set has."""
    z = noise(patches, 12, D, seed=100 + step).to(dtype)
    return z, integers(0, 5, patches, 12, seed=100 + step), integers(0, SETS, patches, seed=100 + step)


def go(bank: OrganBank, steps: range, *, part: slice = slice(None), patches: int = 4) -> Tensor:
    """The loss of every step, whose features are then pushed."""
    losses = []
    for step in steps:
        losses.append(bank(*(x[part] for x in batch(step, patches))))
        bank.after_step()
    return torch.stack(losses) if losses else torch.empty(0)


@pytest.mark.parametrize("same_dataset", [False, True])
@pytest.mark.parametrize("temperature", [0.07, 0.1, 1.0])
@pytest.mark.parametrize("related", [False, True])
def test_agrees_with_loops(same_dataset, temperature, related):
    for seed in range(3):
        given = drawn(seed)
        different = None
        if related:
            different = integers(0, 2, K, K, seed=seed) > 0
            different = different | different.T
        options = {"temperature": temperature, "same_dataset": same_dataset, "different": different}
        found, has_positive = organ_bank_loss(*given, **options)
        expected = organ_bank_by_loops(*(x.numpy() for x in given), **options)
        assert found.tolist() == pytest.approx(expected, abs=1e-10)
        assert has_positive.tolist() == [value > 0 for value in expected]


def test_it_is_eq_6_between_voxels_of_other_sets_where_every_patch_has_one_organ():
    means, _, _, bank, _ = drawn()
    present = torch.zeros(N, K, dtype=torch.bool)
    present[:, 1] = True
    found, _ = organ_bank_loss(means, present, torch.zeros(N), bank, torch.ones(K, M))
    labels = torch.arange(1, K + 1).repeat_interleave(M)
    for patch, value in zip(means, found):
        expected = label_consistency_loss(patch[1:2], torch.tensor([2]), bank.flatten(0, 1), labels)
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-12)


def test_a_high_temperature_leaves_the_share_of_positives():
    means, _, _, bank, _ = drawn()
    found, _ = organ_bank_loss(
        means, torch.ones(N, K, dtype=torch.bool), torch.zeros(N), bank, torch.ones(K, M), temperature=1e8
    )
    assert found.tolist() == pytest.approx([math.log(K)] * N, abs=1e-6)


def test_one_organ_alone_has_no_negative_and_the_loss_is_0():
    found, has_positive = organ_bank_loss(
        noise(2, 1, D), torch.ones(2, 1, dtype=torch.bool), torch.tensor([0, 1]), noise(1, M, D), torch.ones(1, M)
    )
    assert found.tolist() == pytest.approx([0, 0], abs=1e-12)
    assert has_positive.tolist() == [True, False]


def test_an_empty_bank_gives_0_and_a_gradient_of_0():
    means, present, datasets, _, _ = drawn()
    means.requires_grad_()
    found, has_positive = organ_bank_loss(means, present, datasets, torch.zeros(K, M, D), torch.full((K, M), -1))
    found.sum().backward()
    assert found.tolist() == [0] * N
    assert not has_positive.any()
    assert torch.equal(means.grad, torch.zeros_like(means))


def test_the_gradient_is_that_of_finite_differences_and_none_reaches_the_bank():
    means, present, datasets, bank, bank_datasets = drawn()
    bank.requires_grad_()
    torch.autograd.gradcheck(
        lambda x: organ_bank_loss(x, present, datasets, bank, bank_datasets)[0], means.requires_grad_()
    )
    organ_bank_loss(means, present, datasets, bank, bank_datasets)[0].sum().backward()
    assert bank.grad is None


def test_an_organ_is_drawn_to_its_like_in_other_sets_and_away_from_other_organs():
    e = torch.eye(4, dtype=torch.float64)
    bank = torch.stack([e[:2], e[2:]])  # two organs, an entry of set 0 and one of set 1 each
    own, origin = torch.tensor([[True, False]]), torch.tensor([[0, 1], [0, 1]])
    mean = torch.ones(1, 2, 4, dtype=torch.float64, requires_grad=True)
    organ_bank_loss(mean, own, torch.tensor([0]), bank, origin)[0].sum().backward()
    away = mean.grad[0, 0]
    assert away[1] < 0  # its like in the other set
    assert away[2] == away[3] > 0  # another organ, of either set
    assert away[0] > away[1]  # its like in its own set neither draws nor repels
    assert torch.equal(mean.grad[0, 1], torch.zeros(4))  # not annotated


def test_what_is_missing_does_not_count():
    means, present, datasets, bank, bank_datasets = drawn()
    expected, _ = organ_bank_loss(means, present, datasets, bank, bank_datasets)
    changed = torch.where(present[..., None], means, noise(N, K, D, seed=9))
    empty = torch.where((bank_datasets < 0)[..., None], noise(K, M, D, seed=8), bank)
    assert torch.equal(organ_bank_loss(changed, present, datasets, empty, bank_datasets)[0], expected)


def test_the_module_compares_mean_directions_with_the_bank_before_the_step():
    bank = OrganBank(organs=ORGANS, length=3, temperature=0.2)
    assert ORGANS.names == ["kidney", "left kidney", "liver"]
    held: list[list[tuple[Tensor, int]]] = [[], [], []]
    for step in range(4):
        z, labels, datasets = batch(step)
        means, present = torch.zeros(4, 3, D), torch.zeros(4, 3, dtype=torch.bool)
        for patch in range(4):
            for label, name in ORGANS.labels[datasets[patch]].items():
                voxels = z[patch, labels[patch] == label]
                if len(voxels):
                    row = ORGANS.names.index(name)
                    means[patch, row] = torch.nn.functional.normalize(voxels, dim=1).sum(dim=0)
                    present[patch, row] = True
        rows, origin = torch.zeros(3, 3, D), torch.full((3, 3), -1)
        for k, entries in enumerate(held):
            for m, (feature, dataset) in enumerate(entries[:3]):
                rows[k, m], origin[k, m] = feature, dataset
        different = torch.tensor([[False, False, True], [False, False, True], [True, True, False]])
        found = bank(z, labels, datasets)
        expected, has_positive = organ_bank_loss(
            means, present, datasets, rows, origin, temperature=0.2, different=different
        )
        torch.testing.assert_close(found, expected.mean())
        torch.testing.assert_close(bank.datasets, origin)
        assert bank.diagnostics["bank_fill"] == (origin >= 0).float().mean()
        assert bank.diagnostics["bank_positive_share"] == has_positive.float().mean()
        bank.after_step()
        means = torch.nn.functional.normalize(means, dim=-1)
        for k in range(3):  # newest first, those of one step in the order of its patches
            held[k] = [(means[n, k], int(datasets[n])) for n in range(4) if present[n, k]] + held[k]
    assert found > 0


def test_background_padding_and_unknown_ids_take_no_part():
    z, labels, datasets = batch(0)
    bank = OrganBank(organs=ORGANS)
    go(bank, range(3))
    expected = bank(z, labels, datasets)
    other = torch.where(((labels == 0) | (labels == 3))[..., None], noise(4, 12, D, seed=5).float(), z)
    assert torch.equal(bank(other, labels, datasets), expected)
    padded = torch.cat([labels, torch.ones(4, 3, dtype=torch.long)], dim=1)
    more = torch.cat([z, noise(4, 3, D, seed=6).float()], dim=1)
    valid = torch.arange(15) < 12
    torch.testing.assert_close(bank(more, padded, datasets, valid=valid.expand(4, 15)), expected)
    torch.testing.assert_close(bank(more, torch.where(valid, padded, -1), datasets), expected)


def test_half_precision_gives_a_float32_loss_and_a_float32_bank():
    bank = OrganBank(organs=ORGANS)
    go(bank, range(2))
    z, labels, datasets = batch(2, dtype=torch.bfloat16)
    z.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = bank(z, labels, datasets)
    found.backward()
    bank.after_step()
    assert found.dtype == bank.features.dtype == torch.float32
    assert z.grad.isfinite().all()
    assert z.grad.abs().max() > 0
    assert not bank.features.requires_grad


def test_the_features_of_a_step_that_was_left_out_are_not_pushed():
    bank, other = OrganBank(organs=ORGANS), OrganBank(organs=ORGANS)
    bank(*batch(0))  # and no after_step()
    assert (bank.datasets < 0).all()
    go(bank, range(1, 2))
    go(other, range(1, 2))
    assert torch.equal(bank.features, other.features)
    bank.after_step()  # nothing new
    assert torch.equal(bank.features, other.features)


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_a_half_filled_bank_is_restored_to_the_last_bit(stop):
    whole, first, second = (OrganBank(organs=ORGANS, length=16) for _ in range(3))
    expected = go(whole, range(5))[stop:]
    go(first, range(stop))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(go(second, range(stop, 5)), expected)
    assert torch.equal(second.features, whole.features)
    assert 0 < second.diagnostics["bank_fill"] < 1


def test_a_bank_of_other_organs_or_another_length_is_refused():
    state = OrganBank(organs=ORGANS, length=4).state_dict()
    other = NamedOrgans([*ORGANS.labels[:2], {1: "right kidney"}], ORGANS.overlapping)
    with pytest.raises(ValueError, match=r"organs of other data sets or label ids.*left kidney"):
        OrganBank(organs=other, length=4).load_state_dict(state)
    with pytest.raises(RuntimeError, match="size mismatch for datasets"):
        OrganBank(organs=ORGANS, length=5).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"length": 0}, "bank_length: expected an integer >= 1, features kept of each organ, found 0; --bank_weight 0"),
        ({"length": 2.5}, "bank_length: expected an integer >= 1.*found 2.5"),
        ({"length": True}, "bank_length: .*found True"),
        ({"temperature": 0}, "bank_temperature: expected a number > 0, such as 0.1, found 0"),
        ({"temperature": math.nan}, "bank_temperature: .*found nan"),
        ({"temperature": "warm"}, "bank_temperature: .*found 'warm'"),
        ({"same_dataset": "no"}, "bank_same_dataset: expected true or false, found 'no'"),
    ],
)
def test_wrong_options_are_refused(options, text):
    with pytest.raises(UserError, match=text):
        OrganBank(organs=ORGANS, **options)
    with pytest.raises(UserError, match=text):
        MixCLLoss(bank_weight=1.0, bank={"organs": ORGANS, **options})
    MixCLLoss(bank_weight=0.0, bank={"organs": None, **options})  # not used, not looked at


def test_a_weight_needs_the_organs():
    with pytest.raises(ValueError, match="bank_weight > 0 needs bank with organs"):
        MixCLLoss(bank_weight=1.0)
    with pytest.raises(ValueError, match="bank_weight must be >= 0 and finite, got -1"):
        MixCLLoss(bank_weight=-1.0)


def test_shapes_that_do_not_fit_are_named():
    means, present, datasets, bank, bank_datasets = drawn()
    with pytest.raises(ValueError, match=r"must be \(N, K, D\), \(N, K\) and \(N,\), got"):
        organ_bank_loss(means, present[:, 1:], datasets, bank, bank_datasets)
    with pytest.raises(ValueError, match=r"must be \(4, M, 7\) and \(4, M\), got \(3, 5, 7\)"):
        organ_bank_loss(means, present, datasets, bank[1:], bank_datasets)
    with pytest.raises(ValueError, match="temperature must be > 0, got 0"):
        organ_bank_loss(means, present, datasets, bank, bank_datasets, temperature=0)
    with pytest.raises(ValueError, match=r"z, labels and datasets must be"):
        OrganBank(organs=ORGANS)(*batch(0)[:2], torch.zeros(3, dtype=torch.long))


def divided(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD)
    bank = OrganBank(organs=ORGANS, length=9)
    losses = go(bank, range(4), part=slice(rank * 4, (rank + 1) * 4), patches=WORLD * 4)
    torch.save((losses, bank.features, bank.datasets), f"{folder}/rank{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def test_two_ranks_hold_one_bank_and_have_the_loss_of_one_process(tmp_path):
    run_ranks(divided, str(tmp_path))
    ranks = [torch.load(Path(tmp_path) / f"rank{rank}.pt", weights_only=True) for rank in range(WORLD)]
    one = OrganBank(organs=ORGANS, length=9)
    expected = go(one, range(4), patches=WORLD * 4)
    torch.testing.assert_close((ranks[0][0] + ranks[1][0]) / WORLD, expected, rtol=0, atol=1e-6)
    for _, features, datasets in ranks:
        torch.testing.assert_close(features, one.features, rtol=0, atol=1e-6)
        assert torch.equal(datasets, one.datasets)
    assert torch.equal(ranks[0][1], ranks[1][1])
