"""Weights as others save them: loaded wholly where the architecture is the same, otherwise the difference is named."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import UNETR

from monai_cl.engines import load_network
from monai_cl.errors import UserError
from monai_cl.networks import export_encoder, load_encoder, load_slice_encoder, slice_encoder
from monai_cl.networks.foreign.inspection import inspect_weights
from monai_cl.networks.foreign.reading import read_weights
from monai_cl.networks.transfer import encoder_weights

SIZES = {"feature_size": 4, "hidden_size": 24, "mlp_dim": 36, "num_heads": 2}
State = dict[str, torch.Tensor]


def unetr(seed: int = 1, size: int | tuple[int, ...] = 32, **changes: int) -> UNETR:
    torch.manual_seed(seed)
    return UNETR(in_channels=1, out_channels=2, img_size=size, **{**SIZES, **changes})


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def monai_1_5(state: State) -> State:
    """With the five tensors a block for cross attention that UNETR had up to MONAI 1.5.2 and never called."""
    hidden, names = SIZES["hidden_size"], ("out_proj.weight", "to_q.weight", "to_k.weight", "to_v.weight")
    blocks = [f"vit.blocks.{number}.cross_attn." for number in range(12)]
    unused = {block + name: torch.zeros(hidden, hidden) for block in blocks for name in names}
    return {**state, **unused, **{f"{block}out_proj.bias": torch.zeros(hidden) for block in blocks}}


def nnunet(state: State) -> dict[str, Any]:
    """The keys of nnU-Net v2's checkpoints, numbers of NumPy among them."""
    log = {"mean_fg_dice": [np.float64(0.5)], "epoch_start_timestamps": [1.0], "lrs": [np.float32(0.01)]}
    plans = {"plans": {"dataset_name": "Dataset001"}, "configuration": "3d_fullres", "fold": 0}
    return {
        "network_weights": state,
        "optimizer_state": {},
        "grad_scaler_state": None,
        "logging": log,
        "_best_ema": np.float64(0.5),
        "current_epoch": 3,
        "init_args": plans,
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }


ORIGINS: dict[str, Callable[[State], Any]] = {
    "plain": lambda state: state,
    "ddp": lambda state: under("module.", state),
    "compiled-in-ddp": lambda state: under("module._orig_mod.", state),
    "model_state_dict": lambda state: {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": {}},
    "lightning": lambda state: {"state_dict": under("model.", state), "pytorch-lightning_version": "2.1"},
    "lightning-with-a-loss": lambda state: {"state_dict": {**under("net.", state), "loss.weight": torch.ones(2)}},
    "net": lambda state: {"net": state},
    "suprem": lambda state: {"net": {**under("module.backbone.", state), "module.organ_embedding": torch.ones(32, 9)}},
    "nnunet": nnunet,
    "nnssl": lambda state: {"network_weights": state, "nnssl_adaptation_plan": {"architecture_plans": {}}},
    "numpy-scalar": lambda state: {"state_dict": state, "best_acc": np.float64(0.5), "counts": np.int64(3)},
    "averaged": lambda state: {"state_dict_ema": state, "epoch": 3},
    "deepspeed": lambda state: {"module": state, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}},
    "nested": lambda state: {"checkpoint": {"state_dict": state}, "epoch": 3},
    "beside-a-tensor": lambda state: {"weights": state, "rng_state": torch.zeros(9, dtype=torch.uint8)},
    "monai-1.5": monai_1_5,
    "monai-1.5-lightning": lambda state: {"state_dict": under("model.", monai_1_5(state))},
}


def saved(content: Any, tmp_path: Path) -> Path:
    torch.save(content, tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


@pytest.mark.parametrize("origin", ORIGINS)
def test_the_whole_network_is_loaded(origin, tmp_path):
    source, target = unetr().state_dict(), unetr(seed=2)
    load_network(target, saved(ORIGINS[origin](source), tmp_path))
    assert all(torch.equal(tensor, source[name]) for name, tensor in target.state_dict().items())


@pytest.mark.parametrize("origin", ORIGINS)
def test_the_encoder_is_loaded_and_exported(origin, tmp_path):
    source, target = unetr().state_dict(), unetr(seed=2)
    decoder = {name: tensor.clone() for name, tensor in target.state_dict().items() if name.startswith("decoder")}
    report = load_encoder(target, saved(ORIGINS[origin](source), tmp_path))
    expected, own = encoder_weights(source), target.state_dict()
    assert report.complete
    assert set(report.matched) == set(expected)
    assert all(torch.equal(own[name], tensor) for name, tensor in expected.items())
    assert all(torch.equal(own[name], tensor) for name, tensor in decoder.items())
    exported = torch.load(export_encoder(tmp_path / "weights.pt", tmp_path / "encoder.pt"), weights_only=True)
    assert all(torch.equal(exported[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("prefix", ["", "model.", "module.encoder.", "student.encoder."])
def test_an_encoder_of_slices_is_found_behind_any_prefix(prefix, tmp_path):
    torch.manual_seed(0)
    source, target = slice_encoder(width=0.125), slice_encoder(width=0.125)
    path = saved({"state_dict": under(prefix, source.state_dict())}, tmp_path)
    assert load_slice_encoder(target, path).parts == {"backbone": 10, "mean": 1, "std": 1}
    assert all(torch.equal(a, b) for a, b in zip(source.backbone.parameters(), target.backbone.parameters()))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"size": (32, 32, 48)}, "the file's network has patches 12, this one patches 8"),
        ({"hidden_size": 48}, "the file's network has hidden_size 48, this one hidden_size 24"),
        ({"feature_size": 8, "mlp_dim": 48}, "has feature_size 8, mlp_dim 48, this one feature_size 4, mlp_dim 36"),
    ],
)
def test_another_size_is_named_with_both_values(source, text, tmp_path):
    target, path = unetr(seed=2), saved(unetr(**source).state_dict(), tmp_path)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(UserError) as caught:
        load_encoder(target, path)
    assert text in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


