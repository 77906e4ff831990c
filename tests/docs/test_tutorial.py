"""The tutorial is typed in as written, against the bundles as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_cl.data import read_results
from tests.docs.commands import ROOT, all_blocks

PAGE = "docs/tutorial.md"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def folder(shell, tmp_path_factory) -> Path:
    """The working folder of somebody who has done the tutorial."""
    home = tmp_path_factory.mktemp("tutorial")
    for name in ("bundles", "data_lists"):
        shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("models", "eval", "store"))
    steps = [step for block in all_blocks() if block.file == PAGE and not block.inline for step in block.steps]
    assert len(steps) > 8
    script = "\n".join(f"{step.text}\n[ $? -eq 0 ] || {{ echo '{PAGE}:{step.line}' >&2; exit 1; }}" for step in steps)
    shell.run(script, cwd=home).check()
    return home / "tutorial"


def test_every_step_leaves_what_the_text_says(folder):
    assert (folder / "ct" / "pretraining.json").is_file()
    assert (folder / "pretraining" / "model.pt").is_file()
    assert (folder / "encoder.pt").is_file()
    scratch, pretrained = (read_results(folder / name) for name in ("scratch", "pretrained"))
    assert scratch["initialisation"] == "scratch"
    assert pretrained["initialisation"] != "scratch"
    for results in (scratch, pretrained):
        assert len(results["data_list"]["training_cases"]) == 4
        assert len(results["metrics"]["per_case"]) == 1


def test_the_report_is_one_file_that_says_there_are_too_few_cases(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "too few for an interval or a test" in text
    assert "data:image/webp" in text


def test_the_label_map_lies_on_the_grid_of_the_scan(folder):
    scan = nib.load(folder / "ct" / "synthetic_spleen" / "images" / "spleen_0001.nii.gz")
    labels = nib.load(folder / "labels" / "spleen_0001_seg.nii.gz")
    assert labels.shape == scan.shape
    np.testing.assert_allclose(labels.affine, scan.affine, atol=1e-3)
    assert set(np.unique(np.asanyarray(labels.dataobj))) <= {0, 1}


def test_nothing_is_written_beside_its_folder(folder):
    assert sorted(path.name for path in folder.parent.iterdir()) == ["bundles", "data_lists", "tutorial"]
    assert not list((folder.parent / "bundles").glob("*/models"))
