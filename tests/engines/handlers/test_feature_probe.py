"""A probe while training: its points, what it leaves as it was, and lists that cannot be probed."""

from __future__ import annotations

import logging

import pytest
import torch
from ignite.engine import Engine

from monai_cl.data import load_data_list
from monai_cl.engines import FeatureProbe, list_slices
from monai_cl.errors import UserError
from tests.engines.handlers.test_collapse import Curves
from tests.engines.slice_lists import write_list


class Means(torch.nn.Module):
    """Features of a slice: its mean in some columns, and dropout that a probe must not see."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = torch.nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += len(images)
        return self.dropout(images.mean((1, 2)))


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    data_list = load_data_list(write_list(folder, [0, 1, 0, 1, 0, 1, None]))
    return list_slices(data_list, store=folder / "store", size=24)


def run(slices, network: torch.nn.Module, *, iterations: int, epochs: int, **options) -> Curves:
    curves = Curves()
    engine = Engine(lambda *_: None)
    engine.state.device = torch.device("cpu")
    FeatureProbe(network, slices, recorder=curves, **options).attach(engine)
    curves.ended = engine.run(range(1000), max_epochs=epochs, epoch_length=iterations).iteration
    return curves


def test_it_measures_every_few_epochs_and_leaves_everything_as_it_was(slices):
    network = Means().train()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    curves = run(slices, network, iterations=5, epochs=6, every=2, count=12)
    assert torch.equal(torch.get_rng_state(), before)
    assert network.training
    assert network.dropout.training
    assert set(curves.points) == {"probe/neighbours", "probe/linear"}
    for points in curves.points.values():
        assert [iteration for iteration, _ in points] == [10, 20, 30]
        assert len({value for _, value in points}) == 1  # always the same slices
        assert 0 <= points[0][1] <= 1
    assert network.calls == 3 * 12


def test_features_that_tell_the_class_are_seen_to_do_so(slices):
    class Answer(torch.nn.Module):
        """The answer for slices in the order in which the probe asks for them."""

        def represent(self, images: torch.Tensor) -> torch.Tensor:
            labels = [slices[i]["label"] for i, target in enumerate(slices.targets) if target is not None]
            return torch.nn.functional.one_hot(torch.tensor(labels), 3).float()[:, :2]

    curves = run(slices, Answer(), iterations=1, epochs=1, every=1)
    assert {name: points[0][1] for name, points in curves.points.items()} == {"probe/neighbours": 1, "probe/linear": 1}


def test_without_enough_patients_of_known_classes_it_says_so_and_measures_nothing(tmp_path, caplog):
    data_list = load_data_list(write_list(tmp_path, [0, 1, 0, None]))
    few = list_slices(data_list, store=tmp_path / "store", size=24)
    with caplog.at_level(logging.WARNING):
        curves = run(few, Means(), iterations=2, epochs=2, every=1)
    assert curves.points == {}
    assert "it needs two classes with two patients each, the list has {0: 2, 1: 1}" in caplog.text


def test_switched_off_it_does_nothing(slices):
    network = Means()
    assert run(slices, network, iterations=2, epochs=2, every=0).points == {}
    assert network.calls == 0
    with pytest.raises(ValueError, match="every must be >= 0"):
        FeatureProbe(network, slices, recorder=Curves(), every=-1)


class Rising(torch.nn.Module):
    """Features that say nothing, but for the probe of some number, which get the classes right."""

    def __init__(self, slices, *, right: int) -> None:
        super().__init__()
        labels = [slices[i]["label"] for i, target in enumerate(slices.targets) if target is not None]
        self.answer = torch.nn.functional.one_hot(torch.tensor(labels), 2).float()
        self.right, self.probes = right, 0

    def represent(self, images: torch.Tensor) -> torch.Tensor:
        self.probes += 1
        return self.answer if self.probes == self.right else torch.zeros_like(self.answer)


@pytest.mark.parametrize(("patience", "probes"), [(1, 2), (2, 5), (3, 6), (9, 9)])
def test_it_ends_the_run_where_the_linear_probe_has_not_become_better_for_so_many_probes(
    slices, patience, probes, caplog
):
    """The third is the best, the first as good as the second."""
    with caplog.at_level(logging.INFO):
        curves = run(slices, Rising(slices, right=3), iterations=2, epochs=9, every=1, patience=patience)
    assert len(curves.points["probe/linear"]) == probes
    assert curves.ended == 2 * probes
    assert ("the linear probe was best at iteration" in caplog.text) == (probes < 9)
    assert ("best at iteration 6 (1.000), " in caplog.text) == (3 < probes < 9)


@pytest.mark.parametrize("options", [{"every": 0, "patience": 2}, {"every": 1, "patience": -1}])
def test_a_patience_without_probes_is_refused(slices, options):
    with pytest.raises(UserError, match=r"probe_patience: expected 0, or probes without a better one .* --probe_every"):
        FeatureProbe(Means(), slices, recorder=Curves(), **options)
