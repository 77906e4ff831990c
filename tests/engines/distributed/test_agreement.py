"""What processes have to agree on before they begin; `test_two_processes` shows them disagree."""

from __future__ import annotations

import platform
import sys

from monai_cl.engines.distributed.agreement import LOCAL_KEYS, shared_config, versions
from tests.bundles.conftest import BUNDLES, config_files


def test_versions_are_those_of_the_packages_and_pythons_minor_one():
    found = versions()
    assert found["version of python"] == ".".join(platform.python_version_tuple()[:2])
    assert {"version of torch", "version of monai", "version of monai_cl", "version of numpy"} <= found.keys()


def test_paths_and_workers_may_differ_and_all_else_is_compared(monkeypatch):
    bundle = "spleen_unetr_segmentation"
    files = "['" + "','".join(config_files(bundle, "train", "multi_gpu_train")) + "']"
    words = ["monai.bundle", "run", "--config_file", files, "--dataset_dir", "/here", "--batch_size", "3"]
    monkeypatch.setattr(sys, "argv", words)
    found = shared_config()
    assert found["config key batch_size"] == "3"
    assert {"config key seed", "config key process_timeout", "config key train"} <= found.keys()
    assert not {f"config key {key}" for key in LOCAL_KEYS} & found.keys()
    assert all(str(value) for value in found.values())
    # of every bundle that several processes can train
    for path in BUNDLES.glob("*/configs/multi_gpu_train.yaml"):
        monkeypatch.setattr(sys, "argv", [*words[:3], str(path.with_name("train.yaml"))])
        assert "config key seed" in shared_config()


def test_a_process_that_no_bundle_started_has_no_config_to_compare(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["notebook"])
    assert shared_config() == {}
