"""`python -m monai.bundle verify_metadata` against the schema that comes with the package; nothing is downloaded."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from monai.bundle import verify_metadata

import monai_cl
from monai_cl.shipped import METADATA_SCHEMA
from tests.bundles.conftest import BUNDLES, SPLEEN

ALL = sorted(path.name for path in BUNDLES.iterdir() if path.is_dir())
SCHEMA = json.loads(METADATA_SCHEMA.read_text(encoding="utf-8"))


def metadata(bundle: str) -> dict:
    return json.loads((BUNDLES / bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))


def verify(document: dict, folder: Path) -> None:
    """`verify_metadata` of a document."""
    file = folder / "metadata.json"
    file.write_text(json.dumps(document))
    digest = hashlib.sha256(METADATA_SCHEMA.read_bytes()).hexdigest()
    verify_metadata(meta_file=str(file), filepath=str(METADATA_SCHEMA), hash_val=digest, hash_type="sha256")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("asked for the network")

    monkeypatch.setattr("monai.apps.utils._download_with_progress", no_network, raising=True)
    monkeypatch.setattr("socket.socket.connect", no_network)


def test_metadata_of_every_bundle_pass_monais_own_command(launcher, tmp_path):
    file = BUNDLES / SPLEEN / "configs" / "metadata.json"
    words = ("--meta_file", file, "--filepath", METADATA_SCHEMA)
    done = launcher.run("monai.bundle", "verify_metadata", *words, cwd=tmp_path).check()
    assert "metadata is verified with no error" in done.out + done.err
    assert not any(tmp_path.iterdir())
    for bundle in ALL:
        verify(metadata(bundle), tmp_path)
        # these are the project's own demand
        assert all(metadata(bundle)[key] for key in ("changelog", "schema", "intended_use", "data_source")), bundle


def test_what_the_specification_demands_is_demanded(tmp_path):
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    for key in SCHEMA["required"]:
        document = metadata(SPLEEN)
        del document[key]
        with pytest.raises(ValueError, match=f"'{key}' is a required property"):
            verify(document, tmp_path)
    for side, name in (("inputs", "image"), ("outputs", "pred")):
        for key in SCHEMA["definitions"]["tensor"]["required"]:
            document = metadata(SPLEEN)
            del document["network_data_format"][side][name][key]
            with pytest.raises(ValueError, match=f"'{key}' is a required property"):
                verify(document, tmp_path)
    document = metadata(SPLEEN)
    document["optional_packages_version"] = document.pop("required_packages_version")  # the older key
    verify(document, tmp_path)
    for key in ("optional_packages_version", "network_data_format"):
        lacking = {name: value for name, value in document.items() if name != key}
        with pytest.raises(ValueError, match="is not valid under any of the given schemas"):
            verify(lacking, tmp_path)


SPELLING = [
    ("version", 1),
    ("version", "one"),
    ("monai_version", "latest"),
    ("authors", " "),
    ("authors", ["A", "B"]),
    ("changelog", {}),
    ("changelog", {"first": "text"}),
    ("required_packages_version", {"nibabel": 5}),
    ("references", "a paper"),
    ("network_data_format", {"inputs": {}, "outputs": {}}),
    ("image/type", " "),
    ("image/num_channels", -1),
    ("image/num_channels", "1"),
    ("image/spatial_shape", [96, 0, 96]),
    ("image/spatial_shape", [1, 2, 3, 4]),
    ("image/spatial_shape", ["16*"]),
    ("image/spatial_shape", ["import os"]),
    ("image/dtype", ""),
    ("image/value_range", [0]),
    ("image/value_range", ["0", "1"]),
    ("image/is_patch_data", "true"),
    ("image/channel_def", {"first": "image"}),
    ("image/channel_def", {"0": ""}),
]


def changed(document: dict, place: str, value: Any) -> dict:
    document = copy.deepcopy(document)
    tensor, _, key = place.rpartition("/")
    where = document["network_data_format"]["inputs"][tensor] if tensor else document
    where.update({key: value})
    if value is None:
        del where[key]
    return document


def test_what_a_reader_of_metadata_would_stumble_over_is_refused(tmp_path):
    for place, value in SPELLING:
        with pytest.raises(ValueError, match="Failed validating"):
            verify(changed(metadata(SPLEEN), place, value), tmp_path)
    for shape in ([], [512], ["*", "*"], ["16*n", "16*n", 96], ["2**p", "2**p*n", "(n+1)*8"]):
        verify(changed(metadata(SPLEEN), "image/spatial_shape", shape), tmp_path)


# what bundles of the model zoo write beyond the specification, read in their metadata.json; None: the key is left out
OF_THE_ZOO = [
    *(("image/type", kind) for kind in ("noise", "feature", "timesteps", "vector", "tabular", "magnitude", "object")),
    ("image/dtype", "long"),
    ("image/dtype", "dictionary"),
    ("image/is_patch_data", None),
    ("image/channel_def", None),
    ("image/channel_def", {}),
    ("image/num_channels", 0),
    ("image/spatial_shape", ["256", "256"]),
    ("image/value_range", [0, 1, 2, 3]),
    ("copyright", ""),
    ("description", ""),
    ("data_source", ""),
    ("references", [""]),
    ("supported_apps", {"vista3d-nim": ""}),
    ("eval_metrics", {"mean_dice": {"central gland": 0.88, "peripheral zone": 0.75}}),
    ("monai_version", "1.3.0rc5"),
    ("required_packages_version", {"torch": "2.7.0+cu126", "segment_anything": "1.0"}),
    ("changelog", None),
    ("coordinate_values", {"0": 10}),
]


def test_the_forms_of_the_model_zoo_are_accepted(tmp_path):
    for place, value in OF_THE_ZOO:
        verify(changed(metadata(SPLEEN), place, value), tmp_path)
    generator = metadata(SPLEEN)
    generator["generator_data_format"] = generator.pop("network_data_format")
    verify(generator, tmp_path)


@pytest.mark.parametrize("bundle", ALL)
def test_our_own_metadata_keep_to_the_words_of_the_specification(bundle):
    document = metadata(bundle)
    assert document["copyright"]
    assert document["description"]
    assert document["changelog"]
    sides = document["network_data_format"]
    for tensor in (*sides["inputs"].values(), *sides["outputs"].values()):
        assert tensor["type"] in {"image", "series", "tuples", "probabilities"}
        assert isinstance(getattr(torch, tensor["dtype"]), torch.dtype)
        assert tensor["is_patch_data"] in (True, False)
        assert set(tensor["channel_def"]) <= {str(number) for number in range(tensor["num_channels"])}
        assert tensor["channel_def"]


@pytest.mark.parametrize("bundle", ALL)
def test_every_version_of_a_bundle_is_one_of_the_projects_changelog(bundle):
    text = (BUNDLES.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## ([0-9.]+)", text, flags=re.MULTILINE)
    assert released[0] == monai_cl.__version__, "the first entry of CHANGELOG.md is this version's"
    document = metadata(bundle)
    assert next(iter(document["changelog"])) == document["version"], "the first entry of a changelog is its version's"
    assert set(document["changelog"]) <= set(released)
