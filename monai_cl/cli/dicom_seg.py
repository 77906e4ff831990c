"""``python -m monai_cl dicom_seg LABELS SERIES``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monai_cl.errors import UserError, echo
from monai_cl.files import size_in_words


def dicom_seg_command(
    labels: str,
    source: str,
    *,
    organs: Sequence[str] | Mapping[str, str] | str,
    output: str | None = None,
    series: str | None = None,
    series_part: str | None = None,
    values: Sequence[int] | int | None = None,
    model: str = "monai_cl",
    overwrite: bool = False,
) -> None:
    """Write a label map as a DICOM SEG that refers to the DICOM series it was made from.

    Inference writes such files itself with --dicom_seg True. A JSON file beside it says which series it belongs to; an
    earlier one of the same series is replaced. Needs the extra: pip install "monai-cl[dicom]".

    Example:
        python -m monai_cl dicom_seg labels/scan_seg.nii.gz /data/new/scan --organs "['spleen']"

    Args:
        labels: label map (NIfTI, NRRD, MetaImage) on the grid of the series.
        source: folder of the series.
        organs: names of the labels 1, 2, … or label: name pairs.
        output: file to write; beside the label map by default, ending in .dcm.
        series: Series Instance UID, where the folder holds several.
        series_part: the acquisition, where the series holds several, such as AcquisitionNumber=2.
        values: label values to write, such as "[1,6]"; all others are left out. By default every named value.
        model: name of the model, recorded as the algorithm.
        overwrite: replace a file that belongs to another series, or to no record.
    """
    from pathlib import Path

    import numpy as np

    from monai_cl.data import read_volume, write_dicom_seg
    from monai_cl.data.io.formats import strip_ending
    from monai_cl.data.io.label_values import whole_values
    from monai_cl.data.io.result_records import check_replaceable, read_record, scan_identity, write_record

    volume = read_volume(str(labels))
    array, odd = whole_values(volume.array)
    if odd.any():
        raise UserError(labels, expected="integers", found="others", remedy="give a label map, not an image")
    part = None if series_part is None else str(series_part)
    target = Path(str(output) if output is not None else strip_ending(str(labels)) + ".dcm")
    record = target.with_suffix(".json")
    if record.exists() and read_record(record) is None:  # somebody else's, such as BIDS has beside its images
        record = target.with_name(f"{target.name}.json")
    if not overwrite:
        check_replaceable(record, [target], str(source), series_part=part)
    path = write_dicom_seg(
        target,
        array.astype(np.int64),
        volume.affine,
        source=str(source),
        organs=_names(organs),
        series=None if series is None else str(series),
        series_part=part,
        values=_values(values),
        model=str(model),
    )
    # the label map that the record may name stays in it
    write_record(record, scan_identity(str(source), series_part=part), [path], more=read_record(record))
    echo(f"wrote {path} ({size_in_words(path.stat().st_size)})")


def _names(organs: Sequence[str] | Mapping[str, str] | str) -> dict[int, str]:
    if isinstance(organs, Mapping):
        try:
            return {int(number): str(name) for number, name in organs.items()}
        except (TypeError, ValueError) as error:
            raise UserError("organs", expected="label: name pairs", found=dict(organs)) from error
    names = [organs] if isinstance(organs, str) else organs
    if not isinstance(names, (list, tuple)) or not names:
        raise UserError("organs", expected="names such as \"['spleen']\"", found=f"{organs!r}")
    return {number: str(name) for number, name in enumerate(names, start=1)}


def _values(values: Sequence[int] | int | None) -> list[int] | None:
    if values is None:
        return None
    given = list(values) if isinstance(values, (list, tuple)) else [values]
    if not given or not all(isinstance(value, int) and not isinstance(value, bool) for value in given):
        raise UserError("values", expected='label values such as "[1,6]"', found=f"{values!r}")
    return given
