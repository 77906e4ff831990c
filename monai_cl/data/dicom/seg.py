"""A label map to DICOM SEG on the slices of the series it was made from, read back before the file gets its name."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl._version import __version__
from monai_cl.data.dicom.organ_codes import Code, organ_code
from monai_cl.data.dicom.organ_colours import organ_colour
from monai_cl.data.dicom.seg_reader import seg_labels
from monai_cl.data.dicom.source import SourceSeries, open_source, require_highdicom
from monai_cl.errors import UserError
from monai_cl.files import new_file


def write_dicom_seg(
    output: str | os.PathLike,
    labels: np.ndarray,
    affine: np.ndarray,
    *,
    source: str | os.PathLike,
    organs: Mapping[int, str] | Sequence[str],
    series: str | None = None,
    series_part: str | None = None,
    values: Sequence[int] | None = None,
    model: str = "monai_cl",
    description: str = "Segmentation",
) -> Path:
    """Write a label map as a DICOM SEG (binary segments) that refers to the series, in its frame of reference.

    Every frame is tied to the slice it lies on, so a tilted gantry is kept. The file is read back and compared before
    it takes its name.

    Args:
        output: file to write; one that is there is replaced.
        labels: (X, Y, Z) integers, 0 is background; axes may be flipped or permuted against the series.
        affine: (4, 4), voxel → RAS mm.
        source: folder of the DICOM series, or one DICOM file.
        organs: label id → name, or the names of the ids 1, 2, … The standard numbers segments without gaps, so ids with
            gaps are renumbered in their order.
        series: Series Instance UID, where the folder holds several.
        series_part: the acquisition, where the series has several (see :func:`read_dicom_series`).
        values: label ids to write, each named in ``organs``; all others are background. None: every id of ``organs``,
            and the label map may hold no other.
        model: name of the model, recorded as the algorithm.
        description: of the new series.

    Returns:
        ``output``.

    Raises:
        UserError: highdicom is not installed, the series cannot be read or has no frame of reference, the label map
            lies on another grid, or a value to write is without a name.
    """
    hd, output, source_series = (
        require_highdicom(),
        Path(output),
        open_source(source, series=series, series_part=series_part),
    )
    names = dict(organs) if isinstance(organs, Mapping) else dict(enumerate(organs, start=1))
    ids = sorted(names if values is None else set(values))
    if not ids or ids[0] < 1:
        raise UserError(output, expected="organs with ids from 1 on", found=names if values is None else ids)
    labels = source_series.on_grid(np.asarray(labels), np.asarray(affine, dtype=float))
    present = set(np.unique(labels).tolist()) - {0}
    if nameless := sorted((present if values is None else set(ids)) - names.keys()):
        remedy = "name them in organs" if values is not None else "name them in organs, or give the values to write"
        raise UserError(output, expected=f"the label values {sorted(names)}", found=nameless, remedy=remedy)
    segments = np.where(np.isin(labels, ids), np.searchsorted(ids, labels) + 1, 0)
    segments = segments.astype(np.uint8 if len(ids) < 256 else np.uint16)
    with warnings.catch_warnings():
        # pseudonyms of anonymised patients, which are copied as they are
        warnings.filterwarnings("ignore", message="The string .* is unlikely to represent the intended person name")
        try:
            segmentation = _segmentation(
                hd, source_series, segments, [names[i] for i in ids], model=model, description=description
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise UserError(
                source,
                expected="headers that a DICOM SEG can be made from",
                cause=reason,
                remedy="fix the series, or convert the label map with another program",
            ) from error
    with new_file(output) as partial:
        segmentation.save_as(partial)
        if not np.array_equal(seg_labels(partial, source_series)[0], segments):
            raise RuntimeError(f"{output}: the file read back differs from what was written; this is a bug")
    return output


def _segmentation(
    hd: Any, source: SourceSeries, segments: np.ndarray, names: Sequence[str], *, model: str, description: str
) -> Any:
    return hd.seg.Segmentation(
        pixel_measures=_measures(hd, source),
        source_images=source.headers,
        pixel_array=source.frames(segments),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(hd, number, name, model) for number, name in enumerate(names, start=1)],
        series_instance_uid=hd.UID(),
        series_number=1000,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        omit_empty_frames=bool(segments.any()),  # a file without a frame is not possible
        manufacturer="monai_cl",
        manufacturer_model_name=model[:64],
        software_versions=__version__,
        device_serial_number="none",
        content_label="SEGMENTATION",
        content_description=description[:64],
        series_description=description[:64],
    )


def _measures(hd: Any, source: SourceSeries) -> Any:
    """Pixel spacing and distance of the slices; the source's slice thickness, or their distance where it has none."""
    for header in source.headers:
        if not header.get("SliceThickness"):
            header.SliceThickness = source.gap
    column, row = np.linalg.norm(source.affine[:3, :2], axis=0).tolist()
    return hd.PixelMeasuresSequence(
        pixel_spacing=[row, column],
        slice_thickness=float(source.headers[0].SliceThickness),
        spacing_between_slices=source.gap if source.shape[2] > 1 else None,
    )


def _segment(hd: Any, number: int, name: str, model: str) -> Any:
    def concept(code: Code) -> Any:
        return hd.sr.CodedConcept(code.value, code.scheme, code.meaning)

    organ = organ_code(name)
    described = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=concept(organ.category),
        segmented_property_type=concept(organ.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=model[:64],
            family=hd.sr.CodedConcept("123110", "DCM", "Artificial Intelligence"),
            version=__version__,
        ),
        anatomic_regions=[concept(organ.region)] if organ.region else None,
        display_color=hd.color.CIELabColor.from_rgb(*organ_colour(name)),
    )
    if organ.modifier:
        # as 3D Slicer and OHIF write and read a side
        kind = described.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [concept(organ.modifier)]
    return described
