"""DICOM objects that are not images of a scan."""

from __future__ import annotations

from pathlib import Path

import pydicom
from pydicom.uid import ExplicitVRLittleEndian

STORAGE = "1.2.840.10008.5.1.4.1.1."
KINDS = {
    "481.3": "an RT structure set",
    "481.2": "an RT dose",
    "481.5": "an RT plan or record",
    "88.33": "a structured report",
    "88.59": "a key object selection",
    "66.4": "DICOM SEG",
    "11.1": "a presentation state",
    "7": "a secondary capture",
    "104.1": "an encapsulated document",
}
PIXELS = ("481.2", "66.4", "7")


def write_object(path: Path, tail: str, *, uid: str = "1.2.3.99") -> Path:
    """A DICOM object of a class, with pixels where its kind has some, but without a place in the patient."""
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = STORAGE + tail
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = f"{uid}.1"
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SeriesInstanceUID, header.StudyInstanceUID = uid, "1.2.3"
    header.Modality = {"66.4": "SEG", "481.2": "RTDOSE", "7": "OT"}.get(tail, "SR")
    if tail in PIXELS:
        header.Rows, header.Columns, header.BitsAllocated, header.BitsStored, header.HighBit = 4, 4, 8, 8, 7
        header.SamplesPerPixel, header.PixelRepresentation = 1, 0
        header.PhotometricInterpretation, header.PixelData = "MONOCHROME2", bytes(16)
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)
    return path
