"""Encoder weights travel under stock UNETR's names, and a wrong file is refused with what did not match."""

from __future__ import annotations

import json
import zipfile

import pytest
import torch
from monai.networks.nets import UNETR

from monai_cl.errors import UserError
from monai_cl.networks import MixCLNet, export_encoder, load_encoder
from monai_cl.networks.transfer import compare_weights, read_weights
from monai_cl.networks.volume.backbones import BACKBONES

ENCODER_PREFIXES = BACKBONES["unetr"].encoder

SMALL = {"img_size": 32, "feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}


def small_unetr(**changes) -> UNETR:
    return UNETR(in_channels=1, out_channels=3, **{**SMALL, **changes})


def test_every_encoder_tensor_of_a_stock_unetr_is_filled(tmp_path):
    net = MixCLNet(**SMALL)
    path = export_encoder(net, tmp_path / "encoder.pt", about={"seed": 3})
    stock = small_unetr()
    report = load_encoder(stock, path)
    assert report.missing == report.other_shape == report.unknown == ()
    for name, tensor in stock.state_dict().items():
        same = name in net.unetr.state_dict() and torch.equal(tensor, net.unetr.state_dict()[name])
        assert same or not name.startswith(ENCODER_PREFIXES)
    assert json.loads((tmp_path / "encoder.json").read_text(encoding="utf-8"))["seed"] == 3


def test_the_checksums_of_a_file_are_compared_once(tmp_path, monkeypatch):
    path, compared = export_encoder(MixCLNet(**SMALL), tmp_path / "encoder.pt"), []
    testzip = zipfile.ZipFile.testzip
    monkeypatch.setattr(
        zipfile.ZipFile, "testzip", lambda archive: compared.append(archive.filename) or testzip(archive)
    )
    read_weights(path)
    assert compared == [str(path)]


def test_the_decoder_stays_as_it_was(tmp_path):
    stock = small_unetr()
    before = {k: v.clone() for k, v in stock.state_dict().items() if not k.startswith(ENCODER_PREFIXES)}
    load_encoder(stock, export_encoder(MixCLNet(**SMALL), tmp_path / "encoder.pt"))
    assert all(torch.equal(stock.state_dict()[k], v) for k, v in before.items())


@pytest.mark.slow
def test_the_paper_size_loads_into_stock_unetr_of_fourteen_classes(tmp_path):
    path = export_encoder(MixCLNet(classes=[3, 2]), tmp_path / "encoder.pt")
    stock = UNETR(in_channels=1, out_channels=14, img_size=96)
    encoder = [k for k in stock.state_dict() if k.startswith(ENCODER_PREFIXES)]
    result = stock.load_state_dict(torch.load(path, weights_only=True), strict=False)
    assert result.unexpected_keys == []
    assert not set(encoder) & set(result.missing_keys)


@pytest.mark.parametrize("prefix", ["", "module.", "module.unetr.", "_orig_mod.module."])
@pytest.mark.parametrize("wrapper", [None, "network", "state_dict"])
def test_a_whole_checkpoint_serves_as_well(tmp_path, prefix, wrapper):
    weights = {prefix + k: v for k, v in small_unetr().state_dict().items()}
    path = tmp_path / "checkpoint.pt"
    torch.save({wrapper: weights, "iteration": 5} if wrapper else weights, path)
    assert len(load_encoder(small_unetr(), path).matched) > 100


def test_another_architecture_is_refused_by_name_and_shape_and_changes_nothing(tmp_path):
    path = export_encoder(MixCLNet(**{**SMALL, "hidden_size": 32}), tmp_path / "encoder.pt")
    stock = small_unetr()
    before = {k: v.clone() for k, v in stock.state_dict().items()}
    with pytest.raises(UserError, match=r"of another shape: .*\(.*32.*\) for \(.*24.*\)"):
        load_encoder(stock, path)
    assert all(torch.equal(v, before[k]) for k, v in stock.state_dict().items())


def test_a_comparison_is_in_the_networks_order_and_reported_by_the_alphabet():
    own = {"b": torch.zeros(2), "a": torch.zeros(1), "d": torch.zeros(1), "c": torch.zeros(1)}
    report = compare_weights(own, {"y": torch.zeros(1), "x": torch.zeros(1), "b": torch.zeros(3), "d": torch.zeros(1)})
    assert (report.matched, report.missing) == (("d",), ("a", "c"))
    assert (report.other_shape, report.unknown) == (("b (3,) for (2,)",), ("y", "x"))
    assert str(report).endswith("of another shape: b (3,) for (2,); unknown to the network: x, y")


def test_not_strict_loads_what_matches_and_says_what_did_not(tmp_path):
    path = export_encoder(MixCLNet(**{**SMALL, "feature_size": 8}), tmp_path / "encoder.pt")
    report = load_encoder(small_unetr(), path, strict=False)
    assert any(name.startswith("vit.") for name in report.matched)
    assert any(name.startswith("encoder1.") for name in report.other_shape)


def test_a_file_in_which_nothing_matches_is_refused_even_when_not_strict(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"conv.weight": torch.zeros(3)}, path)
    with pytest.raises(UserError, match=r"other\.pt.*nothing can be transferred.*conv\.weight"):
        load_encoder(small_unetr(), path, strict=False)


def test_files_that_are_not_a_checkpoint_are_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.pt: no such checkpoint"):
        load_encoder(small_unetr(), tmp_path / "gone.pt")
    text = tmp_path / "text.pt"
    text.write_text("hello")
    with pytest.raises(UserError, match=r"text\.pt: not a readable PyTorch checkpoint"):
        load_encoder(small_unetr(), text)


def test_pickled_code_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (print, ("boom",))

    torch.save({"network": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(UserError, match=r"bomb\.pt: not a readable PyTorch checkpoint of plain tensors"):
        load_encoder(small_unetr(), tmp_path / "bomb.pt")


def test_a_source_without_encoder_writes_nothing(tmp_path):
    torch.save({"decoder.weight": torch.zeros(2)}, tmp_path / "model.pt")
    with pytest.raises(UserError, match=r"no UNETR encoder to export, nothing under vit\.\*"):
        export_encoder(tmp_path / "model.pt", tmp_path / "encoder.pt")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.pt"]


@pytest.mark.parametrize("read", [read_weights, export_encoder], ids=["read_weights", "export_encoder"])
def test_an_absent_checkpoint_is_named_with_advice_that_fits_every_reader(tmp_path, read):
    absent = tmp_path / "model.pt"
    arguments = (absent, tmp_path / "encoder.pt") if read is export_encoder else (absent,)
    with pytest.raises(UserError, match=r"model\.pt: no such checkpoint file; correct the path$"):
        read(*arguments)
    assert list(tmp_path.iterdir()) == []
