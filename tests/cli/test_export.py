"""`export`: weights for other tools, and a card that says what they are and loads them."""

from __future__ import annotations

import json
import re
import sys
from functools import partial

import pytest
import torch
import yaml

from monai_cl.engines import export_weights
from monai_cl.errors import UserError
from monai_cl.networks import (
    MixCLNet,
    SliceUNet,
    describe_network,
    export_encoder,
    read_about,
    save_weights,
    segmentation_network,
    slice_encoder,
)
from tests.cli.running import exit_status
from tests.engines.embedding.encoders import write_encoder

PATIENT, FOLDER = "Patient_0815", "/data/hospital"
RECORD = {
    "bundle": "spleen_unetr_segmentation",
    "preset": "hybrid",
    "preprocessing": {
        "spacing": [1.5, 2.0, 3.0],
        "window": [-150.0, 250.0],
        "patch_size": [32, 64, 96],
        "modality": "CT",
    },
    "organs": ["liver", "spleen"],
    "training": {
        "data_lists": [
            {
                "name": "abdomen",
                "source": FOLDER,
                "sha256": "ab12",
                "cases": 2,
                "datasets": {"abdomen": {"labels": ["liver"], "licence": "CC-BY-SA 4.0"}},
            }
        ],
        "scans": [{"id": PATIENT}, {"id": f"{PATIENT}b"}],
        "iterations": 40,
        "seed": 3,
        "versions": {"monai": "1.6.1"},
        "commit": "c0ffee",
    },
    "encoder": {"file": f"{FOLDER}/encoder.pt", "sha256": "ef56", "training": {"scans": [{"id": PATIENT}]}},
}
UNETR = {"feature_size": 4, "hidden_size": 24, "mlp_dim": 36, "num_heads": 2}


def write_model(path, kind: str, network: torch.nn.Module):
    return save_weights(network.state_dict(), path, {**RECORD, "kind": kind, "network": describe_network(network)})


def segmenter(backbone: str, **sizes) -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = sizes or ({"unetr": UNETR}.get(backbone) or {"feature_size": 8})
    return segmentation_network(backbone=backbone, img_size=(32, 32, 32), in_channels=1, out_channels=3, **sizes).eval()


run = partial(exit_status, "export")


def card_of(path) -> tuple[dict, str]:
    front, text = path.with_name(f"{path.name}.md").read_text(encoding="utf-8").removeprefix("---\n").split("---\n", 1)
    return yaml.safe_load(front), text


def typed_in(card: str) -> dict:
    """What the lines of Python in a card leave."""
    (code,) = re.findall(r"```python\n(.+?)\n```", card, re.S)
    names: dict = {}
    exec(code, names)
    return names


@pytest.mark.parametrize("backbone", ["unetr", "segresnet", "dynunet"])
def test_monais_own_network_gets_all_by_the_lines_of_the_card(backbone, tmp_path, monkeypatch, capsys):
    network = segmenter(backbone)
    source = write_model(tmp_path / "model.pt", "segmentation", network)
    output = tmp_path / "shared.pt"
    assert run(source, "--format", "monai", "--output", output) == 0
    assert f"wrote {output}: " in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    loaded = typed_in(card_of(output)[1])["network"].eval()
    images = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), network(images), rtol=0, atol=0)


def test_a_swin_unetr_of_before_gets_its_weights_and_the_card_warns_of_its_patches(tmp_path, monkeypatch):
    network = segmentation_network(backbone="swin_unetr_v2", feature_size=12, img_size=64, out_channels=3)
    source = write_model(tmp_path / "model.pt", "segmentation", network)
    assert run(source, "--format", "monai", "--output", tmp_path / "shared.pt") == 0
    monkeypatch.chdir(tmp_path)
    card = card_of(tmp_path / "shared.pt")[1]
    loaded = typed_in(card)["network"].state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in network.state_dict().items())
    assert "# in MONAI 0.9 to 1.4: from 1.5 on it merges patches in another way and gives other features" in card


