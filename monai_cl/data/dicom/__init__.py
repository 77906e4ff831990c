"""DICOM: series, multi-frame files, segmentations."""
