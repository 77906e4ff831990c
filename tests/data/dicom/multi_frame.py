"""A series rewritten as one multi-frame file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason='the extra "dicom" is not installed')
hd = pytest.importorskip("highdicom", reason='the extra "dicom" is not installed')


def enhanced(folder: Path, output: Path, *, backwards: bool = False, positions=None) -> Path:
    """The series as one multi-frame file."""
    slices = sorted((pydicom.dcmread(f) for f in folder.iterdir()), key=_along_normal)
    for found in slices:
        for name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
            setattr(found, name, "")
        found.StudyDate, found.StudyTime, found.ReferringPhysicianName = "20200101", "101010", ""
        found.ImageType, found.SliceThickness = ["ORIGINAL", "PRIMARY", "AXIAL"], 2.0
    whole = hd.legacy.LegacyConvertedEnhancedCTImage(slices, hd.UID(), 1, hd.UID(), 1)
    if len(slices) == 1:
        whole.save_as(output)
        return output
    pixels = np.frombuffer(whole.PixelData, np.uint8).reshape(len(slices), -1)
    frames = list(whole.PerFrameFunctionalGroupsSequence)
    normal = _normal(slices[0])
    order = np.argsort(
        [np.asarray(frame.PlanePositionSequence[0].ImagePositionPatient, float) @ normal for frame in frames]
    )
    order = order[::-1] if backwards else order
    whole.PerFrameFunctionalGroupsSequence = [frames[number] for number in order]
    whole.PixelData = pixels[order].tobytes()
    if positions is not None:
        for frame, position in zip(whole.PerFrameFunctionalGroupsSequence, positions, strict=True):
            frame.PlanePositionSequence[0].ImagePositionPatient[2] = position
    whole.save_as(output)
    return output


def _normal(header: pydicom.Dataset) -> np.ndarray:
    along_row, along_column = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
    return np.cross(along_row, along_column)


def _along_normal(header: pydicom.Dataset) -> float:
    return float(np.asarray(header.ImagePositionPatient, float) @ _normal(header))
