"""Files of weights, features and results that are damaged, foreign or dangerous."""

from __future__ import annotations

import json
from functools import lru_cache, partial
from io import BytesIO

import torch

from monai_cl.networks import MixCLNet
from tests.bad_input.case import Case
from tests.bad_input.cases_tables import features
from tests.bad_input.world import Maker, World, cut, flip
from tests.report.examples import segmentation

_row = partial(Case, "weights")


@lru_cache(maxsize=1)
def _model() -> bytes:
    """A tiny pre-trained network as a run leaves it."""
    network = MixCLNet(img_size=(32, 32, 32), feature_size=4, hidden_size=24, mlp_dim=48, num_heads=2)
    stream = BytesIO()
    torch.save(network.state_dict(), stream)
    return stream.getvalue()


def model(change=lambda raw: raw) -> Maker:
    """``model.pt``, its bytes changed."""

    def make(world: World) -> None:
        world.out.mkdir()  # the folder must exist; nothing may be written to it
        world.keep_out = True
        (world.root / "model.pt").write_bytes(change(_model()))

    return make


def saved(content) -> Maker:
    """``model.pt`` with another content."""

    def make(world: World) -> None:
        model()(world)
        torch.save(content, world.root / "model.pt")

    return make


class Bomb:
    """Unpickled, it writes a file."""

    def __reduce__(self):
        return (open, ("ran", "w"))


def _cut_features(world: World) -> None:
    features()(world)
    path = world.root / "features.npz"
    path.write_bytes(cut(0.7)(path.read_bytes()))


def _array(world: World) -> None:
    import numpy as np

    with (world.root / "features.npz").open("wb") as file:
        np.save(file, np.eye(3))


def results(change) -> Maker:
    """``run/results.json``, its text changed."""

    def make(world: World) -> None:
        (world.root / "run").mkdir()
        record = segmentation({"case_1": {"spleen": 0.8}})
        (world.root / "run" / "results.json").write_text(change(json.dumps(record)), encoding="utf-8")

    return make


def _without(key: str):
    def change(text: str) -> str:
        record = json.loads(text)
        del record[key]
        return json.dumps(record)

    return change


EXPORT = ("export_encoder",)
NOT_READABLE = ("model.pt", "not a readable PyTorch checkpoint")

WEIGHTS = [
    _row("a checkpoint that is not there", EXPORT, lambda world: None, ("model.pt", "no such checkpoint file")),
    _row("an empty checkpoint", EXPORT, model(lambda raw: b""), NOT_READABLE),
    _row("a checkpoint cut in the middle", EXPORT, model(cut(0.5)), NOT_READABLE),
    _row("a checkpoint with one bit changed in its weights", EXPORT, model(flip(0.5)), NOT_READABLE),
    _row("a web page saved as a checkpoint", EXPORT, model(lambda raw: b"<!DOCTYPE html>" * 50), NOT_READABLE),
    _row("a checkpoint with code in it", EXPORT, saved({"network": Bomb()}), NOT_READABLE),
    _row(
        "a checkpoint without tensors",
        EXPORT,
        saved({"epoch": 3}),
        ("model.pt", "expected a state dict (name → tensor)", "found no tensor in it"),
    ),
    _row(
        "a checkpoint of another network",
        EXPORT,
        saved({"conv.weight": torch.zeros(2)}),
        ("model.pt", "no UNETR encoder to export", "nothing under vit.*"),
    ),
    _row(
        "features cut in the middle",
        ("probe",),
        _cut_features,
        ("features.npz", "expected arrays as numpy.savez writes them", "found something else"),
    ),
    _row(
        "a bare array given as features",
        ("probe",),
        _array,
        ("features.npz", "expected the arrays features, patient, label", "write it with monai_cl.data.write_features"),
    ),
    _row(
        "a results.json cut in the middle",
        ("report",),
        results(lambda text: text[: len(text) // 2]),
        ("results.json", "expected JSON as a run writes it", "copy it again, or leave the folder of this run out"),
    ),
    _row(
        "a results.json without its seed",
        ("report",),
        results(_without("seed")),
        ("results.json", "seed: expected this required key", "was this file written by monai_cl?"),
    ),
    _row(
        "a results.json of another version",
        ("report",),
        results(lambda text: text.replace('"schema": 1', '"schema": 99')),
        ("results.json", "schema: expected 1", "was this file written by monai_cl?"),
    ),
    _row(
        "a folder without results",
        ("report",),
        lambda world: (world.root / "run").mkdir(),
        ("run", "results.json"),
    ),
]
