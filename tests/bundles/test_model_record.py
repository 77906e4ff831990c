"""What the files of weights of every bundle say of themselves."""

from __future__ import annotations

import json

import pytest
import torch

from monai_cl.data import read_results
from monai_cl.networks import read_about
from tests.bundles.conftest import NETWORK, SPACING


def test_a_pretraining_and_its_exported_encoder_carry_one_record(pretraining, encoder):
    results, about = read_results(pretraining), read_about(pretraining / "model.pt")
    assert (about["kind"], about["bundle"], about["preset"]) == ("pretraining", "mixcl_ct_pretraining", "hybrid")
    assert about["network"]["class"] == "monai_cl.networks.mixcl_net.MixCLNet"
    sizes = {"img_size" if key == "patch_size" else key: value for key, value in NETWORK.items()}
    assert about["network"]["arguments"] == {**sizes, "in_channels": 1, "out_channels": 1}
    assert about["preprocessing"] == {
        "spacing": SPACING,
        "orientation": "RAS",
        "window": [-150.0, 250.0],
        "patch_size": [32, 32, 32],
        "modality": "CT",
    }
    training = about["training"]
    # weights are handed on: they say which scans by hashes, see test_pretraining_run
    assert len(training["scans"]) == len(results["data_list"]["training_cases"])
    assert not any(case in json.dumps(about) for case in results["data_list"]["training_cases"])
    assert training["data_lists"][0]["sha256"] == results["data_list"]["sha256"]
    assert (training["iterations"], training["seed"]) == (results["iterations"], results["seed"])
    assert training["versions"] == results["versions"]
    assert about["encoder"] is None
    assert read_about(encoder) == {**about, "kind": "encoder", "organs": None}


def test_a_model_of_organs_names_its_channels_and_the_step_it_is_from(spleen, organs):
    about = read_about(spleen / "model.pt")
    assert (about["kind"], about["organs"]) == ("segmentation", ["spleen"])
    assert about["training"]["iterations"] == read_results(spleen)["best"]["iteration"]
    labels = next(iter(read_results(organs)["data_list"]["datasets"].values()))["labels"]
    assert read_about(organs / "model.pt")["organs"] == labels[1:]


def test_a_checkpoint_of_a_run_carries_the_record_of_its_own_iteration(spleen):
    for path in spleen.glob("checkpoint_iteration=*.pt"):
        about = read_about(path)
        assert about["training"]["iterations"] == torch.load(path, weights_only=True)["iteration"]
        assert about["organs"] == ["spleen"]


@pytest.mark.parametrize("run", ["wsp", "probe"])
def test_networks_of_slices_say_how_a_slice_is_made(run, request):
    folder = request.getfixturevalue(run)
    about = read_about(folder / "model.pt")
    assert about["kind"] == {"wsp": "pretraining", "probe": "classification"}[run]
    assert about["preset"] == "wsp"
    assert about["network"]["arguments"] == {"backbone": "tinynet", "in_channels": 1, "width": 0.125}
    assert about["preprocessing"] == {
        "spacing": None,
        "orientation": "RAS",
        "window": [-100.0, 400.0],
        "image_size": 160,
        "pixel_size": None,
        "neighbours": 0,
        "fraction": 0.7,
        "organ": "liver",
        "modality": "CT",
        **({"empty_ends": False} if run == "probe" else {}),
    }
    assert len(about["training"]["scans"]) == len(read_results(folder)["data_list"]["training_cases"])
    assert {scan["used"] for scan in about["training"]["scans"]} == {"target"}
