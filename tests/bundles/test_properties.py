"""MONAI's own check of a bundle: the properties its tools (MONAI Label, the model zoo) reach for, in one process."""

from __future__ import annotations

from collections.abc import Callable

import nibabel as nib
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.transforms import Compose, SaveImaged

from monai_cl.engines import load_network
from tests.bundles.conftest import BUNDLES, ORGANS, PRETRAINING, SPLEEN, TINY, config_files

# Ignite warns of MONAI's way to attach a scheduler; torch of a pinned memory that is not there
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def workflow(training_options, tmp_path) -> Callable[..., ConfigWorkflow]:
    """A workflow as MONAI's tools make it, initialised."""

    def make(bundle: str, *names: str, kind: str, **options: object) -> ConfigWorkflow:
        known = set(training_options(bundle)) if names[0] == "train" else set(TINY)
        given = {key: value for key, value in training_options(bundle).items() if key in known}
        made = ConfigWorkflow(
            config_file=config_files(bundle, *names),
            meta_file=str(BUNDLES / bundle / "configs" / "metadata.json"),
            logging_file=False,
            workflow_type=kind,
            **{**given, "output_dir": str(tmp_path / "run"), **options},
        )
        made.initialize()
        return made

    return make


@pytest.mark.parametrize("bundle", [PRETRAINING, SPLEEN, ORGANS])
def test_training_has_every_property_and_the_right_references(workflow, bundle):
    assert workflow(bundle, "train", kind="train").check_properties() == []


def test_properties_are_live_objects(workflow):
    made = workflow(SPLEEN, "train", kind="train")
    assert made.max_epochs == 2
    assert isinstance(made.network_def, torch.nn.Module)
    assert len(made.train_dataset_data) == 4
    assert {item["id"] for item in made.val_dataset_data}.isdisjoint(item["id"] for item in made.train_dataset_data)
    # nothing is computed from the crops of a training but its loss
    assert made.train_postprocessing is made.train_key_metric is None
    assert made.version == made.parser["_meta_#version"]
    assert set(made.channel_def) == {"0", "1"}
    assert made.spatial_shape == [96, 96, 96]


@pytest.mark.parametrize("bundle", [PRETRAINING, SPLEEN, ORGANS])
def test_the_evaluation_overlay_has_every_property(workflow, pretraining, spleen, organs, bundle):
    run = {PRETRAINING: pretraining, SPLEEN: spleen, ORGANS: organs}[bundle]
    more = {"preset": "hybrid", "split": "training"} if bundle == PRETRAINING else {}
    made = workflow(bundle, "train", "evaluate", kind="train", checkpoint=str(run / "model.pt"), **more)
    assert made.check_properties() == []


def test_an_evaluation_has_its_metric_and_what_leads_to_it(workflow, spleen):
    made = workflow(SPLEEN, "train", "evaluate", kind="evaluation", checkpoint=str(spleen / "model.pt"))
    assert made.check_properties() == []
    assert list(made.key_metric) == ["val_mean_dice"]
    assert made.dataset.transform is made.preprocessing
    assert isinstance(made.postprocessing, Compose)
    assert made.dataset is made.evaluator.data_loader.dataset


@pytest.mark.parametrize("bundle", [SPLEEN, ORGANS])
def test_inference_has_every_property(workflow, cohort, spleen, organs, bundle):
    run, images = (spleen, "synthetic_spleen") if bundle == SPLEEN else (organs, "synthetic_target")
    made = workflow(
        bundle,
        "inference",
        kind="infer",
        checkpoint=str(run / "model.pt"),
        dataset_dir=str(cohort / images / "images"),
    )
    assert made.check_properties() == []
    assert len(made.dataset_data) == 5


def test_inference_of_the_pretraining_has_every_property(workflow, cohort, pretraining):
    options = {"checkpoint": str(pretraining / "model.pt"), "dataset_dir": str(cohort / "synthetic_liver" / "images")}
    assert workflow(PRETRAINING, "inference", kind="infer", **options).check_properties() == []


def test_the_inference_file_alone_serves_monai_label(cohort, spleen, tmp_path, monkeypatch):
    # MONAI Label reads this one file, without metadata, adds image_path to the item and saves the result itself; it
    # may start before there is any scan
    monkeypatch.chdir(tmp_path)
    parser = ConfigParser()
    parser.read_config(config_files(SPLEEN, "inference")[0])
    parser.config.update({**TINY, "bundle_root": str(BUNDLES / SPLEEN), "output_dir": str(tmp_path)})
    transforms = parser.get_parsed_content("preprocessing").transforms
    network = parser.get_parsed_content("network_def")
    load_network(network, spleen / "model.pt")
    inferer = parser.get_parsed_content("inferer")
    post = [step for step in parser.get_parsed_content("postprocessing").transforms if not isinstance(step, SaveImaged)]
    scan = cohort / "synthetic_spleen" / "images" / "spleen_0001.nii.gz"
    item = Compose(transforms)({"image": str(scan), "image_path": str(scan), "label_info": {"spleen": 1}})
    assert item["image_path"] == str(scan)
    with torch.no_grad():
        item["pred"] = inferer(item["image"][None], network.eval())[0]
    assert Compose(post)(item)["pred"].shape[1:] == nib.load(scan).shape