def test_another_architecture_is_named(tmp_path):
    content = {"network_weights": {"encoder.stages.0.0.convs.0.conv.weight": torch.zeros(3, 3)}}
    looks = "its names are those of a convolutional encoder of nnU-Net"
    with pytest.raises(UserError, match=rf"nothing can be transferred .* {looks}"):
        load_encoder(unetr(), saved(content, tmp_path))


def test_a_whole_module_is_refused_by_its_class_with_what_to_do(tmp_path):
    path = saved(unetr(), tmp_path)
    with pytest.raises(UserError) as caught:
        load_encoder(unetr(), path)
    text = str(caught.value)
    assert "not a readable PyTorch checkpoint of plain tensors: it holds objects of " in text
    assert "monai.networks" in text
    assert "torch.save(network.state_dict(), 'weights.pt')" in text
    assert "Weights only load failed" not in text


def test_of_several_state_dicts_one_has_to_be_chosen_and_can_be(tmp_path):
    source = unetr().state_dict()
    teacher = {name: tensor + 1 for name, tensor in source.items()}
    path = saved({"teacher": teacher, "student": source, "epoch": 3}, tmp_path)
    with pytest.raises(UserError) as caught:
        load_encoder(unetr(seed=2), path)
    text = str(caught.value)
    assert f"found 2: student ({len(source)} tensors), teacher ({len(source)} tensors)" in text
    chosen = re.search(r"save the one to use alone: (torch\.save\(.*\))$", text)[1]
    exec(chosen.replace("'weights.pt'", f"'{tmp_path}/chosen.pt'"), {"torch": torch})
    assert torch.equal(read_weights(tmp_path / "chosen.pt")["vit.norm.bias"], source["vit.norm.bias"])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    state = unetr().state_dict()
    state["vit.norm.bias"][3] = value
    target = unetr(seed=2)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    for load in (load_encoder, load_network):
        with pytest.raises(UserError, match=r"expected finite weights, found nan or infinity in vit\.norm\.bias;"):
            load(target, saved(state, tmp_path))
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


@pytest.mark.parametrize(
    ("content", "kind", "remedy"),
    [
        (struct.pack("<Q", 2) + b"{}" + bytes(8), "a safetensors file", "safetensors.torch.load_file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS", "git lfs pull"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "an HDF5 file, as Keras writes", "of PyTorch"),
    ],
)
def test_a_file_of_another_library_is_named(tmp_path, content, kind, remedy):
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_encoder(unetr(), tmp_path / "weights.pt")
    assert f"found {kind}; " in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_named_and_its_weights_can_be_saved(tmp_path):
    path, source = tmp_path / "weights.pt", torch.nn.Linear(2, 2)
    torch.jit.save(torch.jit.trace(source, torch.ones(1, 2)), path)
    with pytest.raises(UserError) as caught:
        read_weights(path)
    command = re.search(r"; (torch\.save\(.*\))$", str(caught.value))[1]
    exec(command.replace("'weights.pt'", f"'{tmp_path}/plain.pt'"), {"torch": torch})
    assert torch.equal(read_weights(tmp_path / "plain.pt")["weight"], source.weight)


def test_a_checkpoint_without_a_state_dict_names_its_keys(tmp_path):
    with pytest.raises(UserError, match=r"found no tensor in it, nor under network, .* \(it has epoch, optimizer\)"):
        load_encoder(unetr(), saved({"epoch": 3, "optimizer": {}}, tmp_path))


@pytest.mark.parametrize(
    ("origin", "under_key", "prefix", "unused"),
    [
        ("plain", None, "", 0),
        ("lightning", "state_dict", "model.", 0),
        ("ddp", None, "module.", 0),
        ("nnunet", "network_weights", "", 0),
        ("monai-1.5", None, "", 60),
    ],
)
def test_a_foreign_file_is_described(origin, under_key, prefix, unused, tmp_path):
    source = unetr().state_dict()
    found = inspect_weights(saved(ORIGINS[origin](source), tmp_path))
    assert found["what"] == f"{'state dict' if under_key is None else 'checkpoint'} without a record"
    assert (found["under"], found["prefix"], found["unused"]) == (under_key, prefix, unused)
    assert found["looks_like"] == "UNETR of MONAI"
    sizes = {"in_channels": 1, "feature_size": 4, "hidden_size": 24, "mlp_dim": 36, "patches": 8}
    assert found["sizes"] == {"backbone": "unetr", **sizes}
    assert found["tensors"] == len(source) + unused
    assert found["parts"]["encoder1"] == 3
