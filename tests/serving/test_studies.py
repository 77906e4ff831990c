"""The folder of scans as MONAI Label lists it; run in MONAI Label's own environment."""

from __future__ import annotations

import os
import subprocess
import textwrap
from pathlib import Path

import pytest

from monai_cl.data.io.result_records import scan_identity, write_record
from monai_cl.errors import UserError
from monai_cl.serving import find_interpreter
from tests.data.volume_files import affine_of, ct_array, write_itk, write_nifti

pytestmark = pytest.mark.monailabel


def run(code: str, folder: Path) -> list[str]:
    """Lines that a program prints in MONAI Label's environment."""
    try:
        python = find_interpreter(None)
    except UserError as error:
        pytest.skip(str(error))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(
        [python, "-c", textwrap.dedent(code)],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_results_and_second_files_of_a_name_are_not_scans(tmp_path):
    for name in ("a.nii.gz", "1.2.840.7.nii.gz", "1.2.840.8.nii.gz", "a_seg.nii.gz", "b_seg.nii.gz"):
        write_nifti(tmp_path / name, ct_array())
    write_itk(tmp_path / "a.nrrd", ct_array(), affine_of("LPS"))
    write_record(tmp_path / "a_seg.json", scan_identity(tmp_path / "a.nii.gz"), [tmp_path / "a_seg.nii.gz"])
    code = """
        from monai_cl.serving.studies import StudiesDatastore
        print(*sorted(StudiesDatastore(".").list_images()), sep="\\n")
    """
    assert run(code, tmp_path)[-4:] == ["1.2.840.7", "1.2.840.8", "a", "b_seg"]


def test_a_sheared_label_is_written_as_it_lies_and_its_header_says_one_place(tmp_path):
    code = """
        from monai_cl.serving.torchvision_operators import declare_torchvision_operators
        declare_torchvision_operators()
        import nibabel as nib, numpy as np, torch
        from monai.data import MetaTensor
        from monai_cl.serving.segmentation_task import SegmentationTask

        affine = np.diag([1.0, 1.0, 3.0, 1.0])
        affine[1, 2] = 0.75
        task = SegmentationTask.__new__(SegmentationTask)
        task.labels, task.type = {"spleen": 1}, "segmentation"
        task.output_label_key, task.output_json_key = "pred", "result"
        label = MetaTensor(torch.ones(4, 3, 2), affine=torch.tensor(affine))
        meta = {"affine": affine}
        file, _ = task.writer({"pred": label, "image_meta_dict": meta, "image_path": "ct.nii.gz"})
        found = nib.load(file)
        print(np.abs(found.get_sform() - affine).max() < 1e-6, int(found.header["qform_code"]), found.shape)
    """
    assert run(code, tmp_path)[-1] == "True 0 (4, 3, 2)"
