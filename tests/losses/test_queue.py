"""The queue of online clustering: order, rounding, what it adds to the codes, its state, and two real processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from monai_cl.losses import EmbeddingQueue, MethodLoss, SwappedPredictionLoss, swapped_prediction_loss
from tests.losses.test_clustering import unit_rows
from tests.ranks import run_ranks

B, V, K, F, WORLD = 4, 3, 4, 6, 2


def batch(step: int, rows: int = B) -> torch.Tensor:
    """Unit vectors of a step, (rows, V, F), float32."""
    return unit_rows(rows * V, 100 + step, F, torch.float32).reshape(rows, V, F)


def prototypes() -> torch.Tensor:
    return unit_rows(K, 7, F, torch.float32)


def go(loss: SwappedPredictionLoss, steps: range, *, part: slice = slice(None), rows: int = B) -> list[torch.Tensor]:
    """The loss of every step, whose embeddings are then pushed."""
    losses = []
    for step in steps:
        z = batch(step, rows)[part]
        losses.append(loss(z @ prototypes().T, z, prototypes()))
        loss.after_step()
    return losses


def test_it_is_filled_from_its_start_newest_first_in_whole_batches():
    queue = EmbeddingQueue(11, start=1)
    for step in range(5):
        assert queue.full == (step == 4 or step == 3)
        queue.push(batch(step)[:, :2].transpose(0, 1))
    assert queue.rows.shape == (2, 8, F)  # 11 holds two batches of four
    newest = torch.cat([batch(step)[:, :2].transpose(0, 1) for step in (4, 3)], dim=1)
    assert torch.equal(queue.rows, newest)
    for crop, scores in enumerate(queue.scores(prototypes())):
        torch.testing.assert_close(scores, newest[crop] @ prototypes().T)


def test_codes_come_from_the_queue_before_the_step_and_today_s_prototypes():
    loss = SwappedPredictionLoss(assign=(2, 0), queue_length=8)
    found = go(loss, range(4))
    for step, value in enumerate(found):
        scores = (batch(step) @ prototypes().T).unbind(dim=1)
        before = [torch.cat([batch(k)[:, crop] for k in (step - 1, step - 2)]) @ prototypes().T for crop in (2, 0)]
        expected = swapped_prediction_loss(scores, assign=(2, 0), queue=before if step > 1 else None)
        torch.testing.assert_close(value, expected)
    assert float(loss.diagnostics["queue_fill"]) == 1
    without = go(SwappedPredictionLoss(assign=(2, 0)), range(4))
    assert torch.equal(torch.stack(found[:2]), torch.stack(without[:2]))
    assert not torch.isclose(found[3], without[3])


def test_the_embeddings_of_a_step_that_was_left_out_are_not_pushed():
    loss = SwappedPredictionLoss(queue_length=4)
    z = batch(0)
    loss(z @ prototypes().T, z, prototypes())  # and no after_step()
    assert int(loss.queue.filled) == 0
    go(loss, range(1, 2))
    assert torch.equal(loss.queue.rows, batch(1)[:, :2].transpose(0, 1))


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_half_filled_queue_is_restored(stop):
    options = {"queue_length": 8, "queue_start": 1}
    whole, first, second = (MethodLoss(SwappedPredictionLoss(**options)) for _ in range(3))
    expected = go(whole.loss, range(6))[stop:]
    go(first.loss, range(stop))
    second.load_state_dict(first.state_dict())
    assert torch.equal(torch.stack(go(second.loss, range(stop, 6))), torch.stack(expected))


def test_without_a_queue_there_is_no_state():
    assert MethodLoss(SwappedPredictionLoss()).state_dict() == {}


def test_wrong_options_are_named(caplog):
    with pytest.raises(ValueError, match="queue_length must be >= 0, got -1"):
        SwappedPredictionLoss(queue_length=-1)
    with pytest.raises(ValueError, match="length must be >= 1 and start >= 0, got 3 and -1"):
        SwappedPredictionLoss(queue_length=3, queue_start=-1)
    with pytest.raises(ValueError, match="queue_length must be 0 or at least 4, the batch of all processes, got 3"):
        SwappedPredictionLoss(queue_length=3)(batch(0) @ prototypes().T, batch(0), prototypes())
    many = unit_rows(9, 1, F, torch.float32)
    with pytest.raises(ValueError, match="9 prototypes for 8 embeddings, 4 of the batch of all processes and 4 of the"):
        SwappedPredictionLoss(queue_length=4)(batch(0) @ many.T, batch(0), many)
    SwappedPredictionLoss(queue_length=4, few_embeddings="warn")(batch(0) @ many.T, batch(0), many)
    assert "9 prototypes for 8 embeddings" in caplog.text
    with pytest.raises(ValueError, match="few_embeddings must be error or warn, got 'no'"):
        SwappedPredictionLoss(few_embeddings="no")


def test_diagnostics_tell_even_codes_from_collapse():
    spread = torch.eye(K)[:, None].expand(K, 2, K)
    loss = SwappedPredictionLoss()
    loss(spread, spread, torch.eye(K))
    assert float(loss.diagnostics["code_perplexity"]) == pytest.approx(1, abs=1e-4)
    assert float(loss.diagnostics["prototypes_in_use"]) == K
    loss((spread[:1] / 2).expand(K, 2, K), spread, torch.eye(K))
    assert float(loss.diagnostics["code_perplexity"]) == pytest.approx(K, rel=1e-4)
    for name in ("prototype_mass_min", "prototype_mass_max"):
        assert float(loss.diagnostics[name]) == pytest.approx(1, rel=1e-4)


def divided(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD)
    loss = SwappedPredictionLoss(queue_length=2 * WORLD * B)
    losses = go(loss, range(4), part=slice(rank * B, (rank + 1) * B), rows=WORLD * B)
    torch.save((torch.stack(losses), loss.queue.rows), f"{folder}/rank{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def test_two_ranks_hold_one_queue_and_have_the_loss_of_one_process(tmp_path):
    run_ranks(divided, str(tmp_path))
    ranks = [torch.load(Path(tmp_path) / f"rank{rank}.pt", weights_only=True) for rank in range(WORLD)]
    one = SwappedPredictionLoss(queue_length=2 * WORLD * B)
    expected = torch.stack(go(one, range(4), rows=WORLD * B))
    torch.testing.assert_close((ranks[0][0] + ranks[1][0]) / WORLD, expected, rtol=0, atol=1e-6)
    for _, rows in ranks:
        assert torch.equal(rows, one.queue.rows)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_its_scores_are_not_rounded_under_autocast(dtype):
    queue = EmbeddingQueue(8)
    queue.push(batch(0, 8)[:, :2].transpose(0, 1))
    expected = queue.scores(prototypes())
    with torch.autocast("cpu", dtype=dtype):
        found = queue.scores(prototypes())
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize(("length", "filled"), [(4, 4), (8, 8), (16, 12)])
def test_a_queue_that_is_continued_with_another_length_has_it(length, filled):
    """The newest rows stay; a longer one is used when it is full."""
    first, second = EmbeddingQueue(8), EmbeddingQueue(length)
    for step in range(3):
        first.push(batch(step)[:, :2].transpose(0, 1))
    second.load_state_dict(first.state_dict())
    second.push(batch(3)[:, :2].transpose(0, 1))
    assert (second.rows.shape[1], int(second.filled), second.full) == (length, filled, length < 16)
    newest = torch.cat([batch(step)[:, :2].transpose(0, 1) for step in (3, 2, 1)], dim=1)[:, :filled]
    assert torch.equal(second.rows[:, :filled], newest)
    assert not second.rows[:, filled:].any()
