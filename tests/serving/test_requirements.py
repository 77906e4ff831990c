"""The pins of MONAI Label's environment are those of the main one wherever a package is in both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# MONAI Label and pydicom-seg read pydicom 2; MLflow wants cachetools below 8
OTHER_VERSION = {"pydicom", "cachetools"}


def pins(file: str) -> dict[str, str]:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    found = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


@pytest.fixture(scope="module")
def label():
    return pins("requirements-monailabel.txt")


def test_shared_packages_have_one_version(label):
    main = pins("constraints.txt")
    differ = {name: (main[name], label[name]) for name in main.keys() & label.keys() if main[name] != label[name]}
    assert set(differ) <= OTHER_VERSION, differ
    assert {"monai", "torch", "numpy", "pytorch-ignite", "nibabel"} <= main.keys() & label.keys()


def test_what_monai_label_needs_is_pinned_and_sam2_is_not_there(label):
    wanted = {"monailabel": "0.8.5", "monai": "1.6.1", "pydicom": "2.4.4", "pynetdicom": "2.1.1"}
    wanted |= {"dicomweb-client": "0.59.3", "torch": "2.13.0", "torchvision": "0.28.0"}
    assert {name: label.get(name) for name in wanted} == wanted
    assert not {"sam2", "sam-2"} & label.keys()


def test_everything_this_package_needs_is_there(label):
    # it is installed there without its dependencies
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    block = text.split("install_requires =")[1].split("\n\n")[0].splitlines()
    names = [re.split(r"[<>=\[]", line.strip())[0] for line in block if line.strip() and "#" not in line]
    assert names
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in names} <= label.keys()
