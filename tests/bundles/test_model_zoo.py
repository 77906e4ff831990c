"""What MONAI's model zoo verifies before it takes a bundle, in its order, on each of ours at its full size.

Directory, version and changelog, metadata, data shape, TorchScript; the weights are random, as where the zoo has none.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ckpt_export, verify_metadata, verify_net_in_out

from monai_cl.shipped import METADATA_SCHEMA
from tests.bundles.conftest import BUNDLES

SLICES = (
    "cirrhosis_classification",
    "clustering_pretraining",
    "meta_label_pretraining",
    "semi_supervised_segmentation",
    "wsp_ct_pretraining",
)
VOLUMES = ("btcv_unetr_segmentation", "mixcl_ct_pretraining", "spleen_unetr_segmentation")  # 93 M parameters each


HEADS = "head_ct_classification"


def test_every_bundle_is_verified_here():
    assert {path.name for path in BUNDLES.iterdir() if path.is_dir()} == {*SLICES, *VOLUMES, HEADS}


@pytest.mark.parametrize("name", [*SLICES, *(pytest.param(name, marks=pytest.mark.slow) for name in (*VOLUMES, HEADS))])
def test_a_bundle_passes_what_the_zoo_verifies(name, tmp_path, monkeypatch):
    bundle = Path(shutil.copytree(BUNDLES / name, tmp_path / "models" / name))
    monkeypatch.chdir(tmp_path)
    metadata, inference = bundle / "configs" / "metadata.json", bundle / "configs" / "inference.yaml"
    network = ConfigParser(ConfigParser.load_config_files(str(inference))).get_parsed_content("network_def")
    (bundle / "models").mkdir()
    torch.save(network.state_dict(), bundle / "models" / "model.pt")
    for needed in (metadata, inference, bundle / "LICENSE", bundle / "models" / "model.pt"):
        assert needed.is_file(), needed
    document = json.loads(metadata.read_text(encoding="utf-8"))
    assert document["version"] in document["changelog"]
    digest = hashlib.sha256(METADATA_SCHEMA.read_bytes()).hexdigest()
    verify_metadata(meta_file=str(metadata), filepath=str(METADATA_SCHEMA), hash_val=digest, hash_type="sha256")
    given = {"net_id": "network_def", "meta_file": str(metadata), "config_file": str(inference)}
    verify_net_in_out(**given, bundle_root=str(bundle))
    weights, script = bundle / "models" / "model.pt", bundle / "models" / "verify_model.ts"
    ckpt_export(**given, filepath=str(script), ckpt_file=str(weights), bundle_root=str(bundle))
    shape = document["network_data_format"]["inputs"]["image"]["spatial_shape"]
    with torch.no_grad():
        found = torch.jit.load(script)(torch.zeros(1, 1, *shape))
    assert found.shape[1] == document["network_data_format"]["outputs"]["pred"]["num_channels"]
