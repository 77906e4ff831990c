"""`encoder show`: what a file of weights is, for people and for programs."""

from __future__ import annotations

import json

import pytest
import torch

from monai_cl.cli.commands import main
from monai_cl.networks import MixCLNet, describe_network, export_encoder, save_weights

RECORD = {
    "kind": "pretraining",
    "bundle": "mixcl_ct_pretraining",
    "preset": "hybrid",
    "preprocessing": {"spacing": [5.0, 5.0, 5.0], "window": [-150.0, 250.0], "modality": "CT"},
    "training": {"data_lists": [{"name": "abdomen", "cases": 7}], "iterations": 40, "seed": 3, "versions": {}},
}


@pytest.fixture
def model(tmp_path):
    network = MixCLNet(img_size=32, feature_size=4, hidden_size=24, mlp_dim=36, num_heads=2)
    return save_weights(network.state_dict(), tmp_path / "model.pt", {**RECORD, "network": describe_network(network)})


def shown(capsys, *words) -> str:
    main(["encoder", "show", *map(str, words)])
    return capsys.readouterr().out


def test_a_model_says_what_it_needs_and_where_it_is_from(model, capsys):
    text = shown(capsys, model)
    assert text.startswith(f"{model}: model (pretraining)")
    for line in (
        "spacing      5.0, 5.0, 5.0",
        "num_heads    2",
        "trained on     abdomen (7 scans)",
        "iterations     40",
    ):
        assert line in text


def test_an_encoder_and_a_checkpoint_are_told_apart(model, tmp_path, capsys):
    encoder = export_encoder(model, tmp_path / "encoder.pt")
    assert shown(capsys, encoder).startswith(f"{encoder}: encoder\n")
    content = {"network": torch.load(model, weights_only=True), "iteration": 1, "epoch": 1, "epoch_length": 1}
    checkpoint = save_weights(content, tmp_path / "checkpoint_iteration=1.pt", RECORD)
    assert f"{checkpoint}: checkpoint of a run (pretraining)" in shown(capsys, checkpoint)


def test_programs_get_the_whole_record(model, capsys):
    found = json.loads(shown(capsys, model, "--json"))
    assert found["what"] == "model"
    assert found["record"]["preprocessing"] == RECORD["preprocessing"]
    assert found["record"]["network"]["arguments"]["num_heads"] == 2


def test_a_file_from_elsewhere_is_described_by_its_names(tmp_path, capsys):
    names = {"swinViT.patch_embed.proj.weight": torch.zeros(2), "out.conv.conv.weight": torch.zeros(3)}
    torch.save({"net": {f"module.backbone.{name}": tensor for name, tensor in names.items()}}, tmp_path / "w.pt")
    text = shown(capsys, tmp_path / "w.pt")
    assert "checkpoint without a record" in text
    assert "looks like     SwinUNETR of MONAI" in text
    assert "names begin    module.backbone." in text


def test_a_mistake_ends_with_status_two(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["encoder", "show", str(tmp_path / "nowhere.pt")])
    assert ended.value.code == 2
    assert "nowhere.pt: no such checkpoint file" in capsys.readouterr().err
