"""Checkpoints: what is kept, what is resumed, and what is refused."""

# ruff: noqa: NPY002 -- the global generators belong to a run's state
from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from monai_cl.engines import AddressedRandomness, Checkpoints
from monai_cl.engines.checkpoints import checkpoint_file
from monai_cl.engines.handlers.randomness import set_random_states
from monai_cl.errors import UserError
from tests.engines.runs import TinyRun, same


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_last_two_are_kept_and_the_end_becomes_the_model(tmp_path):
    run = TinyRun(tmp_path).go(epochs=4)
    assert names(tmp_path) == ["checkpoint_iteration=6.pt", "checkpoint_iteration=8.pt", "model.pt"]
    assert same(torch.load(tmp_path / "model.pt", weights_only=True), run.weights)


def test_newest_is_by_number_and_not_by_name(tmp_path):
    TinyRun(tmp_path).go(epochs=6)  # 8, 10, 12: "8" sorts last as text
    assert names(tmp_path) == ["checkpoint_iteration=10.pt", "checkpoint_iteration=12.pt", "model.pt"]


def test_the_model_is_that_of_the_best_validation(tmp_path):
    scores = [0.2, 0.7, 0.5]
    TinyRun(tmp_path, scores=scores, keep=3).go(epochs=3)
    best = torch.load(tmp_path / "checkpoint_iteration=4.pt", weights_only=True)
    assert same(torch.load(tmp_path / "model.pt", weights_only=True), best["network"])
    assert best["best_metric"] == 0.7


def test_the_best_between_two_checkpoints_is_the_model_too(tmp_path):
    reference = TinyRun(tmp_path / "reference").go(epochs=1)
    TinyRun(tmp_path / "run", scores=[0.9, 0.1], interval=2).go(epochs=2)
    assert same(torch.load(tmp_path / "run" / "model.pt", weights_only=True), reference.weights)


def test_without_a_valid_score_the_end_is_the_model(tmp_path):
    run = TinyRun(tmp_path, scores=[float("nan")] * 2).go(epochs=2)
    assert same(torch.load(tmp_path / "model.pt", weights_only=True), run.weights)


