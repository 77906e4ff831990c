"""The app's folder: a copy of the bundle that fits its weights, made completely or not at all, never made again."""

from __future__ import annotations

import json
import runpy

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import UNETR

from monai_cl.data import read_volume
from monai_cl.data.datalist.items import reading_options
from monai_cl.data.records.model_record import model_record
from monai_cl.data.records.results import run_record, write_results
from monai_cl.engines import slice_classifier
from monai_cl.engines.probe.linear import LinearProbe
from monai_cl.errors import UserError
from monai_cl.networks import (
    SliceUNet,
    describe_network,
    read_about,
    save_weights,
    segmentation_network,
    slice_encoder,
)
from monai_cl.serving import lay_out_app
from monai_cl.serving.app_folder import bundles_in, trainable
from monai_cl.shipped import bundle_folder
from tests.data.volume_files import write_dicom
from tests.report.examples import classification

FEW_LABELS, FEATURES = "semi_supervised_segmentation", [4, 4, 8, 8, 16, 4]
SPLEEN, ORGANS, CIRRHOSIS = "spleen_unetr_segmentation", "btcv_unetr_segmentation", "cirrhosis_classification"
FILLED = [-200, -100, 0, 100, 200]
SIZES = {"patch_size": [32, 32, 32], "feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}


@pytest.fixture
def run(tmp_path):
    """The folder of a run of the organs' bundle: three organs, a small network."""
    network = {**SIZES, "img_size": SIZES["patch_size"], "in_channels": 1, "out_channels": 4}
    del network["patch_size"]
    folder = tmp_path / "run"
    folder.mkdir()
    torch.save(UNETR(**network).state_dict(), folder / "model.pt")
    config = {**SIZES, "spacing": [4.0, 4.0, 4.0], "learning_rate": 0.002, "data_list": "mine.json", "fold": 2}
    record = run_record(
        kind="segmentation",
        name="run",
        seed=0,
        bundle=ORGANS,
        config=config,
        data_list={"datasets": {"mine": {"labels": ["background", "liver", "spleen", "stomach"]}}},
        metrics={"mean_dice": 0.5, "dice": {}, "per_case": []},
    )
    write_results(folder, record)
    return folder


def config(made, name):
    return ConfigParser.load_config_files(str(made.folder / "model" / made.model / "configs" / f"{name}.yaml"))


def test_sizes_and_organs_come_from_the_run(tmp_path, run):
    made = lay_out_app(tmp_path / "app", ORGANS, checkpoint=run, overrides={"num_workers": 0})
    inference, train = config(made, "inference"), config(made, "train")
    assert (made.model, made.task, made.made) == (ORGANS, "segmentation", True)
    for key, value in {**SIZES, "spacing": [4.0, 4.0, 4.0]}.items():
        assert inference[key] == train[key] == value
    assert (inference["datalist"], inference["dicom_seg"]) == ([], False)  # scans come one by one, from the viewer
    assert inference["organs"] == ["liver", "spleen", "stomach"]
    assert (train["learning_rate"], train["num_workers"]) == (0.002, 0)
    original = ConfigParser.load_config_files(str(bundle_folder(ORGANS) / "configs" / "train.yaml"))
    for key in ("data_list", "fold", "bundle_root", "iterations"):
        assert train[key] == original[key]


def test_the_metadata_names_the_organs_where_monai_label_reads_them(tmp_path, run):
    made = lay_out_app(tmp_path / "app", ORGANS, checkpoint=run)
    text = (made.folder / "model" / ORGANS / "configs" / "metadata.json").read_text(encoding="utf-8")
    formats = json.loads(text)["network_data_format"]
    assert formats["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "liver", "2": "spleen", "3": "stomach"}
    assert formats["outputs"]["pred"]["num_channels"] == 4
    assert formats["inputs"]["image"]["spatial_shape"] == SIZES["patch_size"]


def test_the_weights_are_those_of_the_checkpoint_in_the_networks_own_names(tmp_path, run):
    made = lay_out_app(tmp_path / "app", ORGANS, checkpoint=run / "model.pt")
    copied = torch.load(made.folder / "model" / ORGANS / "models" / "model.pt", weights_only=True)
    original = torch.load(run / "model.pt", weights_only=True)
    assert list(copied) == list(original)
    assert all(torch.equal(copied[key], original[key]) for key in original)


def test_an_override_wins_over_the_run(tmp_path, run):
    made = lay_out_app(tmp_path / "app", ORGANS, checkpoint=run, overrides={"spacing": [3.0, 3.0, 3.0]})
    assert config(made, "inference")["spacing"] == config(made, "train")["spacing"] == [3.0, 3.0, 3.0]


def test_an_app_that_could_not_be_finished_is_made_again(tmp_path, run, monkeypatch):
    from monai_cl.serving import app_folder

    def full(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(app_folder, "write_atomically", full)
        with pytest.raises(OSError, match="No space left"):
            lay_out_app(tmp_path / "app", ORGANS, checkpoint=run)
    made = lay_out_app(tmp_path / "app", ORGANS, checkpoint=run)
    assert made.made
    assert (made.folder / "main.py").is_file()


def test_an_app_that_has_learnt_is_not_made_again(tmp_path, run):
    made = lay_out_app(tmp_path / "app", ORGANS, checkpoint=run)
    model = made.folder / "model" / ORGANS / "models" / "model.pt"
    model.write_bytes(b"learnt")
    (made.folder / "main.py").write_text("# mine", encoding="utf-8")
    again = lay_out_app(tmp_path / "app", ORGANS)
    assert not again.made
    assert model.read_bytes() == b"learnt"
    assert (made.folder / "main.py").read_text(encoding="utf-8") == "# mine"
    with pytest.raises(UserError, match="expected no existing app, found one; start it without --checkpoint"):
        lay_out_app(tmp_path / "app", ORGANS, checkpoint=run)
    with pytest.raises(UserError, match="start it without --spacing"):
        lay_out_app(tmp_path / "app", ORGANS, overrides={"spacing": [1, 1, 1]})


def test_a_classifier_and_its_probe_become_one_file(tmp_path):
    network = slice_classifier("tinynet", width=0.125, image_size=160)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    sizes = {"width": 0.125, "image_size": 160, "neighbours": 0}
    made = lay_out_app(tmp_path / "app", CIRRHOSIS, checkpoint=tmp_path / "model.pt", overrides=sizes)
    assert made.task == "classes"
    alone = {"network": describe_network(network), "preprocessing": {"image_size": 160, "pixel_size": None}}
    save_weights(network.state_dict(), tmp_path / "alone.pt", alone)
    served = lay_out_app(tmp_path / "b", CIRRHOSIS, checkpoint=tmp_path / "alone.pt", overrides={"width": 0.125})
    assert config(served, "inference")["image_size"] == 160
    assert config(made, "inference")["classes"] == ["class 0", "class 1"]
    assert not (made.folder / "model" / CIRRHOSIS / "configs" / "train.yaml").exists()


def test_an_encoder_beside_the_record_of_its_pretraining_is_served_with_a_probe(tmp_path):
    encoder = slice_encoder("tinynet", width=0.125, image_size=160, head=())
    settings = {"image_size": 160, "pixel_size": None, "neighbours": 0}
    about = {"network": describe_network(encoder), "preprocessing": settings}
    save_weights({f"encoder.{name}": t for name, t in encoder.state_dict().items()}, tmp_path / "model.pt", about)
    record = run_record(
        kind="pretraining", name="wsp", seed=0, bundle="wsp_ct_pretraining", config={"width": 0.125, "pixel_size": None}
    )
    write_results(tmp_path, record)
    with pytest.raises(UserError, match="expected weights of cirrhosis_classification, found those of wsp_ct_pretr"):
        lay_out_app(tmp_path / "app", CIRRHOSIS, checkpoint=tmp_path / "model.pt")
    probe = LinearProbe(np.ones(encoder.representation_size), 0.5, 1.0).save(tmp_path / "probe.npz")
    made = lay_out_app(
        tmp_path / "app", CIRRHOSIS, checkpoint=tmp_path / "model.pt", overrides={"probe": str(probe), "width": 0.125}
    )
    state = torch.load(made.folder / "model" / CIRRHOSIS / "models" / "model.pt", weights_only=True)
    assert {0.5} <= {float(t) for t in state.values() if t.numel() == 1}  # the probe's bias
    assert config(made, "inference")["image_size"] == 160


def test_the_classes_of_a_classifier_are_called_as_its_list_names_them(tmp_path):
    torch.save(slice_classifier("tinynet", width=0.125, image_size=160).state_dict(), tmp_path / "model.pt")
    listed = {"name": "livers", "classes": {"0": "no steatosis", "1": "steatosis"}}
    record = classification({"a": (0, 0.2), "b": (1, 0.7)}, data_list=listed, bundle=CIRRHOSIS)
    write_results(tmp_path, record)
    sizes = {"width": 0.125, "image_size": 160}
    made = lay_out_app(tmp_path / "app", CIRRHOSIS, checkpoint=tmp_path / "model.pt", overrides=sizes)
    assert config(made, "inference")["classes"] == ["no steatosis", "steatosis"]
    metadata = json.loads((made.folder / "model" / CIRRHOSIS / "configs" / "metadata.json").read_text("utf-8"))
    assert metadata["label_classes"] == "0 no steatosis, 1 steatosis"
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "steatosis"}
    named = lay_out_app(
        tmp_path / "other", CIRRHOSIS, checkpoint=tmp_path / "model.pt", overrides={**sizes, "classes": ["a", "b"]}
    )
    assert config(named, "inference")["classes"] == ["a", "b"]


def test_paths_do_not_depend_on_the_servers_folder(tmp_path, monkeypatch):
    torch.save(slice_classifier("tinynet", width=0.125, image_size=160).state_dict(), tmp_path / "model.pt")
    (tmp_path / "masks").mkdir()
    monkeypatch.chdir(tmp_path)
    options = {"width": 0.125, "image_size": 160, "liver_mask": "masks"}
    made = lay_out_app("app", CIRRHOSIS, checkpoint="model.pt", overrides=options)
    assert config(made, "inference")["liver_mask"] == str(tmp_path / "masks")
    mapping = {"bundle": "masks", "checkpoint": "none.pt"}
    made = lay_out_app("other", CIRRHOSIS, checkpoint="model.pt", overrides={**options, "liver_mask": mapping})
    assert config(made, "inference")["liver_mask"] == {"bundle": str(tmp_path / "masks"), "checkpoint": "none.pt"}


def test_several_bundles_share_an_app(tmp_path, run):
    torch.save(slice_classifier("tinynet", width=0.125, image_size=160).state_dict(), tmp_path / "model.pt")
    lay_out_app(tmp_path / "app", ORGANS, checkpoint=run)
    sizes = {"width": 0.125, "image_size": 160}
    lay_out_app(tmp_path / "app", CIRRHOSIS, checkpoint=tmp_path / "model.pt", overrides=sizes)
    assert bundles_in(tmp_path / "app") == [ORGANS, CIRRHOSIS]


@pytest.mark.parametrize(
    ("bundle", "options", "message"),
    [
        ("spleen_segmentation", {}, "no such bundle; did you mean spleen_unetr_segmentation"),
        (
            "mixcl_ct_pretraining",
            {},
            "expected a bundle that segments or classifies, found one whose output is magnitude",
        ),
        (ORGANS, {"checkpoint": "nowhere"}, "nowhere: expected the weights of a trained model, found none"),
        (
            ORGANS,
            {"overrides": {"spacin": 1}},
            "--spacin: btcv_unetr_segmentation has no such key; did you mean --spacing",
        ),
        (SPLEEN, {}, "expected weights of spleen_unetr_segmentation, found those of btcv_unetr_segmentation"),
        (ORGANS, {"overrides": {"feature_size": 8}}, "model.pt: does not fit this network"),
        (ORGANS, {"overrides": {"organs": ["liver"]}}, "model.pt: does not fit this network"),
    ],
)
def test_what_cannot_be_served_leaves_nothing(tmp_path, run, bundle, options, message):
    with pytest.raises(UserError, match=message):
        lay_out_app(tmp_path / "app", bundle, **{"checkpoint": run, **options})
    assert not bundles_in(tmp_path / "app")
    assert not list(tmp_path.glob("app/model/*"))


def test_slices_that_the_network_cannot_take_are_refused(tmp_path):
    torch.save(slice_classifier("tinynet", width=0.125).state_dict(), tmp_path / "model.pt")
    sizes = {"width": 0.125, "image_size": 48}
    with pytest.raises(UserError, match="TinyNet needs slices of at least 156"):
        lay_out_app(tmp_path / "app", CIRRHOSIS, checkpoint=tmp_path / "model.pt", overrides=sizes)
    assert not bundles_in(tmp_path / "app")


def test_the_apps_main_needs_the_other_environment(tmp_path, run):
    # here, without MONAI Label, it must fail where torchvision or MONAI Label is missing and not before
    made = lay_out_app(tmp_path / "app", ORGANS, checkpoint=run)
    with pytest.raises(ModuleNotFoundError, match=r"torchvision|monailabel"):
        runpy.run_path(str(made.folder / "main.py"))


def test_slices_that_lie_unevenly_are_interpolated_where_the_app_is_told_so(tmp_path, run):
    planes = np.broadcast_to(np.array([-200, -100, 100, 200]), (32, 32, 4)).astype(np.int16)
    series = write_dicom(tmp_path / "series", planes, [0, 2, 6, 8])
    (tmp_path / "list.json").write_text(json.dumps({"name": "mine", "training": [{"image": "series"}]}))
    made = lay_out_app(tmp_path / "app", ORGANS, checkpoint=run, overrides={"uneven_slices": "interpolate"})
    inference, train = (ConfigParser(config(made, name)) for name in ("inference", "train"))
    load = inference.get_parsed_content("preprocessing").transforms[0]
    np.testing.assert_array_equal(load({"image": str(series)})["image"][..., 16, 16, :].squeeze(), FILLED)
    train["data_list"], train["dataset_dir"] = str(tmp_path / "list.json"), str(tmp_path)
    (item,) = train.get_parsed_content("lists").items()
    np.testing.assert_array_equal(read_volume(item["image"], **reading_options(item)).array[16, 16], FILLED)


@pytest.mark.parametrize("prefix", ["unet.", ""])
def test_a_model_of_slices_is_served_with_its_sizes_and_organs_and_is_not_trained_there(tmp_path, prefix):
    network = SliceUNet(3, features=FEATURES)
    weights = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    if prefix:
        weights["projectors.position.0.weight"] = torch.zeros(2)  # of the training alone
    record = model_record(
        kind="segmentation",
        bundle=FEW_LABELS,
        method="self_paced",
        network=describe_network(network),
        preprocessing={
            "intensity": "percentiles",
            "window": None,
            "image_size": 32,
            "pixel_size": 2.0,
            "fraction": 1.0,
        },
        organs=["cavity", "wall"],
        data_list={},
        scans=None,
        iterations=4,
        seed=0,
        encoder=None,
    )
    save_weights(weights, tmp_path / "model.pt", record)
    made = lay_out_app(tmp_path / "app", FEW_LABELS, checkpoint=tmp_path / "model.pt")
    inference = config(made, "inference")
    assert (inference["features"], inference["image_size"], inference["pixel_size"]) == (FEATURES, 32, 2.0)
    assert inference["organs"] == ["cavity", "wall"]
    folder = made.folder / "model" / FEW_LABELS
    formats = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))["network_data_format"]
    assert formats["inputs"]["image"]["spatial_shape"] == [32, 32]
    assert formats["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "cavity", "2": "wall"}
    copied = torch.load(folder / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(copied[name], tensor) for name, tensor in network.state_dict().items())
    assert not trainable(folder)
    assert trainable(bundle_folder(SPLEEN))


@pytest.mark.parametrize("backbone", ["dynunet", "segresnet"])
def test_an_app_trains_the_network_that_its_weights_are_of(tmp_path, backbone):
    """The app's own training starts from no encoder, whose record would say which network it is."""
    network = segmentation_network(backbone=backbone, img_size=[32] * 3, out_channels=3, feature_size=8)
    record = model_record(
        kind="segmentation",
        bundle=ORGANS,
        method="strong",
        network=describe_network(network),
        preprocessing={"spacing": [4.0] * 3, "window": [-150.0, 250.0], "patch_size": [32] * 3, "modality": "CT"},
        organs=["liver", "spleen"],
        data_list={},
        iterations=4,
        seed=0,
    )
    save_weights(network.state_dict(), tmp_path / "model.pt", record)
    made = lay_out_app(tmp_path / "app", ORGANS, checkpoint=tmp_path / "model.pt")
    for name in ("inference", "train"):
        written = config(made, name)
        assert (written["backbone"], written["feature_size"]) == (backbone, 8)
    # the recipe too: another one mirrors, and the left kidney becomes a right one
    assert config(made, "train")["preset"] == "strong"


def test_a_classifier_of_mr_alone_is_served(tmp_path):
    network = slice_classifier("tinynet", width=0.125, image_size=160)
    settings = {"image_size": 160, "pixel_size": None, "neighbours": 0, "modality": {"MR": "percentiles"}}
    about = {"network": describe_network(network), "preprocessing": settings}
    save_weights(network.state_dict(), tmp_path / "model.pt", about)
    made = lay_out_app(tmp_path / "app", CIRRHOSIS, checkpoint=tmp_path / "model.pt", overrides={"width": 0.125})
    own = read_about(made.folder / "model" / CIRRHOSIS / "models" / "model.pt")
    assert own["preprocessing"]["modality"] == {"MR": "percentiles"}
