"""Decoder and heads of a pre-training go into a fine-tuning by value, by the names of organs, or are refused."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNETR

from monai_cl.engines.pretrained import only_known_organs, start_from
from monai_cl.engines.transferred_parts import (
    check_parts,
    head_classes,
    load_decoder,
    load_heads,
    silence,
    untaught,
)
from monai_cl.errors import UserError
from monai_cl.networks import MixCLNet, describe_network, export_encoder
from monai_cl.networks.weights_file import save_weights

SIZES = {"img_size": (32, 32, 32), "feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}
DATASETS = {
    "bare": ["background"],
    "livers": ["background", "liver", "liver tumour"],
    "abdomens": ["background", "Liver", "kidneys", "pancreatic thing", "pancreatic thingummy"],
}
ORGANS = ["spleen", "liver", "right_kidney", "pancreatic thingummy"]


def record(**more):
    datasets = {name: {"labels": labels} for name, labels in DATASETS.items()}
    return {"kind": "pretraining", "training": {"data_lists": [{"datasets": datasets}]}, **more}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    torch.manual_seed(0)
    network = MixCLNet(**SIZES, classes=[len(labels) for labels in DATASETS.values()])
    file = tmp_path_factory.mktemp("pretrained") / "model.pt"
    save_weights(network.state_dict(), file, record())
    return network, file


def target(organs=ORGANS) -> UNETR:
    torch.manual_seed(1)
    return UNETR(in_channels=1, out_channels=1 + len(organs), **SIZES)


def changed(network: UNETR) -> set[str]:
    """First parts of the names of what is not as it was built; of the last layer the channels too."""
    fresh = target().state_dict()
    names = set()
    for name, tensor in network.state_dict().items():
        if name.startswith("out."):
            names |= {f"out {i}" for i in range(len(tensor)) if not torch.equal(tensor[i], fresh[name][i])}
        elif not torch.equal(tensor, fresh[name]):
            names.add(name.split(".")[0])
    return names


ENCODER = {"vit", "encoder1", "encoder2", "encoder3", "encoder4"}
DECODER = {"decoder5", "decoder4", "decoder3", "decoder2"}


@pytest.mark.parametrize(
    ("transfer", "parts"),
    [
        (["encoder"], ENCODER),
        ("encoder,decoder", ENCODER | DECODER),
        (["heads", "encoder"], ENCODER | {"out 0", "out 2", "out 3", "out 4"}),
        (["encoder", "decoder", "heads"], ENCODER | DECODER | {"out 0", "out 2", "out 3", "out 4"}),
    ],
)
@pytest.mark.parametrize("exported", [False, True])
def test_what_is_named_is_taken_and_nothing_else(pretrained, tmp_path, transfer, parts, exported):
    source, file = pretrained
    if exported:
        file = export_encoder(file, tmp_path / "encoder.pt", parts=check_parts(transfer))
    network = target()
    start = start_from(network, file, model={"organs": ORGANS}, transfer=transfer)
    assert changed(network) == parts
    trained = source.unetr.state_dict()
    for name, tensor in network.state_dict().items():
        if name.split(".")[0] in parts:
            assert torch.equal(tensor, trained[name]), name
    assert start.encoder.get("parts") == (list(check_parts(transfer)) if len(parts) > 5 else None)


def test_an_organ_starts_from_its_differences_to_the_background_in_every_set_that_has_it(pretrained):
    source, file = pretrained
    network = target()
    heads = load_heads(network, file, datasets=DATASETS, organs=ORGANS)
    assert heads == {
        "liver": ["livers", "abdomens"],
        "right_kidney": ["abdomens"],
        "pancreatic thingummy": ["abdomens"],
    }
    features = torch.randn(2, 4, 3, 3, 3, generator=torch.Generator().manual_seed(2))
    logits = network.out(features)
    _, liver_background, liver, _, background, liver2, kidneys, _, thingummy = source.segmentation_head(
        features
    ).unbind(dim=1)
    torch.testing.assert_close(logits[:, 0], (liver_background + background) / 2)
    torch.testing.assert_close(
        logits[:, 2] - logits[:, 0], ((liver - liver_background) + (liver2 - background)) / 2, atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(logits[:, 3] - logits[:, 0], kidneys - background, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits[:, 4] - logits[:, 0], thingummy - background, atol=1e-5, rtol=1e-5)
    # of one data set alone the probabilities are its own
    only = {"abdomens": DATASETS["abdomens"]}
    single = torch.nn.Conv3d(4, 5, 1)
    weights = {"segmentation_head.weight": single.weight.detach(), "segmentation_head.bias": single.bias.detach()}
    torch.save(weights, file.parent / "one.pt")
    same = target(only["abdomens"][1:])
    load_heads(same, file.parent / "one.pt", datasets=only, organs=only["abdomens"][1:])
    torch.testing.assert_close(same.out(features).softmax(1), single(features).softmax(1))


def test_a_head_that_no_scan_has_taught_gives_nothing(pretrained):
    _, file = pretrained
    alone, beside = target(), target()
    expected = load_heads(alone, file, datasets=DATASETS, organs=["pancreatic thing"])
    # `livers` named its organs, and none of its scans had labels: what its head holds is what was drawn at the start
    about = record()
    about["training"]["data_lists"][0]["datasets"]["livers"]["unlabelled"] = True
    found = load_heads(beside, file, datasets=head_classes(about), untaught=untaught(about), organs=ORGANS)
    assert expected == {"pancreatic thing": ["abdomens"]}
    assert found["liver"] == ["abdomens"]
    source, _ = pretrained
    weight = source.segmentation_head.weight.detach()
    torch.testing.assert_close(beside.out.conv.conv.weight[0], weight[4])  # the background of `abdomens` alone
    torch.testing.assert_close(beside.out.conv.conv.weight[2], weight[5])
    sets = {name: labels for name, labels in DATASETS.items() if name != "abdomens"}
    assert untaught({"training": {"data_lists": [{"datasets": {n: {"labels": x} for n, x in sets.items()}}]}}) == []


@pytest.mark.parametrize("name", ["cancer", "Tumour", "label 1", "label_1", "lesion, left"])
def test_a_name_that_says_no_organ_matches_none(tmp_path, caplog, name):
    """MSD calls tumours of liver, lung and pancreas `cancer`, and files without names have `label 1`: not one organ."""
    datasets = {"livers": ["background", "liver", name], "spleens": ["background", name]}
    torch.manual_seed(0)
    source, file = MixCLNet(**SIZES, classes=[3, 2]), tmp_path / "model.pt"
    save_weights(source.state_dict(), file, record())
    network = target(["liver", name])
    before = network.out.conv.conv.weight[2].clone()
    assert load_heads(network, file, datasets=datasets, organs=["liver", name]) == {"liver": ["livers"]}
    assert torch.equal(network.out.conv.conv.weight[2], before)
    assert f"heads: what names no organ is left out: {name}" in caplog.text
    with pytest.raises(UserError, match=r"say in the labels of both lists which organ"):
        load_heads(target([name]), file, datasets=datasets, organs=[name])
    # said with its organ it is one
    full = {"livers": ["background", "liver", "liver tumour"], "spleens": ["background", "spleen"]}
    assert load_heads(network, file, datasets=full, organs=["liver", "hepatic lesion"])["hepatic lesion"] == ["livers"]


def test_organs_that_share_a_head_are_told_without_a_fine_tuning(pretrained, caplog):
    """Zero-shot, all of the kidneys becomes the side whose channel is first, and the other has Dice 0."""
    _, file = pretrained
    organs = ["liver", "left kidney", "right_kidney", "spleen"]
    start = start_from(target(organs), file, model={"organs": organs}, transfer="encoder,decoder,heads")
    only_known_organs(start, organs)
    assert (
        "was not taught to tell left kidney, right_kidney apart: all of them are predicted as left kidney"
        in caplog.text
    )
    assert "was not taught spleen: never predicted" in caplog.text
    caplog.clear()
    only_known_organs(start_from(target(), file, model={"organs": ORGANS}, transfer="encoder,heads"), ORGANS)
    assert "apart" not in caplog.text


def test_a_class_that_is_silenced_is_never_predicted():
    network = target()
    features = 50 * torch.randn(1, 4, 8, 8, 8, generator=torch.Generator().manual_seed(3))
    assert set(network.out(features).argmax(1).unique().tolist()) == {0, 1, 2, 3, 4}
    silence(network, [1, 3])
    assert set(network.out(features).argmax(1).unique().tolist()) == {0, 2, 4}


def test_what_a_file_lacks_is_refused_with_what_to_do(pretrained, tmp_path):
    _, file = pretrained
    encoder = export_encoder(file, tmp_path / "encoder.pt")
    network = target()
    with pytest.raises(UserError, match=r"expected a decoder of 16 tensors, found none.*--parts encoder,decoder"):
        load_decoder(network, encoder)
    with pytest.raises(UserError, match=r"expected heads of 9 classes and 4 features.*found none.*leave the heads out"):
        load_heads(network, encoder, datasets=DATASETS, organs=ORGANS)
    with pytest.raises(UserError, match=r"expected a head for one of spleen, colon, found liver, liver tumour, Liver"):
        load_heads(target(["spleen", "colon"]), file, datasets=DATASETS, organs=["spleen", "colon"])
    assert changed(network) == set()
    plain = MixCLNet(**SIZES)
    with pytest.raises(UserError, match=r"no heads to export.*leave heads out of --parts"):
        export_encoder(plain, tmp_path / "none.pt", parts=("encoder", "heads"))
    assert not (tmp_path / "none.pt").exists()


def test_a_decoder_that_nothing_has_trained_is_no_part_to_take(tmp_path):
    """Presets such as `label` and `identity` leave it as it was drawn."""
    torch.manual_seed(0)
    untrained, file = MixCLNet(**SIZES, reconstruct=False), tmp_path / "model.pt"
    save_weights(untrained.state_dict(), file, record(network=describe_network(untrained)))
    network = target()
    for load in (
        lambda: load_decoder(network, file),
        lambda: start_from(network, file, model={"organs": ORGANS}, transfer="encoder,decoder"),
        lambda: export_encoder(file, tmp_path / "encoder.pt", parts=("encoder", "decoder")),
        lambda: export_encoder(untrained, tmp_path / "encoder.pt", parts=("encoder", "decoder")),
    ):
        with pytest.raises(
            UserError, match=r"a decoder that was trained.*leave (the )?decoder out of --(transfer|parts)"
        ):
            load()
    assert changed(network) <= ENCODER
    assert not (tmp_path / "encoder.pt").exists()
    export_encoder(file, tmp_path / "encoder.pt")
    # a supervised term alone trains it, also where the heads are left out of the file
    taught = MixCLNet(**SIZES, reconstruct=False, classes=[2])
    save_weights(taught.state_dict(), file, record(network=describe_network(taught)))
    load_decoder(network, export_encoder(file, tmp_path / "decoder.pt", parts=("encoder", "decoder")))
    assert changed(network) & DECODER == DECODER


@pytest.mark.parametrize("parts", [["decoder"], "encoder,tail", [], "heads"])
def test_unknown_parts_are_refused(parts):
    with pytest.raises(UserError, match="transfer: expected encoder, and of encoder, decoder, heads"):
        check_parts(parts)