@pytest.mark.parametrize("scores", [None, [0.1, 0.4, 0.3, 0.5], [0.9, 0.4, 0.3, 0.2]])
def test_a_resumed_run_is_the_uninterrupted_run(tmp_path, scores):
    whole = TinyRun(tmp_path / "whole", scores=scores).go(epochs=4)
    TinyRun(tmp_path / "cut", scores=scores).go(epochs=2)
    resumed = TinyRun(tmp_path / "cut", scores=scores, seed=99).go(epochs=4)
    assert same(resumed.weights, whole.weights)
    assert resumed.seen == whole.seen[len(whole.seen) // 2 :]
    for name in ("model.pt", "checkpoint_iteration=8.pt"):
        one, other = (torch.load(tmp_path / f / name, weights_only=True) for f in ("whole", "cut"))
        assert str(one) == str(other)
    assert names(tmp_path / "cut") == names(tmp_path / "whole")


@pytest.mark.parametrize(("before", "after"), [(None, True), (True, None), (True, False)])
def test_a_run_continues_with_the_kernels_of_the_machine_it_is_on(tmp_path, before, after):
    whole = TinyRun(tmp_path / "whole").go(epochs=2)
    TinyRun(tmp_path / "cut", fused=before).go(epochs=1)
    resumed = TinyRun(tmp_path / "cut", fused=after).go(epochs=2)
    assert resumed.optimizer.param_groups[0]["fused"] is after
    assert all(torch.allclose(resumed.weights[name], whole.weights[name], atol=1e-6) for name in whole.weights)


def test_a_run_that_is_made_longer_trains_on_at_the_rates_of_its_new_length(tmp_path):
    TinyRun(tmp_path, iterations=4).go(epochs=2)
    longer = TinyRun(tmp_path, iterations=8)
    rates: list[float] = []
    longer.engine.add_event_handler("ITERATION_STARTED", lambda: rates.append(longer.schedule.get_last_lr()[0]))
    longer.optimizer.register_step_pre_hook(lambda *_: rates.append(longer.optimizer.param_groups[0]["lr"]))
    longer.go(epochs=4)
    expected = [0.1 * longer.schedule.lr_lambdas[0](step) for step in (4, 5, 6, 7)]
    assert rates == [rate for rate in expected for _ in range(2)]
    assert expected[0] == pytest.approx(0.05)


def test_a_worse_score_after_a_resume_does_not_replace_the_model(tmp_path):
    TinyRun(tmp_path, scores=[0.9]).go(epochs=1)
    best = (tmp_path / "model.pt").read_bytes()
    TinyRun(tmp_path, scores=[0.9, 0.3]).go(epochs=2)
    assert (tmp_path / "model.pt").read_bytes() == best


def test_a_finished_run_started_again_trains_no_further(tmp_path):
    weights = TinyRun(tmp_path).go(epochs=2).weights
    again = TinyRun(tmp_path, seed=99).go(epochs=2)
    assert again.seen == []
    assert same(again.weights, weights)


def test_auto_in_an_empty_or_new_folder_starts_afresh(tmp_path):
    (tmp_path / "empty").mkdir()
    empty, new = TinyRun(tmp_path / "empty").go(epochs=1), TinyRun(tmp_path / "new" / "deep").go(epochs=1)
    assert empty.seen == new.seen == [0, 1, 2, 3]


def test_a_named_checkpoint_is_resumed_into_another_folder(tmp_path):
    whole = TinyRun(tmp_path / "whole", keep=9).go(epochs=3)
    resumed = TinyRun(tmp_path / "other", resume=str(tmp_path / "whole" / "checkpoint_iteration=2.pt")).go(epochs=3)
    assert same(resumed.weights, whole.weights)


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_named_checkpoint_is_not_resumed_into_the_folder_of_another_run(tmp_path, epochs):
    TinyRun(tmp_path / "whole").go(epochs=2)
    TinyRun(tmp_path / "other").go(epochs=epochs)  # behind and beyond the one that is named
    before = contents(tmp_path / "other")
    with pytest.raises(UserError, match=r"other.*iteration=\d\.pt: .* another run .*choose another --output_dir"):
        TinyRun(tmp_path / "other", resume=str(tmp_path / "whole" / "checkpoint_iteration=4.pt")).go(epochs=3)
    assert contents(tmp_path / "other") == before


def test_an_older_checkpoint_of_the_same_folder_is_resumed_only_once_the_newer_are_moved_away(tmp_path, monkeypatch):
    whole = TinyRun(tmp_path / "run", keep=3).go(epochs=3)
    before = contents(tmp_path / "run")
    monkeypatch.chdir(tmp_path)  # another way to write the folder
    named = "run/checkpoint_iteration=2.pt"
    with pytest.raises(UserError, match=r"iteration=6\.pt: newer than .*iteration=2\.pt.*move .* away"):
        TinyRun(tmp_path / "run", resume=named, keep=3).go(epochs=3)
    assert contents(tmp_path / "run") == before
    for iteration in (4, 6):
        (tmp_path / "run" / f"checkpoint_iteration={iteration}.pt").unlink()
    again = TinyRun(tmp_path / "run", resume=named, keep=3).go(epochs=3)
    assert again.seen == list(range(4, 12))
    assert same(again.weights, whole.weights)


def test_the_best_model_so_far_comes_along_into_another_folder(tmp_path):
    TinyRun(tmp_path / "whole", scores=[0.3, 0.9]).go(epochs=2)
    named = str(tmp_path / "whole" / "checkpoint_iteration=4.pt")
    TinyRun(tmp_path / "other", scores=[0, 0, 0.5], resume=named).go(epochs=3)
    assert (tmp_path / "other" / "model.pt").read_bytes() == (tmp_path / "whole" / "model.pt").read_bytes()
    content = torch.load(tmp_path / "other" / "checkpoint_iteration=6.pt", weights_only=True)
    assert (content["best_metric"], content["best_metric_epoch"]) == (0.9, 2)


class Best:
    """A record of a run's best."""

    def __init__(self, best: float | None = None) -> None:
        self.best = best

    def state_dict(self) -> dict:
        return {"best": self.best}

    def load_state_dict(self, state: dict) -> None:
        self.best = state["best"]

    def forget_best(self) -> None:
        self.best = None


@pytest.mark.parametrize("gone", ["lost", "replaced by a later one"])
def test_a_best_model_that_cannot_come_along_counts_no_more(tmp_path, caplog, gone):
    first = TinyRun(tmp_path / "whole", scores=[0.9, 0.3, 0.95], keep=9)
    first.checkpoints.save["recorder"] = Best(0.9)
    first.go(epochs=2 if gone == "lost" else 3)
    if gone == "lost":
        (tmp_path / "whole" / "model.pt").unlink()
    named = str(tmp_path / "whole" / "checkpoint_iteration=4.pt")
    run = TinyRun(tmp_path / "other", scores=[0, 0, 0.5, 0.4], keep=9, resume=named)
    run.checkpoints.save["recorder"] = record = Best()
    run.go(epochs=4)
    assert "the best model so far (0.9, of epoch 1) is not" in caplog.text
    assert record.best is None
    best = torch.load(tmp_path / "other" / "checkpoint_iteration=6.pt", weights_only=True)
    assert (best["best_metric"], best["best_metric_epoch"]) == (0.5, 3)
    assert same(torch.load(tmp_path / "other" / "model.pt", weights_only=True), best["network"])


def test_a_resumed_run_that_lost_its_model_still_ends_with_one(tmp_path):
    TinyRun(tmp_path, scores=[0.9, 0.3]).go(epochs=2)
    (tmp_path / "model.pt").unlink()
    run = TinyRun(tmp_path, scores=[0, 0, 0.2]).go(epochs=3)
    assert same(torch.load(tmp_path / "model.pt", weights_only=True), run.weights)


def test_a_checkpoint_without_its_epoch_length_is_none_of_a_run(tmp_path):
    torch.save({"network": {}, "iteration": 4, "epoch": 2}, tmp_path / "old.pt")
    with pytest.raises(UserError, match=r"old\.pt: expected a run's checkpoint with network.* and epoch_length"):
        TinyRun(tmp_path / "run", resume=str(tmp_path / "old.pt")).go(epochs=3)


@pytest.mark.parametrize("resume", ["none", "None", None, ""])
def test_a_second_fresh_run_in_a_folder_is_refused_and_nothing_is_lost(tmp_path, resume):
    TinyRun(tmp_path).go(epochs=2)
    before = contents(tmp_path)
    with pytest.raises(UserError, match=r"checkpoint_iteration=4\.pt: .*--resume auto.*--output_dir"):
        TinyRun(tmp_path, resume=resume).go(epochs=2)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other", "flipped"])
def test_a_damaged_newest_is_named_and_the_one_before_is_used(tmp_path, caplog, damage):
    whole = TinyRun(tmp_path / "whole").go(epochs=3)
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    newest = tmp_path / "run" / "checkpoint_iteration=6.pt"
    if damage == "other":
        torch.save({"weights": torch.zeros(2)}, newest)
    else:
        whole_file = newest.read_bytes()
        # one bit of one weight: torch.load would take it
        weight = bytes(torch.load(newest, weights_only=True)["network"]["weight"].numpy().tobytes())
        place = whole_file.index(weight)
        flipped = whole_file[:place] + bytes([whole_file[place] ^ 1]) + whole_file[place + 1 :]
        newest.write_bytes({"cut": whole_file[:300], "empty": b"", "text": b"hello", "flipped": flipped}[damage])
    resumed = TinyRun(tmp_path / "run", seed=99).go(epochs=3)
    assert same(resumed.weights, whole.weights)
    assert resumed.seen == [8, 9, 10, 11]
    assert any(str(newest) in message and "before it" in message for message in caplog.messages)
    assert (tmp_path / "run" / "checkpoint_iteration=6.pt.damaged").is_file()
    assert len(list((tmp_path / "run").glob("checkpoint_iteration=*.pt"))) == 2


def test_only_damaged_checkpoints_are_an_error_and_not_a_fresh_start(tmp_path):
    TinyRun(tmp_path).go(epochs=2)
    for path in tmp_path.glob("checkpoint*"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=f"{tmp_path}: none of its 2 checkpoints can be read"):
        TinyRun(tmp_path).go(epochs=3)


def test_a_checkpoint_of_another_architecture_is_refused_in_one_line(tmp_path):
    TinyRun(tmp_path).go(epochs=1)
    with pytest.raises(UserError, match=r"checkpoint_iteration=2\.pt: its network does not fit") as caught:
        TinyRun(tmp_path, features=5).go(epochs=2)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_kind_of_run_is_refused(tmp_path):
    TinyRun(tmp_path).go(epochs=1)
    run = TinyRun(tmp_path)
    run.checkpoints.save["recorder"] = run.schedule
    with pytest.raises(UserError, match="has no 'recorder'"):
        run.go(epochs=2)


def test_another_number_of_samples_per_step_is_reported(tmp_path, caplog):
    TinyRun(tmp_path).go(epochs=1)
    same = TinyRun(tmp_path)
    same.sampler.batch_size, same.sampler.world_size = 1, 2  # two processes of half the batch take the same samples
    same.go(epochs=2)
    assert "samples per step" not in caplog.text
    other = TinyRun(tmp_path)
    other.sampler.world_size = 3
    other.go(epochs=3)
    assert "of 2 samples per step (processes x batch_size), this one takes 6" in caplog.text


def test_another_epoch_length_is_refused(tmp_path):
    TinyRun(tmp_path).go(epochs=1)
    with pytest.raises(UserError, match="epoch_length=3; resume with the epoch_length it was started with"):
        TinyRun(tmp_path).go(epochs=2, epoch_length=3)


def test_a_named_checkpoint_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.pt: no such checkpoint"):
        TinyRun(tmp_path / "run", resume=str(tmp_path / "nothing.pt")).go(epochs=1)
    assert not (tmp_path / "run").exists()


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    TinyRun(tmp_path).go(epochs=2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(content, stream):
        stream.write(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_file.torch, "save", full)
    with pytest.raises(UserError, match=r"iteration=6\.pt: .*No space left.*iteration=4\.pt.*--resume auto continues"):
        TinyRun(tmp_path).go(epochs=3)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_appears_by_a_rename_when_it_is_whole(tmp_path, monkeypatch):
    renamed = []

    def rename(source, target):
        assert not target.exists()  # a partial file never has the final name
        torch.load(source, weights_only=True)
        renamed.append(target.name)
        source.rename(target)

    monkeypatch.setattr(checkpoint_file.os, "replace", rename)
    TinyRun(tmp_path).go(epochs=1)
    assert renamed == ["checkpoint_iteration=2.pt", "model.pt"]
    assert names(tmp_path) == renamed


def test_an_interval_that_skips_the_end_still_saves_the_end(tmp_path):
    TinyRun(tmp_path, interval=2).go(epochs=3)
    assert names(tmp_path) == ["checkpoint_iteration=4.pt", "checkpoint_iteration=6.pt", "model.pt"]


def test_a_folder_that_cannot_be_made_is_the_users_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/run: cannot be created .*--output_dir"):
        TinyRun(tmp_path / "file" / "run").go(epochs=1)


def test_only_the_writer_writes(tmp_path):
    TinyRun(tmp_path / "run", is_writer=False).go(epochs=2)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 0}, "keep_checkpoints: expected a whole number from 1, found 0"),
        ({"keep": 1.5}, "keep_checkpoints: expected a whole number from 1, found 1.5"),
        ({"interval": 0}, "interval must be >= 1, got 0"),
    ],
)
def test_numbers_below_one_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        TinyRun(tmp_path, **options)


