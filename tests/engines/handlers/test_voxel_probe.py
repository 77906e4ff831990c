"""The probe of voxels while a pre-training runs: what it knows of organs, what it leaves as it was, few labels."""

from __future__ import annotations

import logging

import pytest
import torch
from ignite.engine import Engine

from monai_cl.data import MixCLPatches
from monai_cl.engines import VoxelProbe
from monai_cl.networks import MixCLNet
from tests.data.memory_store import MemoryStore, small_case
from tests.engines.handlers.test_collapse import Curves

DATASETS = {"liver": ["a", "b", "c", "d"], "kidney": ["e", "f"], "bare": ["g"]}
CLASSES = {"a": (1, 2), "b": (1, 2), "c": (1, 2), "d": (1, 2), "e": (1,), "f": (1,), "g": ()}


def patches(classes=CLASSES, datasets=DATASETS, **options) -> MixCLPatches:
    cases = {key: small_case(n, classes=its) for n, (key, its) in enumerate(classes.items())}
    for image, label in cases.values():  # each organ has its own intensity
        image[label > 0] = 60 * label[label > 0].astype(int) + 100
    store = MemoryStore(cases)
    own = {"patch_size": 32, "seed": 3, "voxels_per_class": 8, "foreground_probability": 1.0, **options}
    return MixCLPatches(store, datasets, **own)


def network() -> MixCLNet:
    torch.manual_seed(0)
    return MixCLNet(backbone="segresnet", img_size=32, feature_size=8, levels=[1])


def run(net, of, *, epochs: int = 2, **options) -> Curves:
    curves, engine = Curves(), Engine(lambda *_: None)
    engine.state.device = torch.device("cpu")
    VoxelProbe(net, of, recorder=curves, **{"every": 1, **options}).attach(engine)
    curves.ended = engine.run(range(100), max_epochs=epochs, epoch_length=3).iteration
    return curves


class Intensities(torch.nn.Module):
    """Stands for an encoder: the intensity of a voxel, in three columns, or noise."""

    def __init__(self, noise: bool = False) -> None:
        super().__init__()
        self.noise = noise
        self.asked: list[torch.Tensor] = []

    @property
    def within(self) -> Intensities:
        return self

    backbone = within

    def encode(self, within, images, levels):
        assert levels == [1]
        assert not self.training
        self.asked.append(images.clone())
        half = images[..., 1::2, 1::2, 1::2]
        if self.noise:
            half = torch.rand(half.shape, generator=torch.Generator().manual_seed(len(self.asked)))
        return [torch.cat([half, half.square(), torch.ones_like(half)], dim=1)]


def test_it_measures_every_few_epochs_and_leaves_everything_as_it_was():
    net, of = network().train(), patches()
    before, weights = torch.get_rng_state(), {name: its.clone() for name, its in net.state_dict().items()}
    curves = run(net, of, epochs=4, every=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert net.training
    assert all(torch.equal(its, weights[name]) for name, its in net.state_dict().items())
    assert set(curves.points) == {"probe/neighbours", "probe/linear"}
    for points in curves.points.values():
        assert [iteration for iteration, _ in points] == [6, 12]
        assert len({value for _, value in points}) == 1  # always the same voxels
        assert 0 <= points[0][1] <= 1


def test_the_scans_are_of_the_data_set_with_most_labels_and_no_pair_of_the_training_changes():
    of = patches()
    first = of[5]
    net = Intensities()
    run(net, of, epochs=1)
    assert len(net.asked) == 4
    assert all(images.shape == (1, 1, 32, 32, 32) for images in net.asked)
    for name, value in of[5].items():
        assert torch.equal(value, first[name]) if isinstance(value, torch.Tensor) else value == first[name]
    assert len(run(Intensities(), of, epochs=1, count=4).points["probe/linear"]) == 1


def test_the_features_compared_are_those_of_the_voxels_whose_organs_are_named():
    of = patches(elastic_probability=0, affine_probability=0)
    probe = VoxelProbe(Intensities(), of, recorder=Curves(), every=1)
    probe._choose(Engine(lambda *_: None))
    features, organs, learning = probe._features("cpu")
    assert features.shape == (len(organs), 3)
    assert set(organs.tolist()) == {0, 1, 2}
    assert 0 < learning.sum() < len(learning)
    for organ, hu in ((1, 160), (2, 220)):
        expected = torch.full((int((organs == organ).sum()),), (hu + 150) / 400)
        torch.testing.assert_close(torch.from_numpy(features[organs == organ, 0]), expected)


def test_features_that_know_the_organ_are_told_from_noise():
    of = patches(elastic_probability=0, affine_probability=0)
    knows, noise = (run(Intensities(noise), of, epochs=1).points for noise in (False, True))
    assert knows["probe/neighbours"][0][1] > noise["probe/neighbours"][0][1] + 0.2
    assert knows["probe/linear"][0][1] > noise["probe/linear"][0][1] + 0.2


@pytest.mark.parametrize(
    ("classes", "datasets"),
    [
        ({"a": (), "b": ()}, {"bare": ["a", "b"]}),
        ({"a": (1,), "b": ()}, {"one": ["a", "b"]}),
        ({"a": (1,), "b": (1,)}, {"one": ["a"], "other": ["b"]}),
    ],
)
def test_without_labels_of_two_patients_of_a_data_set_it_says_so_and_measures_nothing(classes, datasets, caplog):
    of = patches(classes, datasets)
    with caplog.at_level(logging.WARNING):
        curves = run(Intensities(), of)
    assert curves.points == {}
    assert "labels of two patients of one data set" in caplog.text


def test_patience_needs_probes():
    with pytest.raises(ValueError, match="probe_patience"):
        VoxelProbe(network(), patches(), recorder=Curves(), every=0, patience=2)
