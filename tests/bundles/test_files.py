"""What a bundle consists of, and what its metadata say."""

from __future__ import annotations

import configparser
import json
import logging.config
import re
from pathlib import Path

import monai
import pytest
import yaml

import monai_cl
from monai_cl.data import load_data_list
from monai_cl.engines import shipped_list
from monai_cl.engines.launch.command_line import stated_default
from tests.bundles.conftest import BUNDLES, ORGANS, PRETRAINING, SPLEEN, without_model

ALL = sorted(path.name for path in BUNDLES.iterdir() if path.is_dir())
SEGMENTATION = (SPLEEN, ORGANS)


def metadata(bundle: str) -> dict:
    return json.loads((BUNDLES / bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))


def config(bundle: str, name: str) -> dict:
    content = yaml.safe_load((BUNDLES / bundle / "configs" / f"{name}.yaml").read_text(encoding="utf-8"))
    return {key: stated_default(value) for key, value in content.items()}


def header(file: Path) -> str:
    lines = file.read_text(encoding="utf-8").splitlines()
    return "\n".join(lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])


def test_the_bundles_of_the_design_are_there():
    assert {PRETRAINING, SPLEEN, ORGANS} <= set(ALL)


@pytest.mark.parametrize("bundle", ALL)
def test_a_bundle_has_its_configs_its_readme_and_the_licence(bundle):
    folder = BUNDLES / bundle
    for name in (
        "train.yaml",
        "multi_gpu_train.yaml",
        "evaluate.yaml",
        "inference.yaml",
        "metadata.json",
        "logging.conf",
    ):
        assert (folder / "configs" / name).is_file(), name
    assert len((folder / "docs" / "README.md").read_text(encoding="utf-8")) > 300
    assert (folder / "LICENSE").read_bytes() == (BUNDLES.parent / "LICENSE").read_bytes()


@pytest.mark.parametrize("bundle", ALL)
def test_every_config_begins_with_the_command_that_runs_it(bundle):
    for file in (BUNDLES / bundle / "configs").glob("*.yaml"):
        assert "Command:" in header(file), file
    text = header(BUNDLES / bundle / "configs" / "train.yaml")
    assert "Paper:" in text
    assert "Score:" in text


@pytest.mark.parametrize("bundle", ALL)
def test_versions_are_those_of_the_package_and_of_what_is_tested(bundle):
    content = metadata(bundle)
    assert content["version"] == monai_cl.__version__
    assert content["monai_version"] == monai.__version__
    lines = (BUNDLES.parent / "constraints.txt").read_text(encoding="utf-8").lower().splitlines()
    tested = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    packages = dict(content["required_packages_version"])
    assert packages.pop("monai-cl") == monai_cl.__version__
    packages |= {"torch": content["pytorch_version"], "numpy": content["numpy_version"], "monai": monai.__version__}
    for package, version in packages.items():
        assert version == tested[package.lower()].split("+")[0].strip(), package
    # whoever installs what the metadata names can run the bundle (setup.cfg: what is installed may be older)
    setup = configparser.ConfigParser()
    setup.read(BUNDLES.parent / "setup.cfg", encoding="utf-8")
    required = [line for line in setup["options"]["install_requires"].split("\n") if line and not line.startswith("#")]
    assert {package.lower() for package in packages} == {re.match(r"[\w.-]+", text)[0].lower() for text in required}


@pytest.mark.parametrize("bundle", ALL)
def test_the_data_format_is_complete_and_that_of_the_config(bundle):
    formats = metadata(bundle)["network_data_format"]
    image, prediction = formats["inputs"]["image"], formats["outputs"]["pred"]
    for part in (image, prediction):
        for key in ("type", "format", "num_channels", "spatial_shape", "dtype", "value_range", "is_patch_data"):
            assert key in part, key
        channels = {str(i) for i in range(part["num_channels"])}
        # the numbers of a representation have no names
        assert set(part["channel_def"]) == ({"0"} if part["format"] == "latent" else channels)
    if "patch_size" in (train := config(bundle, "train")):
        assert image["spatial_shape"] == without_model(train["patch_size"])