def test_a_network_must_be_saved(tmp_path):
    with pytest.raises(ValueError, match="save must hold 'network'"):
        Checkpoints(save={}, output_dir=tmp_path)


class Queue(torch.nn.Module):
    """A loss that remembers, as a queue of embeddings does."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("queue", torch.zeros(3))


def test_buffers_of_the_loss_are_saved_and_restored(tmp_path):
    run = TinyRun(tmp_path)
    run.engine.loss_function = Queue()
    run.engine.loss_function.queue += 7
    run.go(epochs=1)
    resumed = TinyRun(tmp_path)
    resumed.engine.loss_function = Queue()
    resumed.go(epochs=2)
    assert torch.equal(resumed.engine.loss_function.queue, torch.full((3,), 7.0))


def test_the_state_of_a_loss_scaler_is_saved_and_restored(tmp_path):
    run, resumed = TinyRun(tmp_path), TinyRun(tmp_path)
    run.engine.scaler = torch.amp.GradScaler("cpu", init_scale=32.0)
    run.go(epochs=1)
    resumed.engine.scaler = torch.amp.GradScaler("cpu")
    resumed.go(epochs=2)
    assert resumed.engine.scaler.state_dict() == run.engine.scaler.state_dict()
    assert resumed.engine.scaler.get_scale() == 32.0


def test_generators_continue_where_they_were(tmp_path):
    run = TinyRun(tmp_path)
    run.engine.add_event_handler("EPOCH_COMPLETED", lambda: (random.random(), np.random.rand(), torch.rand(1)))
    run.go(epochs=1)
    states = torch.load(tmp_path / "checkpoint_iteration=2.pt", weights_only=True)["random"]
    set_random_states(states)
    expected = random.random(), np.random.rand(), float(torch.rand(1))
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    set_random_states(states)
    assert (random.random(), np.random.rand(), float(torch.rand(1))) == expected


def test_the_step_s_randomness_reaches_every_generator():
    def draws(waste: int) -> list[float]:
        found: list[float] = []
        engine = Engine(lambda engine, batch: found.extend((random.random(), np.random.rand(), float(torch.rand(1)))))
        AddressedRandomness(seed=3).attach(engine)
        engine.add_event_handler(
            "ITERATION_COMPLETED", lambda: [random.random() + np.random.rand() for _ in range(waste)]
        )
        engine.run(range(3))
        return found

    assert draws(0) == draws(5)
    assert len(set(draws(0))) == 9


def test_a_resumed_run_may_keep_another_number_and_is_the_same_run(tmp_path):
    whole = TinyRun(tmp_path / "whole").go(epochs=6)
    TinyRun(tmp_path / "run", keep=3).go(epochs=3)
    assert len(names(tmp_path / "run")) == 4  # and the model
    TinyRun(tmp_path / "run", keep=4).go(epochs=5)
    assert [name for name in names(tmp_path / "run") if "=" in name] == sorted(
        f"checkpoint_iteration={iteration}.pt" for iteration in (4, 6, 8, 10)
    )
    resumed = TinyRun(tmp_path / "run", keep=1).go(epochs=6)
    assert names(tmp_path / "run") == ["checkpoint_iteration=12.pt", "model.pt"]
    assert same(resumed.weights, whole.weights)