def test_a_slice_unet_gets_its_classes_by_the_lines_of_the_card(tmp_path, monkeypatch):
    network = SliceUNet(4, features=[4, 4, 4, 4, 6, 4]).eval()
    source = write_model(tmp_path / "model.pt", "segmentation", network)
    assert run(source, "--format", "monai", "--output", tmp_path / "shared.pt") == 0
    monkeypatch.chdir(tmp_path)
    loaded = typed_in(card_of(tmp_path / "shared.pt")[1])["network"].eval()
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), network(images), rtol=0, atol=0)


def test_a_meta_label_encoder_is_loaded_by_the_lines_of_the_card(tmp_path, monkeypatch):
    source = write_encoder(tmp_path / "model.pt", "unet")
    assert run(source, "--format", "monai", "--output", tmp_path / "shared.pt") == 0
    monkeypatch.chdir(tmp_path)
    loaded = typed_in(card_of(tmp_path / "shared.pt")[1])["network"].state_dict()
    expected = torch.load(source, weights_only=True)
    assert torch.equal(
        loaded["down_4.convs.conv_1.conv.weight"], expected["encoder.backbone.down_4.convs.conv_1.conv.weight"]
    )


def test_the_card_says_what_the_record_knows_and_nothing_of_patients_and_paths(tmp_path):
    source = write_model(tmp_path / "model.pt", "segmentation", segmenter("unetr"))
    output = tmp_path / "shared.pt"
    assert run(source, "--format", "monai", "--output", output) == 0
    front, text = card_of(output)
    assert front == {
        "license": "other",
        "license_name": "of the data: CC-BY-SA 4.0",
        "library_name": "monai",
        "tags": ["medical-imaging", "CT", "segmentation", "monai_cl"],
    }
    for row in (
        "| abdomen | ab12 | 2 |",
        "| spacing | 1.5, 2.0, 3.0 |",
        "| window | -150.0, 250.0 |",
        "| method or preset | hybrid |",
        "| output channels from 1 | liver, spleen |",
        "| scans | 2 |",
        "| iterations | 40 |",
        "| commit | c0ffee |",
        "| started from | ef56 |",
        "## Results\nnot recorded",
        "not a medical device",
    ):
        assert row in text, row
    written = text.encode() + output.read_bytes()
    for secret in (PATIENT, FOLDER, str(tmp_path)):
        assert secret.encode() not in written
    assert PATIENT not in json.dumps(read_about(output))
    assert read_about(output)["training"]["scan_count"] == 2


def test_a_file_without_a_record_gets_a_card_that_invents_nothing(tmp_path):
    source = tmp_path / "old.pt"
    torch.save(segmenter("unetr").state_dict(), source)
    assert run(source, "--format", "monai", "--output", tmp_path / "shared.pt") == 0
    front, text = card_of(tmp_path / "shared.pt")
    assert front["license_name"] == "of the data: not recorded"
    for row in ("| iterations | not recorded |", "## Input\nnot recorded", "## Data\nnot recorded"):
        assert row in text, row


def test_results_beside_the_file_are_in_the_card_where_they_are_of_its_run(tmp_path, monkeypatch):
    source = write_model(tmp_path / "model.pt", "segmentation", segmenter("unetr"))
    results = {
        "schema": 1,
        "kind": "segmentation",
        "bundle": RECORD["bundle"],
        "name": "run",
        "created": "2026-01-01T00:00:00+00:00",
        "seed": 3,
        "versions": {},
        "device": "cpu",
        "data_list": {},
        "initialisation": "scratch",
        "config": {},
        "curves": {},
        "metrics": {
            "mean_dice": 0.81234,
            "dice": {"liver": 0.9, "spleen": None},
            "per_case": [{"id": PATIENT, "patient": PATIENT, "dice": {"liver": 0.9, "spleen": None}}],
        },
    }
    for seed, expected in ((3, "| mean Dice | 0.8123 |\n| cases | 1 |"), (4, "## Results\nnot recorded")):
        (tmp_path / "results.json").write_text(json.dumps({**results, "seed": seed}), encoding="utf-8")
        assert run(source, "--format", "monai", "--output", tmp_path / "shared.pt", "--overwrite") == 0
        text = card_of(tmp_path / "shared.pt")[1]
        assert expected in text
        assert PATIENT not in text


