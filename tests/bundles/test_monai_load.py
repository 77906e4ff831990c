"""`monai.bundle.load` and `ConfigWorkflow`, MONAI's own ways to a bundle, called from a folder elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow, load

from monai_cl.cli.commands import main
from monai_cl.engines import load_network
from monai_cl.errors import UserError
from monai_cl.networks import read_about, reconstruction_network
from tests.bundles.conftest import BUNDLES, NETWORK, PRETRAINING, SPLEEN, words

ALL = sorted(path.name for path in BUNDLES.iterdir() if path.is_dir())
SMALL = words({key: value for key, value in NETWORK.items() if key != "patch_size"})
SIZES = {name: SMALL for name in ALL if "unetr" in name or name == PRETRAINING}
SIZES["clustering_pretraining"] = ["--backbone", "tinynet"]
# MONAI warns that a config is code
pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """A folder for bundles; the current directory is another one."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "zoo"


@pytest.fixture
def with_weights(elsewhere) -> Callable[..., Path]:
    """``with_weights(name, *options)``: a copy of a bundle with random weights."""

    def make(name: str, *options: str) -> Path:
        main(["bundle", "copy", name, str(elsewhere / name)])
        main(["bundle", "weights", str(elsewhere / name), "--random", *SIZES.get(name, []), *options])
        return elsewhere / name

    return make


@pytest.mark.parametrize("name", ALL)
def test_load_gives_the_network_of_every_bundle_with_its_weights(name, with_weights):
    bundle = with_weights(name)
    written = torch.load(bundle / "models" / "model.pt", weights_only=True)
    network = load(name, bundle_dir=bundle.parent, device="cpu")
    assert network.state_dict().keys() == written.keys()
    for key, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, written[key], rtol=0, atol=0)


def test_load_takes_the_model_of_a_run_whose_names_are_others_from_any_place(pretraining, elsewhere):
    # "unetr." is in front of them, and projectors beside them: MONAI would copy nothing, and say nothing
    network = load(PRETRAINING, bundle_dir=BUNDLES, model_file=str(pretraining / "model.pt"), device="cpu")
    sizes = {"img_size" if key == "patch_size" else key: value for key, value in NETWORK.items()}
    expected = reconstruction_network(**sizes)
    load_network(expected, pretraining / "model.pt", ignore=("projectors.", "segmentation_head."))
    image = torch.rand(1, 1, *NETWORK["patch_size"])
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(image), expected.eval()(image))


def test_load_refuses_weights_that_do_not_fit(spleen, with_weights):
    bundle = with_weights("wsp_ct_pretraining")
    with pytest.raises(RuntimeError) as failed:
        load("wsp_ct_pretraining", bundle_dir=bundle.parent, model_file=str(spleen / "model.pt"))
    causes = [failed.value]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    assert isinstance(causes[-1], UserError)
    assert str(spleen / "model.pt") in str(causes[-1])


def test_a_workflow_made_elsewhere_takes_the_model_beside_its_own_config(with_weights):
    bundle = with_weights(SPLEEN, "--organs", '["spleen","liver"]')
    config = bundle / "configs" / "inference.yaml"
    workflow = ConfigWorkflow(config_file=str(config), workflow_type="infer", logging_file=False)
    workflow.initialize()
    assert workflow.bundle_root == str(bundle)
    written = torch.load(bundle / "models" / "model.pt", weights_only=True)
    torch.testing.assert_close(workflow.network_def.state_dict()["out.conv.conv.bias"], written["out.conv.conv.bias"])
    assert len(written["out.conv.conv.bias"]) == 3


def test_random_weights_say_that_they_are_untrained_and_are_those_of_the_seed(with_weights):
    bundle = with_weights("wsp_ct_pretraining", "--seed", "3")
    file = bundle / "models" / "model.pt"
    about = read_about(file)
    assert (about["kind"], about["bundle"], about["training"]["iterations"]) == ("pretraining", bundle.name, 0)
    first = file.read_bytes()
    main(["bundle", "weights", str(bundle), "--random", "--seed", "3", "--overwrite"])
    assert file.read_bytes() == first
    main(["bundle", "weights", str(bundle), "--random", "--seed", "4", "--overwrite"])
    assert file.read_bytes() != first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "expected --random, found no option; add it: the weights are untrained"),
        (["--random"], "exists already; --overwrite replaces it"),
        (["--random", "--overwrite", "--feature_sise", "4"], "--feature_sise: "),
    ],
)
def test_what_the_command_does_not_do_is_said_and_the_file_is_kept(options, message, with_weights, capsys):
    bundle = with_weights("wsp_ct_pretraining")
    before = (bundle / "models" / "model.pt").read_bytes()
    with pytest.raises(SystemExit) as end:
        main(["bundle", "weights", str(bundle), *options])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert (bundle / "models" / "model.pt").read_bytes() == before


@pytest.mark.parametrize("name", ALL)
def test_the_file_for_load_has_the_network_and_no_training_of_its_own(name):
    content = json.loads((BUNDLES / name / "configs" / "train.json").read_text(encoding="utf-8"))
    assert content["bundle_root"] == f"$monai_cl.engines.bundle_root('{name}')"
    assert {"train", "run"}.isdisjoint(content)
