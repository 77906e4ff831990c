"""Inference and the results that are there: another scan's are never replaced, its own are known by their records."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.networks.nets import UNETR

from monai_cl.engines import volumes_in
from monai_cl.engines.launch.error_report import user_error_in
from tests.bad_input.doors import INFERENCE
from tests.bad_input.paths import SIZE, run_config
from tests.data.volume_files import affine_of, ct_array, write_dicom, write_nifti

AFFINE = affine_of("LPS", spacing=(3, 3, 3))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    options = {key: SIZE[key] for key in ("feature_size", "hidden_size", "mlp_dim", "num_heads")}
    network = UNETR(in_channels=1, out_channels=2, img_size=SIZE["patch_size"], **options)
    path = tmp_path_factory.mktemp("model") / "model.pt"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def infer(model, tmp_path):
    """Run the bundle's inference in this process; returns what it printed."""

    def run(scans: list, output: Path, **options) -> str:
        given = {"datalist": [str(scan) for scan in scans], "checkpoint": str(model), "output_dir": str(output)}
        return run_config([INFERENCE], given | options)

    return run


def scan(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_nifti(path, ct_array((16, 16, 8), seed=seed), AFFINE)


def message(caught: pytest.ExceptionInfo) -> str:
    error = user_error_in(caught.value)
    assert error is not None, caught.value
    return str(error)


def test_scans_of_one_name_get_a_result_each_with_a_record(infer, tmp_path):
    scans = [scan(tmp_path / name / "ct.nii.gz", seed) for seed, name in enumerate(("one", "two"))]
    infer(scans, tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        f"{name}_ct_seg{ending}" for name in ("one", "two") for ending in (".nii.gz", ".json")
    }
    record = json.loads((tmp_path / "out" / "two_ct_seg.json").read_text())
    assert record["result_of"]["path"] == str(scans[1])
    assert record["checkpoint"].endswith("model.pt")
    assert list(record["files"]) == ["two_ct_seg.nii.gz"]


def test_a_result_of_another_scan_is_not_replaced_unless_asked(infer, tmp_path):
    one, two = scan(tmp_path / "one" / "ct.nii.gz", 1), scan(tmp_path / "two" / "ct.nii.gz", 2)
    out = tmp_path / "out"
    infer([one], out)
    before = (out / "ct_seg.nii.gz").read_bytes()
    with pytest.raises(RuntimeError) as caught:
        infer([two], out)
    assert f"ct_seg.nii.gz: expected no result, or one of {two}, found that of {one};" in message(caught)
    assert "--overwrite True" in message(caught)
    assert (out / "ct_seg.nii.gz").read_bytes() == before
    infer([two], out, overwrite=True)
    assert json.loads((out / "ct_seg.json").read_text())["result_of"]["path"] == str(two)


def test_the_result_of_the_same_scan_is_replaced_wherever_the_scan_lies(infer, tmp_path):
    one, out = scan(tmp_path / "one" / "ct.nii.gz"), tmp_path / "out"
    infer([one], out)
    moved = tmp_path / "elsewhere" / "ct.nii.gz"
    moved.parent.mkdir()
    one.rename(moved)
    assert "1 of 1 scans have a result" in infer([moved], out)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda out: (out / "ct_seg.json").unlink(), "found a file that no record names"),
        (lambda out: (out / "ct_seg.json").write_text("{}"), "found a file that no record names"),
        (
            lambda out: write_nifti(out / "ct_seg.nii.gz", np.ones((2, 2, 2), np.uint8)),
            "found one that was edited since",
        ),
    ],
)
def test_a_file_of_somebody_elses_and_an_edited_result_stay(infer, tmp_path, spoil, text):
    one, out = scan(tmp_path / "ct.nii.gz"), tmp_path / "out"
    infer([one], out)
    spoil(out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(RuntimeError) as caught:
        infer([one], out)
    assert text in message(caught)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_a_scan_that_has_changed_is_another_one(infer, tmp_path):
    one, out = scan(tmp_path / "ct.nii.gz"), tmp_path / "out"
    infer([one], out)
    scan(tmp_path / "ct.nii.gz", seed=5)
    with pytest.raises(RuntimeError) as caught:
        infer([one], out)
    assert "of which the content has changed since" in message(caught)


def test_an_interrupted_run_is_taken_up_by_the_next(infer, tmp_path, monkeypatch):
    one, out = scan(tmp_path / "ct.nii.gz"), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("monai_cl.engines.segmentation.result_files.ResultRecords.__call__", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            infer([one], out)
    assert (out / "ct_seg.nii.gz").is_file()
    infer([one], out)
    assert json.loads((out / "ct_seg.json").read_text())["files"]["ct_seg.nii.gz"]


def _interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("place", [".", "results"])
def test_results_among_the_scans_are_passed_over_by_their_records(infer, tmp_path, capsys, place):
    scans = [scan(tmp_path / name, seed) for seed, name in enumerate(("t0.nii.gz", "t1.nii.gz", "t2_seg.nii.gz"))]
    infer(volumes_in(tmp_path), tmp_path / place)
    capsys.readouterr()
    assert volumes_in(tmp_path) == [str(path) for path in scans]
    said = f"{tmp_path}: passed over 3 results of earlier runs: t0_seg.nii.gz, t1_seg.nii.gz, t2_seg_seg.nii.gz\n"
    assert capsys.readouterr().out == (said if place == "." else "")
    infer(volumes_in(tmp_path), tmp_path / place)


def test_acquisitions_and_series_of_similar_names_are_kept_apart_with_their_dicom_seg(infer, tmp_path, capsys):
    pytest.importorskip("highdicom", reason='the extra "dicom" is not installed')
    folders = [
        write_dicom(tmp_path / f"1.2.840.{n}", ct_array((16, 16, 8), seed=n), 3.0 * np.arange(8), uid=f"1.2.840.{n}")
        for n in (7, 8)
    ]
    for folder in folders:  # one run each
        infer([folder], tmp_path, dicom_seg=True)
    names = {file.name for file in tmp_path.iterdir() if file.is_file()}
    assert names == {f"1.2.840.{n}_seg{ending}" for n in (7, 8) for ending in (".nii.gz", ".dcm", ".json")}
    assert volumes_in(tmp_path) == [str(folder) for folder in folders]
    for folder in folders:  # results in the folder of the series itself
        infer([folder], folder, dicom_seg=True)
        infer(volumes_in(folder), folder, dicom_seg=True)


def test_a_tilted_result_is_reported_or_resampled(infer, tmp_path, caplog):
    folder = write_dicom(tmp_path / "ct", ct_array((16, 16, 8)), 3.0 * np.arange(8), shift_per_mm=0.25)
    infer([folder], tmp_path / "kept")
    assert "14.0 degrees off right angles" in caplog.text
    assert "--rectify True" in caplog.text
    header = nib.load(tmp_path / "kept" / "ct_seg.nii.gz").header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (0, 1)
    infer([folder], tmp_path / "upright", rectify=True)
    found = nib.load(tmp_path / "upright" / "ct_seg.nii.gz")
    np.testing.assert_allclose(found.get_qform(), found.get_sform(), atol=1e-4)
    assert found.shape[2] == 8
