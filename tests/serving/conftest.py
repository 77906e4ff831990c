"""One guarded server for all tests of it, and what it does with files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.audit import Audit
from tests.serving.label_app import CASES, MODEL, lay_out_small_app
from tests.serving.label_server import LabelServer


@pytest.fixture(scope="session")
def guarded_root(tmp_path_factory) -> Path:
    """An app, its studies with links that lead out of them, and what they lead to."""
    root = tmp_path_factory.mktemp("guarded")
    labels = lay_out_small_app(root)
    outside, studies = root / "outside", root / "studies"
    (outside / "folder").mkdir(parents=True)
    for name in ("secret.nii.gz", "folder/secret.nii.gz", f"folder/{CASES[0]}.nii.gz"):
        (outside / name).write_bytes((studies / f"{CASES[0]}.nii.gz").read_bytes())
    (studies / "link.nii.gz").symlink_to(outside / "secret.nii.gz")
    (studies / "labels" / "final").mkdir(parents=True)
    (studies / "labels" / "linked").symlink_to(outside / "folder")
    (studies / "labels" / "final" / f"{CASES[1]}.nii.gz").symlink_to(outside / "secret.nii.gz")
    (studies / "labels" / "final" / f"{CASES[0]}.nii.gz").write_bytes((labels / f"{CASES[0]}.nii.gz").read_bytes())
    # as a server of an earlier version may have left it
    known = {"image": {"ext": ".nii.gz", "info": {}}, "labels": {}}
    objects = {"../outside/secret": known, "link": known, CASES[2]: {**known, "labels": {"../../outside": {}}}}
    store = {"name": "s", "description": "", "images_dir": "../outside", "labels_dir": "labels", "objects": objects}
    (studies / "datastore_v2.json").write_text(json.dumps(store), encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def audit(guarded_root) -> Audit:
    return Audit(guarded_root / "hook")


@pytest.fixture(scope="session")
def guarded_server(guarded_root, audit) -> Iterator[LabelServer]:
    running = LabelServer(
        guarded_root, "--bundle", MODEL, "--studies", "studies", "--app", "app", environment=audit.environment
    )
    try:
        running.wait()
        yield running
    finally:
        running.stop()