@pytest.mark.parametrize(("bundle", "shipped"), [(SPLEEN, "msd_spleen"), (ORGANS, "btcv")])
def test_organs_have_one_order_in_metadata_inference_and_data_list(bundle, shipped):
    organs = without_model(config(bundle, "inference")["organs"])
    labels = load_data_list(shipped_list(shipped), data_root=".").labels
    assert organs == [labels[i] for i in range(1, len(labels))]
    channels = metadata(bundle)["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert channels == {"0": "background", **{str(i): organ for i, organ in enumerate(organs, start=1)}}


@pytest.mark.parametrize("bundle", SEGMENTATION)
def test_training_and_inference_see_a_volume_alike(bundle):
    train, inference = config(bundle, "train"), config(bundle, "inference")
    for key in ("spacing", "window", "patch_size", "feature_size", "hidden_size", "mlp_dim", "num_heads", "amp"):
        assert without_model(train[key]) == without_model(inference[key]), key
    assert train["validate"]["inferer"] == inference["inferer"]
    steps = inference["postprocessing"]["transforms"]
    targets = [step["_target_"] for step in steps]
    *validated, last = (step["_target_"] for step in train["validate"]["postprocessing"]["transforms"])
    assert last == "monai_cl.engines.AnnotatedVoxelsd"  # by the label, which inference does not have
    # the last steps write files
    assert targets[: targets.index("SaveImaged")] == validated


@pytest.mark.parametrize("bundle", ALL)
def test_what_an_inference_writes_has_whole_names_and_a_record(bundle):
    inference = config(bundle, "inference")
    assert inference["overwrite"] is False
    steps = (inference.get("postprocessing") or {}).get("transforms", [])
    for step in (step for step in steps if step["_target_"] == "SaveImaged"):
        assert step["folder_layout"] == "@results"
        assert inference["results"]["_target_"] == "monai_cl.engines.ResultFiles"
        assert "monai_cl.engines.ResultRecords" in [handler["_target_"] for handler in inference["handlers"]]
        assert "results=@results" in inference["dataset"]["data"]


@pytest.mark.parametrize("bundle", ALL)
def test_the_logging_file_is_one(bundle, monkeypatch):
    import configparser

    parser = configparser.ConfigParser()
    parser.read(BUNDLES / bundle / "configs" / "logging.conf")
    assert parser["loggers"]["keys"] == "root"
    # as MONAI demands: nothing but literals and sys.stdout in args
    assert parser["handler_consoleHandler"]["args"] == "(sys.stdout,)"
    assert logging.config is not None


def test_the_two_segmentation_bundles_differ_by_their_data_alone():
    for name in ("train", "inference", "evaluate", "multi_gpu_train"):
        one, other = (config(bundle, name) for bundle in SEGMENTATION)
        for content, bundle in ((one, SPLEEN), (other, ORGANS)):  # their own names in what they write
            steps = content.get("postprocessing", "")
            for step in [] if isinstance(steps, str) else steps["transforms"]:  # of an evaluation a reference
                assert step.pop("model", bundle) == bundle
        different = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
        assert different <= {"bundle_root", "data_list", "organs", "train"}
        if "train" in different:
            assert {**one["train"], "recorder": None} == {**other["train"], "recorder": None}


@pytest.mark.parametrize("bundle", ALL)
def test_no_option_is_set_twice(bundle):
    class Strict(yaml.SafeLoader):
        """Refuses a key that is there already; YAML takes the last silently."""

    def mapping(loader, node, deep=False):
        keys = [loader.construct_object(key) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: twice in {keys}"
        return yaml.SafeLoader.construct_mapping(loader, node, deep)

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    for file in (BUNDLES / bundle / "configs").rglob("*.yaml"):
        with file.open(encoding="utf-8") as stream:
            yaml.load(stream, Strict)


def test_every_training_takes_the_number_of_checkpoints_that_stay():
    for file in sorted(
        [*BUNDLES.glob("*/configs/train.yaml"), BUNDLES / "head_ct_classification/configs/pretrain.yaml"]
    ):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        handlers = content["train#handlers"] if "train#handlers" in content else content["train"]["handlers"]
        (checkpoints,) = (h for h in handlers if h["_target_"] == "monai_cl.engines.Checkpoints")
        assert checkpoints["keep"] == "@keep_checkpoints", file
        assert content.get("keep_checkpoints", 2) == 2, file
