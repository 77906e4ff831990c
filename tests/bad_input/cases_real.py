"""Odd files that exist: of other formats, other modalities, and series as scanners and archives leave them."""

from __future__ import annotations

import shutil

import numpy as np

from monai_cl.data.io.reading import read_volume
from tests.bad_input.case import Case
from tests.bad_input.cases_bytes import SCAN
from tests.bad_input.world import Maker, World


def real(name: str, as_name: str = "") -> Maker:
    """A copy of the real file or folder in place of the bad scan."""

    def make(world: World) -> None:
        source, target = world.real / name, world.root / (as_name or name.rsplit("/", 1)[-1])
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
        world.bad.update(image=target.name)
        del world.bad["label"]

    return make


def _refused(name: str, words: str, *names: str, group: str = "bytes") -> Case:
    file = name.rsplit("/", 1)[-1]
    return Case(group, f"{words} ({file})", SCAN, real(name), (file, *names), real=True)


OTHER_FORMATS = {
    "analyze.hdr": "an Analyze header",
    "minc1_4d.mnc": "a MINC file",
    "test.mgz": "a FreeSurfer file",
    "umass_anonymized.PAR": "a Philips PAR header",
    "bad_datatype+orig.HEAD": "an AFNI header",
}
# one slice in every DICOM encoding; decoders of lossy ones may differ by some HU
LOSSLESS = {
    "LittleEndianImplicitTransferSyntax_1.2.840.10008.1.2": "implicit little endian",
    "LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1": "explicit little endian",
    "BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2": "big endian",
    "DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99": "deflated",
    "RLELosslessTransferSyntax_1.2.840.10008.1.2.5": "run lengths",
    "JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57": "lossless JPEG",
    "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70": "lossless JPEG, first order",
    "JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80": "lossless JPEG-LS",
    "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90": "lossless JPEG 2000",
}
LOSSY = {
    "JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81": "lossy JPEG-LS",
    "JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91": "lossy JPEG 2000",
    "JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50": "JPEG of 8 bits",
    "JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51": "JPEG of 12 bits",
}


def _same(world: World) -> None:
    reference = read_volume(world.real / "ct_transfer_syntaxes" / "CTImage.dcm").array
    np.testing.assert_array_equal(read_volume(world.image).array, reference)


def _near(world: World) -> None:
    reference = read_volume(world.real / "ct_transfer_syntaxes" / "CTImage.dcm").array.astype(float)
    assert np.abs(read_volume(world.image).array - reference).mean() < 30


def _encoding(name: str, words: str, repair: str, check) -> Case:
    file = f"ct_transfer_syntaxes/CTImage.dcm_{name}.dcm"
    return Case("bytes", f"a DICOM slice in {words}", ("inference",), real(file), repair=repair, check=check, real=True)


REAL = [
    *(
        _refused(f"nibabel/{name}", words, "another kind of file", "convert it to .nii.gz")
        for name, words in OTHER_FORMATS.items()
    ),
    _refused("nibabel/csa_slice_norm.dcm", "a DICOM file without pixels", "readable DICOM slice", "copy it again"),
    _refused("nibabel/example4d.nii.gz", "a diffusion series", "a 3D volume", "split a time series", group="geometry"),
    _refused("nibabel/functional.nii", "a functional MR", "a 3D volume", "split a time series", group="geometry"),
    _refused(
        "nibabel/example_nifti2.nii.gz", "a NIfTI-2 series", "a 3D volume", "split a time series", group="geometry"
    ),
    _refused(
        "missing_and_duplicate_slices",
        "a series with gaps",
        "evenly spaced slices",
        "export the series again",
        group="geometry",
    ),
    _refused(
        "dicom2nifti_failing/sliceincrement/001",
        "a series without one slice",
        "evenly spaced slices",
        "export the series again",
        group="geometry",
    ),
    _refused(
        "dicom2nifti_failing/sliceincrement/002",
        "another one",
        "evenly spaced slices",
        "export the series again",
        group="geometry",
    ),
    _refused("an_mr_not_a_ct.nii.gz", "an MR", "expected Hounsfield units", "not an MR", group="values"),
    _refused(
        "nibabel/anatomical.nii", "an MR of large numbers", "expected Hounsfield units", "not an MR", group="values"
    ),
    _refused(
        "nibabel/resampled_anat_moved.nii", "an MR with NaN around", "finite HU", "replace them by air", group="values"
    ),
    _refused(
        "nibabel/decimal_rescale.dcm",
        "a DICOM slice of MR",
        "MR",
        '"modality"',
        group="values",
    ),
    *(_encoding(name, words, "decoded, exactly", _same) for name, words in LOSSLESS.items()),
    *(_encoding(name, words, "decoded, as far as its losses allow", _near) for name, words in LOSSY.items()),
]
