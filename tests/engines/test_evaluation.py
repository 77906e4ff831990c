"""A trained network's weights, all of them or an error."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_cl.engines import load_network
from monai_cl.errors import UserError


def network(width: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, width), nn.Linear(width, 1))


def saved(tmp_path, content) -> str:
    path = tmp_path / "model.pt"
    torch.save(content, path)
    return str(path)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"network": s, "iteration": 3, "epoch": 1}])
def test_weights_come_from_a_model_or_a_checkpoint(tmp_path, wrap):
    source, target = network(), network()
    load_network(target, saved(tmp_path, wrap(source.state_dict())))
    x = torch.rand(4, 2)
    assert torch.equal(source(x), target(x))


def test_weights_of_a_wrapped_network_fit_the_bare_one(tmp_path):
    source, target = network(), network()
    load_network(target, saved(tmp_path, {f"module.{name}": t for name, t in source.state_dict().items()}))
    assert torch.equal(source[0].weight, target[0].weight)


def test_another_architecture_is_refused_and_the_network_is_unchanged(tmp_path):
    target = network()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(
        UserError, match=r"model\.pt: does not fit this network: 0\.weight \(5, 2\) for \(3, 2\)"
    ) as caught:
        load_network(target, saved(tmp_path, network(5).state_dict()))
    assert "feature_size" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


def test_missing_and_unknown_tensors_are_named_three_at_most(tmp_path):
    state = network().state_dict()
    state["more"] = state.pop("1.weight")
    with pytest.raises(UserError, match=r"1\.weight missing, more unknown;"):
        load_network(network(), saved(tmp_path, state))
    with pytest.raises(UserError, match=r"\(5 in all\)"):
        load_network(network(), saved(tmp_path, {"only": torch.zeros(1)}))


def test_a_missing_and_a_damaged_file_are_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.pt: no such checkpoint"):
        load_network(network(), tmp_path / "nothing.pt")
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match=r"cut\.pt: not a readable PyTorch checkpoint"):
        load_network(network(), tmp_path / "cut.pt")
