"""Collapse is measured, logged, and warned of once."""

from __future__ import annotations

import logging
import math
from itertools import permutations

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from monai_cl.engines import Checkpoints
from monai_cl.engines.handlers.collapse import CollapseWatch, mean_cosine
from tests.oracles import cosine

WATCHED = "monai_cl.engines.handlers.collapse"


class Curves:
    """A recorder's `add`, and nothing else."""

    def __init__(self) -> None:
        self.points: dict[str, list[tuple[int, float]]] = {}
        self.curves = self.points

    def add(self, name: str, iteration: int, value: float) -> None:
        self.points.setdefault(name, []).append((iteration, value))


def run(watch: CollapseWatch, steps: list[torch.Tensor]) -> None:
    """A trainer whose network gives these embeddings, one per step."""
    engine = Engine(lambda _, z: {"pred": {"embedding": z, "representation": z.flatten(0, 1)[:, :3]}})
    watch.attach(engine)
    engine.run(steps)


def spread() -> torch.Tensor:
    return torch.randn(16, 2, 8, generator=torch.Generator().manual_seed(0))


def collapsed() -> torch.Tensor:
    return torch.ones(16, 2, 8) + 1e-3 * spread()


def test_mean_cosine_of_stated_angles():
    same = torch.tensor([[1.0, 0.0], [5.0, 0.0], [0.1, 0.0]])
    assert mean_cosine(same) == pytest.approx(1, abs=1e-12)
    assert mean_cosine(torch.eye(4)) == pytest.approx(0, abs=1e-12)
    assert mean_cosine(torch.tensor([[1.0, 0.0], [-2.0, 0.0]])) == pytest.approx(-1, abs=1e-12)
    third = torch.tensor([[1.0, 0.0], [math.cos(1.0), math.sin(1.0)]])
    assert mean_cosine(third) == pytest.approx(math.cos(1.0), abs=1e-6)


def test_mean_cosine_is_the_mean_over_pairs():
    z = spread().flatten(0, 1)[:9]
    expected = np.mean([cosine(a.double().numpy(), b.double().numpy()) for a, b in permutations(z, 2)])
    assert mean_cosine(z) == pytest.approx(expected, abs=1e-7)


def test_mean_cosine_needs_two_rows():
    with pytest.raises(ValueError, match=r"embeddings must be \(n, F\) with n >= 2, got \(1, 3\)"):
        mean_cosine(torch.zeros(1, 3))


def impatient(grace: int, *, lasting: int = 1, **options) -> CollapseWatch:
    watch = CollapseWatch(**options)
    watch.grace, watch.lasting = grace, lasting
    return watch


def test_curves_are_logged_for_each_output(caplog):
    recorder = Curves()
    with caplog.at_level(logging.WARNING, logger=WATCHED):
        run(impatient(0, recorder=recorder, every=2), [spread()] * 6)
    assert not caplog.records
    assert set(recorder.points) == {
        "mean_cosine/embedding",
        "effective_rank/embedding",
        "mean_cosine/representation",
        "effective_rank/representation",
    }
    assert [iteration for iteration, _ in recorder.points["mean_cosine/embedding"]] == [2, 4, 6]
    assert abs(recorder.points["mean_cosine/embedding"][0][1]) < 0.1
    assert 6 < recorder.points["effective_rank/embedding"][0][1] <= 8
    assert recorder.points["effective_rank/representation"][0][1] <= 3


def test_collapse_is_warned_of_once(caplog):
    with caplog.at_level(logging.WARNING, logger=WATCHED):
        run(impatient(2, every=1), [collapsed()] * 8)
    assert len(caplog.records) == 1
    message = caplog.records[0].getMessage()
    assert message.startswith("the embeddings have collapsed: at iteration 3 their mean cosine is 1.0000 (above 0.99)")


def test_a_resumed_run_does_not_warn_again(tmp_path, caplog):
    for epochs in (1, 2):
        engine = Engine(lambda _, z: {"pred": {"embedding": z}})
        impatient(2, keys=("embedding",), every=1).attach(engine)
        Checkpoints(save={"network": torch.nn.Linear(1, 1)}, output_dir=tmp_path).attach(engine)
        engine.run([collapsed()] * 4, max_epochs=epochs)
    assert engine.state.iteration == 8
    assert caplog.text.count("have collapsed") == 1


def test_embeddings_that_are_not_numbers_are_not_a_collapse(caplog):
    watch = impatient(0, every=1)
    run(watch, [torch.full((4, 2, 8), torch.nan)])
    assert "collapsed" not in caplog.text
    run(watch, [collapsed()])
    assert "collapsed" in caplog.text  # its one warning was not used up


def test_a_collapsed_start_that_spreads_out_is_not_a_collapse(caplog):
    with caplog.at_level(logging.WARNING, logger=WATCHED):
        run(impatient(3, every=1), [collapsed()] * 3 + [spread()] * 5)
    assert not caplog.records


def test_wrong_options_are_named():
    for options, message in (
        ({"every": 0}, "every must be >= 1, got 0"),
        ({"keys": ()}, "keys must name at least one output"),
    ):
        with pytest.raises(ValueError, match=message):
            CollapseWatch(**options)


def test_a_batch_that_comes_close_in_passing_is_not_a_collapse(tmp_path, caplog):
    steps = [collapsed()] * 2 + [spread()] + [collapsed()] * 2 + [spread()]
    with caplog.at_level(logging.WARNING, logger=WATCHED):
        run(impatient(0, lasting=3, every=1), steps)
    assert not caplog.records
    # two before and one behind a resumption are three
    for epochs in (1, 2):
        engine = Engine(lambda _, z: {"pred": {"embedding": z}})
        impatient(0, lasting=3, keys=("embedding",), every=1).attach(engine)
        Checkpoints(save={"network": torch.nn.Linear(1, 1)}, output_dir=tmp_path).attach(engine)
        engine.run([collapsed()] * 2, max_epochs=epochs)
        assert caplog.text.count("have collapsed") == epochs - 1
    assert "at iteration 3 their mean cosine" in caplog.text
