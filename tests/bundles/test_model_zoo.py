"""What ``verify_bundle.py`` of MONAI's model zoo verifies before it takes a bundle, in its order, on each of ours.

Directory, version and changelog, metadata, data shape, TorchScript; the weights are those of
``bundle weights --random``, small ones for the networks of 93 million parameters.
"""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from monai.bundle import ckpt_export, verify_metadata, verify_net_in_out

from monai_cl.cli.commands import main
from monai_cl.shipped import METADATA_SCHEMA
from tests.bundles.conftest import BUNDLES

SLICES = (
    "cirrhosis_classification",
    "meta_label_pretraining",
    "semi_supervised_segmentation",
    "wsp_ct_pretraining",
)
VOLUMES = ("btcv_unetr_segmentation", "mixcl_ct_pretraining", "spleen_unetr_segmentation")
LARGE = ("clustering_pretraining", "head_ct_classification")  # by their input
SMALL = dict.fromkeys(VOLUMES, ("--feature_size", "4", "--hidden_size", "48", "--mlp_dim", "96", "--num_heads", "4"))


def test_every_bundle_is_verified_here():
    assert {path.name for path in BUNDLES.iterdir() if path.is_dir()} == {*SLICES, *VOLUMES, *LARGE}


def test_a_network_that_cannot_be_built_is_one_line(tmp_path, capsys):
    """What a function of the config refuses, MONAI's parser wraps."""
    main(["bundle", "copy", "spleen_unetr_segmentation", str(tmp_path / "spleen")])
    with pytest.raises(SystemExit):
        main(["bundle", "weights", str(tmp_path / "spleen"), "--random", "--backbone", "resnet"])
    said = capsys.readouterr().err
    assert (
        "error: backbone: expected one of dynunet, segresnet, swin_unetr, swin_unetr_1_4, swin_unetr_v2, unetr" in said
    )
    assert "Traceback" not in said
    assert not (tmp_path / "spleen" / "models").exists()


@pytest.mark.parametrize("name", [*SLICES, *VOLUMES, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_a_bundle_passes_what_the_zoo_verifies(name, tmp_path, monkeypatch):
    bundle = tmp_path / "models" / name
    monkeypatch.chdir(tmp_path)
    main(["bundle", "copy", name, str(bundle)])
    main(["bundle", "weights", str(bundle), "--random", *SMALL.get(name, ())])
    metadata, inference = bundle / "configs" / "metadata.json", bundle / "configs" / "inference.yaml"
    for needed in (metadata, inference, bundle / "LICENSE", bundle / "models" / "model.pt"):
        assert needed.is_file(), needed
    document = json.loads(metadata.read_text(encoding="utf-8"))
    assert document["version"] in document["changelog"]
    digest = hashlib.sha256(METADATA_SCHEMA.read_bytes()).hexdigest()
    verify_metadata(meta_file=str(metadata), filepath=str(METADATA_SCHEMA), hash_val=digest, hash_type="sha256")
    files = {"meta_file": str(metadata), "config_file": str(inference), "bundle_root": str(bundle)}
    assert document["supported_apps"] == {}  # the zoo checks the properties that these ask for
    given = {"net_id": "network_def", **files}
    verify_net_in_out(**given)
    weights, script = bundle / "models" / "model.pt", bundle / "models" / "verify_model.ts"
    ckpt_export(**given, filepath=str(script), ckpt_file=str(weights))
    shape = document["network_data_format"]["inputs"]["image"]["spatial_shape"]
    with torch.no_grad():
        found = torch.jit.load(script)(torch.zeros(1, 1, *shape))
    assert found.shape[1] == document["network_data_format"]["outputs"]["pred"]["num_channels"]
