"""Several meta-labels at once: the weighted sum, the pace, what is logged, the floor, two ranks as one."""

from __future__ import annotations

import logging
import math

import pytest
import torch
import torch.distributed as dist

from monai_cl.errors import UserError
from monai_cl.losses import MetaLabelLoss, MethodLoss, self_paced_loss, self_paced_minimum, supcon_loss
from monai_cl.losses.self_paced import pace
from tests.ranks import run_ranks

N, V, F = 6, 2, 5
LABELS = {"position": torch.tensor([0, 0, 1, 1, 2, 0]), "patient": torch.tensor([0, 1, 2, 0, 1, 2])}
META = {"position": {"parts": 3, "weight": 1.0, "gamma": [3, 60]}, "patient": {"weight": 0.1, "gamma": [4, 50]}}


def embed(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {f"embedding_{name}": torch.randn(N, V, F, generator=generator, dtype=torch.float64) for name in LABELS}


def targets() -> dict[str, torch.Tensor]:
    return {f"label_{name}": labels for name, labels in LABELS.items()}


@pytest.mark.parametrize("progress", [0.0, 0.25, 0.9])
@pytest.mark.parametrize("mode", ["linear", "hard"])
def test_is_the_weighted_sum_of_its_terms_at_the_pace_of_the_moment(progress, mode):
    loss = MetaLabelLoss(META, mode=mode, temperature=0.1)
    loss.progress = progress
    z = embed()
    found = MethodLoss(loss)(z, targets())
    expected = 0.0
    for name, entry in META.items():
        gamma = entry["gamma"][0] + (entry["gamma"][1] - entry["gamma"][0]) * progress**0.5
        term, weight = self_paced_loss(z[f"embedding_{name}"], LABELS[name], gamma=gamma, mode=mode, temperature=0.1)
        assert loss.terms[name] == term
        assert loss.diagnostics[f"mean_weight/{name}"] == pytest.approx(weight.item())
        assert loss.diagnostics[f"gamma/{name}"] == pytest.approx(gamma)
        expected += entry["weight"] * term
    torch.testing.assert_close(found, expected)


def test_one_label_without_a_pace_is_supcon_bit_for_bit():
    z = embed()["embedding_position"]
    found = MetaLabelLoss({"position": {}}, temperature=0.1)(z, LABELS["position"])
    assert found == supcon_loss(z, LABELS["position"], temperature=0.1)


def test_the_pace_begins_at_its_first_value_and_ends_below_its_last():
    assert pace(0.0, (5, 60)) == 5
    assert pace(0.25, (5, 60)) == 32.5
    assert pace(1.0, (5, 60)) == 60
    assert pace(0.5, (5, 60), 1.0) == 32.5


def test_what_is_logged_is_what_the_pairs_are():
    loss = MetaLabelLoss({"position": {"gamma": [3.0, 60]}}, mode="hard", temperature=0.1)
    z, labels = embed()["embedding_position"], LABELS["position"]
    loss(z, labels)
    flat = torch.nn.functional.normalize(z.reshape(N * V, F), dim=1)
    y = labels.repeat_interleave(V)
    positive = (y[:, None] == y) & ~torch.eye(N * V, dtype=torch.bool)
    pair = -torch.log_softmax((flat @ flat.T / 0.1).masked_fill(torch.eye(N * V, dtype=torch.bool), -math.inf), dim=1)
    told = {name.split("/")[0]: value for name, value in loss.diagnostics.items()}
    assert told["dead_pairs"] == pytest.approx((pair[positive] > 3).double().mean().item(), abs=1e-6)
    assert told["mean_pair_loss"] == pytest.approx(pair[positive].mean().item())
    assert told["positives"] == pytest.approx(positive.sum(1).double().mean().item())
    assert told["floor"] == pytest.approx(math.log(told["positives"]))
    means = [self_paced_minimum(row[p], 3.0, "hard").mean() for row, p in zip(pair, positive)]
    assert told["minimum"] == pytest.approx(torch.stack(means).mean().item())


def test_a_pace_below_the_floor_is_refused_or_told(caplog):
    labels = torch.zeros(N, dtype=torch.long)  # |P| = 11, log 11 = 2.40
    with pytest.raises(UserError, match=r"meta_labels.phase.gamma: expected a last value above log\|P\| = 2.40"):
        MetaLabelLoss({"phase": {"gamma": [1, 2.3]}})(embed()["embedding_position"], labels)
    with caplog.at_level(logging.WARNING):
        loss = MetaLabelLoss({"phase": {"gamma": [2, 50]}})
        for _ in range(2):
            loss(torch.ones(N, V, F), labels)
    assert [record.message for record in caplog.records] == [
        "meta_labels.phase.gamma: starts at 2, which is not above log|P| = 2.40, the least loss of a perfect cluster: "
        "few pairs count at first"
    ]
    assert loss.diagnostics["dead_pairs/phase"] == 1


@pytest.mark.parametrize(
    ("labels", "gamma", "message"),
    [
        ([0] * 15 + [*range(1, 16)], [2.9, 3.0], "expected a last value above log|P| = 3.37"),  # log 29; single ones
        ([0] * 15 + [-1] * 15, [2.9, 3.0], "expected a last value above log|P| = 3.37"),
        ([0] * 15 + [1] * 2, [2.9, 3.0], "ends at 3, which is not above log|P| = 3.37, the least loss of a perfect cl"),
        ([0] * 15 + [1] * 2, [2.9, 9], "starts at 2.9, which is not above log|P| = 3.37, the least loss of a perfect"),
        ([0] * 15 + [1] * 2, [3.5, 9], None),
        ([*range(17)], [0.1, 0.2], None),
    ],
)
def test_the_floor_is_that_of_the_classes_not_of_their_mean(labels, gamma, message, caplog):
    loss, found = MetaLabelLoss({"site": {"gamma": gamma}}), []
    with caplog.at_level(logging.WARNING):
        try:
            loss(torch.ones(len(labels), V, F), torch.tensor(labels))
        except UserError as error:
            found.append(str(error))
    found += [record.message for record in caplog.records]
    assert len(found) == (message is not None)
    assert all(message in text for text in found)


def test_a_pace_in_units_of_the_batch_is_the_papers_for_the_papers_batch():
    z, labels = torch.randn(30, 2, 4), torch.arange(30) % 3
    for unit in ("absolute", "log_pairs"):
        loss = MetaLabelLoss({"position": {"gamma": [5, 60]}}, gamma_unit=unit)
        loss(z, labels)
        assert loss.diagnostics["gamma/position"] == 5
    loss(z[:6], labels[:6])
    assert loss.diagnostics["gamma/position"] == pytest.approx(5 * math.log(11) / math.log(59))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"meta_labels": {}}, "meta_labels must have one with a weight > 0"),
        ({"meta_labels": {"patient": {"weight": 0}}}, "meta_labels must have one with a weight > 0"),
        ({"mode": "soft"}, "mode must be one of linear, hard, got 'soft'"),
        ({"temperature": 0}, "temperature: expected a number above 0, found 0"),
        ({"pace_power": 0}, "pace_power: expected a number above 0, found 0"),
        ({"gamma_unit": "nats"}, "gamma_unit must be one of absolute, log_pairs, got 'nats'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MetaLabelLoss(**{"meta_labels": META, **options})
    with pytest.raises(ValueError, match="expected embedding_position, embedding_patient, label_position, label_pat"):
        MetaLabelLoss(META)(embed()["embedding_position"])


def _rank(rank: int, init_file: str, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{init_file}", rank=rank, world_size=2)
    part = slice(rank * N // 2, (rank + 1) * N // 2)
    outputs = {name: z[part].clone().requires_grad_() for name, z in embed().items()}
    loss = MetaLabelLoss(META, temperature=0.1)
    loss.progress = 0.25
    value = MethodLoss(loss)(outputs, {name: y[part] for name, y in targets().items()})
    value.backward()
    gradients = {name: z.grad / 2 for name, z in outputs.items()}
    torch.save((value.detach(), gradients, loss.diagnostics), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_are_one(tmp_path):
    run_ranks(_rank, str(tmp_path / "init"), str(tmp_path))
    whole, loss = {name: z.requires_grad_() for name, z in embed().items()}, MetaLabelLoss(META, temperature=0.1)
    loss.progress = 0.25
    expected = MethodLoss(loss)(whole, targets())
    expected.backward()
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    for value, _, diagnostics in found:
        torch.testing.assert_close(value, expected.detach())
        assert {k: float(v) for k, v in diagnostics.items()} == pytest.approx(
            {k: float(v) for k, v in loss.diagnostics.items()}
        )
    for name, z in whole.items():
        torch.testing.assert_close(torch.cat([gradients[name] for _, gradients, _ in found]), z.grad)
