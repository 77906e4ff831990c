"""A model's own settings are the defaults wherever it is used, and a value that contradicts them is refused."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import UNETR

from monai_cl.engines import slice_classifier
from monai_cl.errors import UserError
from monai_cl.networks import (
    UNetEncoder,
    describe_network,
    projected_encoder,
    read_about,
    save_weights,
    slice_encoder,
    slice_unet,
)
from monai_cl.networks.transfer import encoder_weights
from tests.bundles.conftest import BUNDLES

SPLEEN, ORGANS, MIXCL = "spleen_unetr_segmentation", "btcv_unetr_segmentation", "mixcl_ct_pretraining"
WSP, CIRRHOSIS = "wsp_ct_pretraining", "cirrhosis_classification"
META, SEMI = "meta_label_pretraining", "semi_supervised_segmentation"
CLUSTERING = "clustering_pretraining"
SIZES = {"img_size": (32, 32, 48), "feature_size": 4, "hidden_size": 24, "mlp_dim": 36, "num_heads": 2}
INPUT = {"spacing": [5.0, 5.0, 4.0], "orientation": "RAS", "window": [-100.0, 300.0], "modality": "CT"}
SLICES = {"window": [-50.0, 200.0], "image_size": 64, "pixel_size": 1.5, "neighbours": 1, "modality": "CT"}
NAMES = ["liver", "spleen"]
FEATURES = [2, 2, 4, 4, 8, 2]
NO_LIST = {"_target_": "monai_cl.networks.projected_encoder", "encoder": "@encoder"}
IMAGES = {"model::preprocessing": {"window": "@window", "image_size": "@image_size"}}
CINE = {"model::preprocessing": {"intensity": "percentiles", "window": "@window", "image_size": "@image_size"}}


def unetr(seed: int = 0, **changes: Any) -> UNETR:
    torch.manual_seed(seed)
    return UNETR(in_channels=1, out_channels=3, **{**SIZES, **changes})


def classifier(seed: int = 0):
    torch.manual_seed(seed)
    return slice_classifier(width=0.125, in_channels=3, image_size=64)


def under(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def record(network: torch.nn.Module, preprocessing: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"kind": "segmentation", "network": describe_network(network), "preprocessing": preprocessing, **more}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    """An encoder and models, each with its record, and one without."""
    folder, network, slices = tmp_path_factory.mktemp("weights"), unetr(), classifier()
    patch = {"patch_size": [32, 32, 48]}
    made = {
        "encoder": (encoder_weights(network.state_dict()), record(network, {**INPUT, **patch})),
        "model": (network.state_dict(), record(network, {**INPUT, **patch}, organs=NAMES)),
        "slices": (slices.state_dict(), record(slices, {**SLICES, "fraction": 0.5})),
        "unknown": (network.state_dict(), None),
    }
    unet = slice_unet(3, features=FEATURES, norm="instance")
    cine = {**SLICES, "window": None, "intensity": "percentiles", "fraction": 0.5}
    del cine["neighbours"]
    made["unet"] = (under("unet.", unet.state_dict()), record(unet, cine, organs=NAMES))
    backbone = UNetEncoder(features=FEATURES, norm="instance")
    meta = projected_encoder(slice_encoder(backbone, image_size=64, mean=0.0, std=1.0, head=()))
    made["meta"] = (meta.state_dict(), record(meta, cine))
    clustered = projected_encoder(slice_encoder("resnet18", head=()))
    images = {**SLICES, "fraction": 0.5, "modalities": ["CT", "US"]}
    del images["neighbours"], images["modality"]
    made["images"] = (clustered.state_dict(), record(clustered, images))
    return {name: str(save_weights(state, folder / f"{name}.pt", about)) for name, (state, about) in made.items()}


def config(bundle: str, *names: str, **overrides: Any) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([str(BUNDLES / bundle / "configs" / f"{name}.yaml") for name in names])
    parser.update({"device": "$torch.device('cpu')", **overrides})
    return parser


def parsed(parser: ConfigParser, what: str) -> Any:
    """What MONAI wraps in its own error is raised as it was."""
    try:
        return parser.get_parsed_content(what)
    except RuntimeError as error:
        if error.__cause__ is None:
            raise
        raise error.__cause__ from None


def loading(parser: ConfigParser) -> str:
    """The id of the step that loads the checkpoint."""
    return next(
        f"{part}::{number}"
        for part in ("initialize", "run")
        for number, step in enumerate(parser[part])
        if any(name in step for name in ("load_network", "load_classifier", "check_model"))
    )


# bundle, configs, key of the file, which file; organs are given where a data list would have to be read
USES = [
    (SPLEEN, ("train",), "pretrained_encoder", "encoder", {"organs": NAMES}),
    (ORGANS, ("train",), "pretrained_encoder", "encoder", {"organs": NAMES}),
    (SPLEEN, ("train", "evaluate"), "checkpoint", "model", {"organs": NAMES}),
    (ORGANS, ("train", "evaluate"), "checkpoint", "model", {"organs": NAMES}),
    (SPLEEN, ("inference",), "checkpoint", "model", {}),
    (ORGANS, ("inference",), "checkpoint", "model", {}),
    (MIXCL, ("inference",), "checkpoint", "model", {}),
    (MIXCL, ("train", "evaluate"), "checkpoint", "model", {}),
    (CIRRHOSIS, ("train",), "encoder", "slices", {}),
    (CIRRHOSIS, ("train", "evaluate"), "checkpoint", "slices", {}),
    (CIRRHOSIS, ("inference",), "checkpoint", "slices", {}),
    (WSP, ("inference",), "checkpoint", "slices", {}),
    (WSP, ("train", "evaluate"), "checkpoint", "slices", {"network_def": NO_LIST}),
    (META, ("inference",), "checkpoint", "meta", {}),
    (META, ("train", "evaluate"), "checkpoint", "meta", {"network_def": NO_LIST, **CINE}),
    (CLUSTERING, ("inference",), "checkpoint", "images", {}),
    (CLUSTERING, ("train", "evaluate"), "checkpoint", "images", {"network_def": NO_LIST, **IMAGES}),
    (SEMI, ("train",), "pretrained_encoder", "meta", {"organs": NAMES, **CINE}),
    (SEMI, ("train", "evaluate"), "checkpoint", "unet", {"organs": NAMES, **CINE}),
    (SEMI, ("inference",), "checkpoint", "unet", {}),
]
SLICE_FILES = ("slices", "meta", "unet", "images")
ids = ["-".join((bundle.split("_")[0], *names)) for bundle, names, *_ in USES]


@pytest.mark.parametrize(("bundle", "names", "key", "file", "more"), USES, ids=ids)
def test_every_setting_is_that_of_the_file(bundle, names, key, file, more, files):
    parser = config(bundle, *names, **{key: files[file]}, **more)
    about = read_about(files[file])
    own = {**about["preprocessing"], **about["network"]["arguments"]}
    expected = {name: value for name, value in own.items() if name in parser}
    assert len(expected) >= 3
    for name, value in expected.items():
        assert parsed(parser, name) == value, name
    if about.get("organs") and bundle != MIXCL:
        assert parsed(parser, "organs") == NAMES


@pytest.mark.parametrize(("bundle", "names", "key", "file", "more"), USES, ids=ids)
def test_a_contradiction_is_refused_with_both_values(bundle, names, key, file, more, files):
    name, own, text = "spacing", [1, 1, 2], ("[5, 5, 4] mm", "[1, 1, 2]")
    if file in SLICE_FILES:
        name, own, text = "image_size", 96, ("64 pixels", "96")
    parser = config(bundle, *names, **{key: files[file]}, **more, **{name: own})
    step = "start" if key in ("pretrained_encoder", "encoder") else loading(parser)
    with pytest.raises(UserError, match=r"\.pt: expected the .* it was trained with") as caught:
        parsed(parser, step)
    assert all(part in str(caught.value) for part in text)
    assert f"leave --{name} out" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("window", [-150.0, 250.0], "the window it was trained with, [-100, 300] HU, found [-150, 250]"),
        ("num_heads", 4, "the num heads it was trained with, 2, found 4"),
        ("patch_size", [32, 48, 32], "the patch size it was trained with, [32, 32, 48], found [32, 48, 32]"),
        ("organs", NAMES[::-1], "the organs it was trained with, [liver, spleen], found [spleen, liver]"),
    ],
)
def test_settings_that_no_shape_would_tell_are_compared(name, value, text, files):
    parser = config(SPLEEN, "inference", checkpoint=files["model"], **{name: value})
    with pytest.raises(UserError) as caught:
        parsed(parser, loading(parser))
    assert text in str(caught.value)


def test_equal_values_may_be_given(files):
    given = {"spacing": (5, 5, 4), "num_heads": 2, "organs": NAMES, "window": [-100, 300]}
    parser = config(SPLEEN, "inference", checkpoint=files["model"], **given)
    parsed(parser, loading(parser))
    loaded, source = parsed(parser, "network").state_dict(), unetr().state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in source.items())


def test_an_encoder_may_be_fine_tuned_at_another_patch_size(files):
    start = parsed(config(SPLEEN, "train", pretrained_encoder=files["encoder"], patch_size=[64, 32, 32]), "start")
    assert [edge * 16 for edge in start.network.feat_size] == [64, 32, 32]
    assert start.encoder["tensors"]["vit"] > 100
    assert start.encoder["network"]["arguments"]["img_size"] == [32, 32, 48]


def test_another_preprocessing_may_be_allowed_and_is_recorded(files, caplog):
    options = {"pretrained_encoder": files["encoder"], "organs": NAMES, "spacing": [8.0, 8.0, 8.0]}
    with pytest.raises(UserError, match="--allow_other_preprocessing True"):
        parsed(config(SPLEEN, "train", **options), "start")
    start = parsed(config(SPLEEN, "train", **options, allow_other_preprocessing=True), "start")
    assert start.encoder["other_preprocessing"] == {"spacing": {"encoder": [5.0, 5.0, 4.0], "run": [8.0, 8.0, 8.0]}}
    assert "spacing of the encoder [5.0, 5.0, 4.0], of this run [8.0, 8.0, 8.0]" in caplog.text
    with pytest.raises(UserError, match="the num heads it was trained with"):  # another network is never allowed
        parsed(config(SPLEEN, "train", **options, allow_other_preprocessing=True, num_heads=4), "start")


SAME = {"_target_": "UNETR", "in_channels": 1, "out_channels": 3, **SIZES, "img_size": list(SIZES["img_size"])}
OTHER = {"_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 3, "channels": [4, 8], "strides": [2]}


def test_a_replaced_network_gets_the_weights_and_the_record_counts_them(files):
    parser = config(SPLEEN, "train", pretrained_encoder=files["encoder"], organs=NAMES, network_def=SAME)
    network, start = parsed(parser, "network"), parsed(parser, "start")
    own, source = network.state_dict(), encoder_weights(unetr().state_dict())
    assert len(source) > 150
    assert all(torch.equal(own[name], tensor) for name, tensor in source.items())
    assert sum(start.encoder["tensors"].values()) == len(source)
    assert set(start.encoder["tensors"]) == {"vit", "encoder1", "encoder2", "encoder3", "encoder4"}


@pytest.mark.parametrize(
    ("bundle", "key", "file", "network"),
    [(SPLEEN, "pretrained_encoder", "encoder", OTHER), (CIRRHOSIS, "encoder", "slices", {**OTHER, "spatial_dims": 2})],
)
def test_a_replaced_network_that_takes_nothing_of_the_file_is_refused(bundle, key, file, network, files):
    more = {"organs": NAMES} if bundle == SPLEEN else {}
    parser = config(bundle, "train", **{key: files[file]}, **more, network_def=network)
    with pytest.raises(UserError, match="nothing can be transferred into this network, a UNet"):
        parsed(parser, "network")


@pytest.mark.parametrize(("bundle", "names", "key", "file", "more"), USES, ids=ids)
def test_a_file_that_is_not_there_is_refused(bundle, names, key, file, more, tmp_path):
    small = {"patch_size": [32, 32, 32], "feature_size": 4, "hidden_size": 24, "mlp_dim": 36, "num_heads": 2}
    more = more if file in SLICE_FILES else {**small, **more}
    parser = config(bundle, *names, **{key: str(tmp_path / "nowhere.pt")}, **more)
    step = "network" if key in ("pretrained_encoder", "encoder") else loading(parser)
    with pytest.raises(UserError, match=r"nowhere\.pt: no such checkpoint file"):
        parsed(parser, step)


def test_a_file_without_a_record_goes_on_with_the_configs_values_and_the_log_says_so(files, caplog):
    given = {"patch_size": [32, 32, 48], **{key: SIZES[key] for key in SIZES if key != "img_size"}, "organs": NAMES}
    parser = config(ORGANS, "inference", checkpoint=files["unknown"], **given)
    with caplog.at_level(logging.INFO):
        parsed(parser, loading(parser))
    (said,) = [record for record in caplog.records if "does not say what it was trained on" in record.getMessage()]
    assert said.levelname == "WARNING"
    assert "unknown.pt: " in said.getMessage()
    assert "settings are used: spacing [1.5, 1.5, 2] mm, " in said.getMessage()
    assert parsed(parser, "spacing") == [1.5, 1.5, 2.0]
