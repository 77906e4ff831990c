"""``python -m monai_cl convert IN OUT.nii.gz``."""

from __future__ import annotations

from monai_cl.errors import UserError, echo


def convert_command(
    source: str,
    output: str,
    *,
    series: str | None = None,
    series_part: str | None = None,
    uneven_slices: str = "error",
    like: str | None = None,
    form: str | None = None,
    rectify: bool = False,
    label_map: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a scan (DICOM series, NRRD, MetaImage, NIfTI) as one NIfTI file, which every command and bundle takes.

    Voxels and geometry stay as they are, in HU and mm, unless `rectify` resamples them; a DICOM series is one file
    afterwards, of one acquisition and of equal steps.

    Example:
        python -m monai_cl convert /data/new/scan scan.nii.gz --uneven_slices interpolate

    Args:
        source: image file, or folder of a DICOM series.
        output: file to write, .nii.gz or .nii.
        series: Series Instance UID, where the folder holds several.
        series_part: the acquisition, where the series holds several, such as AcquisitionNumber=2.
        uneven_slices: "error", or "interpolate" slices that are missing or lie unevenly.
        like: scan on whose grid a label map is written, each voxel with the value of the nearest one; the options
            above are then those of the scan.
        form: "sform" or "qform": which of the two to keep of a NIfTI file in which they contradict each other.
        rectify: resample a sheared grid (a tilted gantry) to right angles, which every viewer shows as they are.
        label_map: the scan is a label map: `rectify` takes the nearest voxel and does not interpolate.
        overwrite: replace a file that is there.
    """
    from pathlib import Path

    from monai_cl.data.io.label_reading import label_on_grid
    from monai_cl.data.io.nifti_output import write_volume
    from monai_cl.data.io.reading import read_volume
    from monai_cl.data.io.rectify import rectified, sheared_message
    from monai_cl.data.io.segment_names import segment_names

    if uneven_slices not in ("error", "interpolate"):
        raise UserError(f'--uneven_slices: expected "error" or "interpolate", got {uneven_slices!r}')
    if form not in (None, "sform", "qform"):
        raise UserError("--form", expected="sform or qform", found=f"{form!r}")
    if Path(str(output)).exists() and not overwrite:
        raise UserError(
            output, expected="no such file", found="one", remedy="name another, or pass --overwrite to replace it"
        )
    volume = read_volume(
        str(source if like is None else like),
        series=None if series is None else str(series),
        series_part=None if series_part is None else str(series_part),
        uneven_slices=uneven_slices,
        form=form if like is None else None,
    )
    left_out = 0
    if like is not None:
        volume, left_out = label_on_grid(read_volume(str(source), form=form), str(like), volume.grid)
    if rectify:
        volume = rectified(volume, nearest=label_map or like is not None)
    elif said := sheared_message(output, volume.affine, remedy="--rectify resamples it"):
        echo(f"note: {said}")
    path = write_volume(str(output), volume)
    echo(f"wrote {path}: {volume.grid}")
    if names := segment_names(str(source)):
        named = ", ".join(f"{value} {name}" for value, name in sorted(names.items()))
        echo(f"note: NIfTI keeps no names of segments; in {source} they are {named}")
    if left_out:
        echo(f"{left_out} labelled voxels of {source} lie outside {like} and are left out")