@pytest.mark.parametrize(
    ("preset", "reconstruct", "recorded", "parts"),
    [
        ("paper", True, True, {"encoder", "decoder"}),
        ("identity", False, True, {"encoder"}),
        ("own", False, True, {"encoder"}),
        ("paper", False, True, {"encoder"}),  # --preset paper --reconstruction_weight 0
        ("identity", True, True, {"encoder", "decoder"}),
        ("paper", True, False, {"encoder", "decoder"}),  # files of earlier versions did not say
        ("identity", False, False, {"encoder"}),
    ],
)
def test_of_a_pre_training_goes_out_what_it_trained(preset, reconstruct, recorded, parts, tmp_path):
    network = MixCLNet(backbone="segresnet", img_size=32, feature_size=8, reconstruct=reconstruct)
    record = {**RECORD, "kind": "pretraining", "preset": preset, "network": describe_network(network)}
    if not recorded:
        del record["network"]["reconstructs"]
    source = save_weights(network.state_dict(), tmp_path / "model.pt", record)
    assert run(source, "--format", "monai", "--output", tmp_path / "out.pt") == 0
    names = torch.load(tmp_path / "out.pt", weights_only=True).keys()
    trained = {"convInit", "down_layers"} | ({"up_samples", "up_layers", "conv_final"} if "decoder" in parts else set())
    assert {name.split(".")[0] for name in names} == trained
    assert not any(name.startswith("conv_final.2") for name in names)


def test_a_checkpoint_of_a_run_goes_out_as_its_model(tmp_path):
    network = segmenter("unetr")
    record = {**RECORD, "kind": "segmentation", "network": describe_network(network)}
    content = {"network": network.state_dict(), "iteration": 1, "epoch": 1, "epoch_length": 1}
    source = save_weights(content, tmp_path / "checkpoint_iteration=1.pt", record)
    assert run(source, "--format", "monai", "--output", tmp_path / "out.pt") == 0
    found = torch.load(tmp_path / "out.pt", weights_only=True)
    assert found.keys() == network.state_dict().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in network.state_dict().items())


def test_an_encoder_goes_out_as_it_came_from_export_encoder(tmp_path):
    network = MixCLNet(img_size=32, **UNETR)
    model = write_model(tmp_path / "model.pt", "pretraining", network)
    encoder = export_encoder(model, tmp_path / "encoder.pt")
    assert run(encoder, "--format", "monai", "--output", tmp_path / "out.pt") == 0
    expected, found = (torch.load(file, weights_only=True) for file in (encoder, tmp_path / "out.pt"))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_nnunet_gets_a_checkpoint_its_plans_and_the_same_output(tmp_path, monkeypatch, capsys):
    pytest.importorskip("dynamic_network_architectures", reason="not installed")
    network = segmenter("dynunet", feature_size=4)
    source = write_model(tmp_path / "model.pt", "segmentation", network)
    assert run(source, "--format", "nnunet", "--output", tmp_path / "nnunet.pth") == 0
    shown = capsys.readouterr().out
    for line in (
        "n_stages: 5",
        "features_per_stage: [4, 8, 16, 32, 64]",
        "strides: [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2], [2, 2, 2]]",
        "kernel_sizes: [[3, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]]",
        "-pretrained_weights",
    ):
        assert line in shown, line
    assert list(torch.load(tmp_path / "nnunet.pth", weights_only=True)) == ["network_weights"]
    text = card_of(tmp_path / "nnunet.pth")[1]
    assert "`spacing` was [3.0, 2.0, 1.5], its `patch_size` [96, 64, 32]" in text
    plans = json.loads(re.findall(r"```json\n(.+?)\n```", text, re.S)[0])
    assert plans["architecture"]["arch_kwargs"]["n_conv_per_stage"] == [2] * 5
    monkeypatch.chdir(tmp_path)
    loaded = typed_in(text)["network"].eval()
    images = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        theirs = loaded(images.permute(0, 1, 4, 3, 2)).permute(0, 1, 4, 3, 2)
        torch.testing.assert_close(theirs, network(images), rtol=1e-4, atol=1e-5)


