"""The notebook is run cell by cell, in a folder of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_cl.data import read_results

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "walkthrough.ipynb"
RUN = """
import json, sys
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
names = {"__name__": "__main__"}
for number, cell in enumerate(json.load(open(sys.argv[1], encoding="utf-8"))["cells"]):
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
        for figure in plt.get_fignums():
            plt.figure(figure).savefig(f"cell {number}.png")
        plt.close("all")
"""


def test_it_is_kept_without_outputs_and_every_cell_has_a_name():
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    names = [cell["id"] for cell in content["cells"]]
    assert len(set(names)) == len(names)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_goes_from_scans_to_a_label_map(tmp_path):
    command = [sys.executable, "-c", RUN, str(NOTEBOOK)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", errors="replace")
    assert done.returncode == 0, done.stderr[-3000:]
    folder = tmp_path / "walkthrough"
    scratch, pretrained = (read_results(folder / name) for name in ("scratch", "pretrained"))
    assert scratch["encoder"] is None
    assert set(pretrained["encoder"]["tensors"]) == {"input_block", "downsamples", "bottleneck"}
    for results in (scratch, pretrained):
        assert len(results["data_list"]["training_cases"]) == 1
        assert f"Dice {results['metrics']['mean_dice']:.3f} on 1 case" in done.stdout
    assert all((folder / f"{page}.html").stat().st_size > 10_000 for page in ("preview", "report"))
    assert "5 scans of 5 patients, 5 with label" in done.stdout
    assert "(5, " in done.stdout  # vectors
    scan = nib.load(folder / "ct" / "synthetic_spleen" / "images" / "spleen_0001.nii.gz")
    labels = nib.load(folder / "labels" / "spleen_0001_seg.nii.gz")
    assert labels.shape == scan.shape
    np.testing.assert_allclose(labels.affine, scan.affine, atol=1e-3)
    assert len(list(tmp_path.glob("cell *.png"))) == 3
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"walkthrough"}