def test_safetensors_holds_the_tensors_and_the_record(tmp_path, monkeypatch):
    safe_open = pytest.importorskip("safetensors", reason='the extra "safetensors" is not installed').safe_open
    network = segmenter("dynunet", feature_size=4)
    source = write_model(tmp_path / "model.pt", "segmentation", network)
    output = tmp_path / "model.safetensors"
    assert run(source, "--format", "safetensors", "--output", output) == 0
    with safe_open(output, "pt") as file:
        assert json.loads(file.metadata()["preprocessing"]) == RECORD["preprocessing"]
        assert PATIENT not in json.dumps(file.metadata())
    monkeypatch.chdir(tmp_path)
    loaded = typed_in(card_of(output)[1])["network"].state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in network.state_dict().items())


def test_without_its_package_safetensors_gives_the_install_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    source = write_model(tmp_path / "model.pt", "segmentation", segmenter("unetr"))
    assert run(source, "--format", "safetensors", "--output", tmp_path / "out") == 2
    assert "expected the package safetensors, found none; pip install safetensors" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]


def test_a_slice_encoder_goes_to_timm(tmp_path):
    source = write_model(tmp_path / "model.pt", "pretraining", slice_encoder("resnet18", in_channels=3, head=()))
    assert run(source, "--format", "timm", "--output", tmp_path / "timm.pt") == 0
    weights = torch.load(tmp_path / "timm.pt", weights_only=True)
    assert weights["conv1.weight"].shape == (64, 3, 7, 7)
    front, text = card_of(tmp_path / "timm.pt")
    assert front["library_name"] == "timm"
    assert 'timm.create_model("resnet18", in_chans=3, num_classes=0)' in text
    assert "(slices - 0.1) / 0.2" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "keras", "--output", "out.pt"), "--format: expected one of monai, timm, nnunet, safetensors"),
        (("--format", "timm", "--output", "out.pt"), "expected a slice encoder with a ResNet-18"),
        (("--format", "nnunet", "--output", "out.pt"), "found a UNETR, which nnU-Net v2 does not have"),
        (("--format", "monai", "--output", "none/out.pt"), "the folder none does not exist"),
        (("--format", "monai", "--output", "model.pt"), "expected another file than the one that is read"),
        (("--format", "monai", "--output", "there.pt"), "there.pt: exists already"),
        (("--format", "monai", "--output", "carded.pt"), "carded.pt.md: exists already"),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_is_left(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model.pt", "segmentation", segmenter("unetr"))
    for name in ("there.pt", "carded.pt.md"):
        (tmp_path / name).write_text("mine")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert run("model.pt", *options) == 2
    assert message in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_from_python_the_same_files_are_written(tmp_path):
    file = write_model(tmp_path / "model.pt", "segmentation", segmenter("segresnet"))
    assert run(file, "--format", "monai", "--output", tmp_path / "a.pt") == 0
    (tmp_path / "b").mkdir()
    made = export_weights(file, format="monai", output=tmp_path / "b" / "a.pt")
    assert (made.file, made.card) == (tmp_path / "b" / "a.pt", tmp_path / "b" / "a.pt.md")
    assert (made.weights.network, made.weights.parts) == ("SegResNet", ("encoder", "decoder", "output"))
    assert made.card.read_text(encoding="utf-8") == (tmp_path / "a.pt.md").read_text(encoding="utf-8")
    one, two = (torch.load(path, weights_only=True) for path in (tmp_path / "a.pt", made.file))
    assert one.keys() == two.keys() == made.weights.tensors.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    with pytest.raises(UserError, match="exists already"):
        export_weights(file, format="monai", output=made.file)
