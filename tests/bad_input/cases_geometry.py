"""Headers that say nothing, or nonsense, of where the voxels lie."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom

from monai_cl.data.io.reading import read_volume, to_ras
from tests.bad_input.case import Case
from tests.bad_input.cases_bytes import LABEL, SCAN, itk
from tests.bad_input.world import AFFINE, Maker, World, image, in_ras, label, unspoilt
from tests.data.dicom.other_objects import write_object
from tests.data.volume_files import ct_array, label_array, rotated, write_dicom, write_nifti

_row = partial(Case, "geometry")


def header(**fields) -> Maker:
    """The bad scan (and its label) with fields of the header overwritten."""

    def make(world: World) -> None:
        image(lambda array: array, name="bad.nii")(world)
        _overwrite(world.image, **fields)
        del world.bad["label"]

    return make


def _overwrite(path: Path, **fields) -> None:
    """Other fields in the header of a .nii."""
    raw = bytearray(path.read_bytes())
    head = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for name, value in fields.items():
        head[name] = value
    path.write_bytes(head.binaryblock + raw[348:])


INTERPOLATING = (
    "datalist validate --uneven_slices interpolate",
    "prepare --uneven_slices interpolate",
    "inference --uneven_slices interpolate",
    "convert --uneven_slices interpolate",
)
CHOOSING = ("datalist validate", "prepare", "inference --series_part", "convert --series_part")


def _two_places(world: World) -> None:
    """The sform of the bad scan is 42 mm from its qform."""
    given = nib.Nifti1Image(ct_array(seed=2), AFFINE)
    given.set_qform(AFFINE, 1)
    given.set_sform(AFFINE + 42 * np.eye(4, k=3), 2)
    nib.save(given, world.image)
    del world.bad["label"]


UNKNOWN = {"sform_code": 0, "qform_code": 0}
SFORM = {"sform_code": 1, "qform_code": 0}


def _text(find: bytes, put: bytes) -> Maker:
    def make(world: World) -> None:
        raw = world.image.read_bytes()
        assert find in raw
        world.image.write_bytes(raw.replace(find, put))
        del world.bad["label"]

    return make


def _nrrd_line(key: bytes, *more: bytes) -> Maker:
    def make(world: World) -> None:
        head, _, data = world.image.read_bytes().partition(b"\n\n")
        kept = [line for line in head.split(b"\n") if not line.startswith(key)]
        assert len(kept) < len(head.split(b"\n"))
        world.image.write_bytes(b"\n".join([*kept, *more]) + b"\n\n" + data)
        del world.bad["label"]

    return make


def _series(positions, **options) -> Maker:
    def make(world: World) -> None:
        world.bad.update(image="bad_series")
        del world.bad["label"]
        array = ct_array((20, 16, len(positions))) // 2 * 2
        write_dicom(world.root / "bad_series", array, positions, **options)

    return make


def _two_series(world: World) -> None:
    _series(np.arange(4) * 2.0)(world)
    write_dicom(world.image, ct_array((20, 16, 4), 5), np.arange(4) * 2.0, uid="1.2.3.9", prefix="other")


def _localizer(world: World) -> None:
    _series(np.arange(4) * 2.0)(world)
    write_dicom(world.image, ct_array((32, 32, 1), 5), [50.0], prefix="scout")


def _edited(positions, edit: Callable[[pydicom.Dataset, int], None], **options) -> Maker:
    """A series whose headers are changed; ``edit`` gets each of them with the number in its file's name."""

    def make(world: World) -> None:
        _series(positions, **options)(world)
        for file in sorted(world.image.iterdir()):
            header = pydicom.dcmread(file)
            edit(header, int(file.stem.removeprefix("slice")))
            header.save_as(file)

    return make


ATTRIBUTES = {
    name: pydicom.datadict.tag_for_keyword(name)
    for name in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "RescaleSlope", "RescaleIntercept")
}


def _mr(header: pydicom.Dataset, number: int) -> None:
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
    header.Modality = "MR"


def _without(name: str, tag: int) -> Maker:
    def edit(header: pydicom.Dataset, number: int) -> None:
        if number == 2:
            del header[tag]

    return _edited([0, 2, 4, 6], edit)


def _jumping(header: pydicom.Dataset, number: int) -> None:
    if header.ImagePositionPatient[2] > 3:
        header.ImagePositionPatient[0] += 12


_jump = _edited([0, 2, 4, 6], _jumping)


def _two_patients(header: pydicom.Dataset, number: int) -> None:
    header.PatientID = f"P{number // 2}"


def _inverted(header: pydicom.Dataset, number: int) -> None:
    header.PhotometricInterpretation = "MONOCHROME1"


def _single(thickness: float | None) -> Maker:
    def edit(header: pydicom.Dataset, number: int) -> None:
        del header.SpacingBetweenSlices
        header.SliceThickness = thickness

    return _edited([3], edit)


def _check_depth(world: World) -> None:
    np.testing.assert_allclose(world.prepared()[1].spacing, (0.8, 0.9, 5))
    assert read_volume(world.image).array.shape == (20, 16, 1)


def _two_acquisitions(world: World) -> None:
    """The second is the first plus 100 HU."""
    _series([0, 2, 4, 6])(world)
    for file in sorted(world.image.iterdir()):
        header = pydicom.dcmread(file)
        header.AcquisitionNumber = 1
        header.save_as(file)
        header.AcquisitionNumber, header.RescaleIntercept = 2, float(header.RescaleIntercept) + 100
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = f"{header.SOPInstanceUID}.2"
        header.save_as(file.with_name(f"second_{file.name}"))


def _with_report(world: World) -> None:
    _series([0, 2, 4, 6])(world)
    write_object(world.image / "sr.dcm", "88.33")


def _report_alone(world: World) -> None:
    world.bad.update(image="bad_series")
    del world.bad["label"]
    write_object(world.image / "sr.dcm", "88.33")


def _chosen_acquisition(world: World) -> None:
    _two_acquisitions(world)
    world.bad["series_part"] = "AcquisitionNumber=2"


def _check_chosen(world: World) -> None:
    store, entry = world.prepared()
    expected = (ct_array((20, 16, 4)) // 2 * 2 + 100)[::-1, ::-1]
    for found in (store.read(entry.key), to_ras(read_volume(world.out / "convert.nii.gz")).array):
        np.testing.assert_array_equal(found, expected)


def _turned_label(world: World) -> None:
    given = nib.Nifti1Image(label_array(), AFFINE)
    turned = given.as_reoriented(nib.io_orientation(np.diag([1.0, 1, -1, 1]) @ np.eye(4)[[2, 0, 1, 3]]))
    assert turned.shape != given.shape
    nib.save(turned, world.label)


def _check_turned(world: World) -> None:
    store, entry = world.prepared()
    expected = nib.as_closest_canonical(nib.Nifti1Image(label_array(), AFFINE)).get_fdata()
    np.testing.assert_array_equal(store.read(entry.key, kind="label"), expected)


def _check_shape(shape: tuple[int, ...]) -> Maker:
    def check(world: World) -> None:
        if world.stored():
            assert world.prepared()[1].shape == shape
        else:
            assert read_volume(world.image).array.shape == shape

    return check


def _check_default_orientation(world: World) -> None:
    _, entry = world.prepared()
    np.testing.assert_allclose(entry.affine[:3, :3], np.diag([1.5, 1.5, 3.0]))
    # x runs to the left in the file, as NIfTI has it where nothing is said
    np.testing.assert_allclose(read_volume(world.image).affine[:3, :3], np.diag([-1.5, 1.5, 3.0]))


def _check_spacing(spacing: tuple[float, float, float]) -> Maker:
    def check(world: World) -> None:
        np.testing.assert_allclose(world.prepared()[1].spacing, spacing, rtol=1e-5)
        np.testing.assert_allclose(read_volume(world.image).spacing, spacing, rtol=1e-5)

    return check


def _check_oblique(world: World) -> None:
    store, entry = world.prepared()
    assert nib.aff2axcodes(entry.affine) == ("R", "A", "S")
    np.testing.assert_array_equal(np.sort(store.read(entry.key), axis=None), np.sort(ct_array(seed=2), axis=None))


def _check_even(world: World) -> None:
    store, entry = world.prepared()
    assert entry.shape == (20, 16, 5)
    np.testing.assert_allclose(entry.spacing[2], 2.0)
    array = ct_array((20, 16, 4)) // 2 * 2
    expected = np.insert(array.astype(float), 2, array[..., 1:3].mean(-1), axis=2)[::-1, ::-1]
    for found in (store.read(entry.key), to_ras(read_volume(world.out / "convert.nii.gz")).array):
        np.testing.assert_allclose(found, expected, atol=0.5)


def _no_orientation(world: World) -> None:
    header(**UNKNOWN)(world)
    world.bad["label"] = "bad_label.nii"
    write_nifti(world.label, label_array(), AFFINE)
    _overwrite(world.label, **UNKNOWN)


def _one_slice(world: World) -> None:
    image(lambda array: array[..., 6:7])(world)
    label(lambda array: array[..., 6:7])(world)


OBLIQUE = rotated(AFFINE, (8, -5, 12))


def _oblique(world: World) -> None:
    image(lambda array: array, OBLIQUE)(world)
    label(lambda array: array, OBLIQUE)(world)


GEOMETRY = [
    _row(
        "a NIfTI header without orientation (sform and qform 0)",
        SCAN,
        _no_orientation,
        repair="the header's spacing, and NIfTI's default orientation (x to the left); a warning names the file",
        check=_check_default_orientation,
        sound=in_ras(_no_orientation),
    ),
    _row(
        "a singular affine: two axes that coincide",
        SCAN,
        header(**SFORM, srow_x=[1.5, 1.5, 0, 0], srow_y=[0, 0, 0, 0], srow_z=[0, 0, 3, 0]),
        ("bad.nii", "invertible affine", "correct the header"),
    ),
    _row(
        "an affine with NaN",
        SCAN,
        header(**SFORM, srow_x=[np.nan, 0, 0, 0]),
        ("bad.nii", "finite affine", "correct the header"),
    ),
    _row(
        "an affine of zeros",
        SCAN,
        header(**SFORM, srow_x=[0] * 4, srow_y=[0] * 4, srow_z=[0] * 4),
        ("bad.nii", "invertible affine", "correct the header"),
    ),
    _row(
        "a spacing of 0 mm",
        SCAN,
        header(**UNKNOWN, pixdim=[1, 0, 1.5, 3, 0, 0, 0, 0]),
        ("bad.nii", "spacing > 0 mm", "correct pixdim in the header"),
    ),
    _row(
        "a spacing in micrometres",
        SCAN,
        header(**SFORM, srow_x=[1500, 0, 0, 0], srow_y=[0, 1500, 0, 0], pixdim=[1, 1500, 1500, 3, 0, 0, 0, 0]),
        ("bad.nii", "spacing of 0.001 to 100.0 mm", "its unit must be mm"),
    ),
    _row(
        "a NIfTI in micrometres, as its header says",
        SCAN,
        header(**UNKNOWN, xyzt_units=3, pixdim=[1, 1500, 1600, 3000, 0, 0, 0, 0]),
        repair="spacing and origin are converted to mm",
        check=_check_spacing((1.5, 1.6, 3.0)),
    ),
    _row(
        "a NIfTI in metres, as its header says",
        SCAN,
        header(
            **SFORM,
            xyzt_units=1 + 8,  # seconds beside it
            pixdim=[1, 0.0015, 0.0016, 0.003, 0, 0, 0, 0],
            srow_x=[-0.0015, 0, 0, 0.02],
            srow_y=[0, 0.0016, 0, 0],
            srow_z=[0, 0, 0.003, 0],
        ),
        repair="spacing and origin are converted to mm",
        check=_check_spacing((1.5, 1.6, 3.0)),
    ),
    _row(
        "a NIfTI whose unit of length has no meaning",
        SCAN,
        header(xyzt_units=5),
        ("bad.nii", "unit of length in xyzt_units, found 5", "correct the header"),
    ),
    _row(
        "a NIfTI whose voxels begin inside its header (vox_offset)",
        SCAN,
        header(vox_offset=16),
        ("bad.nii", "a vox_offset of 352 or more, found 16", "export it again from its source"),
    ),
    _row(
        "a NIfTI whose sform is singular beside a sound qform",
        SCAN,
        header(qform_code=1, sform_code=1, srow_x=np.zeros(4), srow_y=np.zeros(4), srow_z=np.zeros(4)),
        ("bad.nii", "an sform that is singular", "--form qform keeps the qform"),
    ),
    _row(
        "a .mha that says two spacings (ElementSpacing and ElementSize)",
        SCAN,
        itk("bad.mha", _text(b"ElementSpacing", b"ElementSize = 1 1 1\nElementSpacing")),
        ("bad.mha", "expected one value", "as ElementSpacing and 1 1 1 as ElementSize", "export it again"),
    ),
    _row(
        "a .nrrd in centimetres, as its header says",
        SCAN,
        itk("bad.nrrd", _nrrd_line(b"space origin", b'space units: "cm" "cm" "cm"')),
        repair="spacing and origin are converted to mm",
        check=_check_spacing((15.0, 15.0, 30.0)),
    ),
    _row(
        "a .nrrd in a unit that is not a length",
        SCAN,
        itk("bad.nrrd", _nrrd_line(b"space origin", b'space units: "pixel" "pixel" "pixel"')),
        ("bad.nrrd", "a metric length", "correct the header"),
    ),
    _row(
        "two spacings that contradict each other (pixdim and sform)",
        SCAN,
        header(pixdim=[1, 3, 3, 3, 0, 0, 0, 0]),
        ("bad.nii", "one voxel spacing", "--form sform keeps the sform's"),
    ),
    _row(
        "two places that contradict each other (qform and sform)",
        SCAN,
        _two_places,
        ("bad.nii.gz", "a qform and an sform that agree", "42 mm apart", "keeps the sform"),
    ),
    _row(
        "a .nrrd that says no spacing",
        SCAN,
        itk("bad.nrrd", _nrrd_line(b"space directions")),
        ("bad.nrrd", "a voxel spacing", "export it with its geometry"),
    ),
    _row(
        "a .mha that says no spacing",
        SCAN,
        itk("bad.mha", _text(b"ElementSpacing", b"XlementSpacing")),
        ("bad.mha", "a voxel spacing", "export it with its geometry"),
    ),
    _row(
        "an oblique scan, turned by up to 12 degrees",
        SCAN,
        _oblique,
        repair="its axes count as the nearest of right, anterior, superior; no voxel is resampled for it",
        check=_check_oblique,
        sound=in_ras(_oblique),
    ),
    _row(
        "a single 2D image",
        SCAN,
        image(lambda array: array[..., 0]),
        ("bad.nii.gz", "expected a 3D volume", "stack single slices"),
    ),
    _row(
        "a time series (4D)",
        SCAN,
        image(lambda array: np.stack([array, array], -1)),
        ("bad.nii.gz", "expected a 3D volume", "split a time series"),
    ),
    _row(
        "a time series of one point (4D)",
        SCAN,
        image(lambda array: array[..., None]),
        repair="the fourth axis is dropped",
        check=_check_shape((20, 16, 12)),
        sound=unspoilt,
    ),
    _row(
        "a volume of one slice",
        SCAN,
        _one_slice,
        repair="taken as it is; crops are filled up with air",
        check=_check_shape((20, 16, 1)),
        sound=in_ras(_one_slice),
    ),
    _row(
        "an axis of length 0",
        SCAN,
        header(dim=[3, 20, 0, 12, 1, 1, 1, 1]),
        ("bad.nii", "expected a 3D volume", "split a time series"),
    ),
    _row(
        "a label of another shape",
        LABEL,
        label(lambda array: array[..., :-1]),
        ("bad_label.nii.gz", "the grid of", "resample the label to its image, if it is a label of this scan"),
    ),
    _row(
        "a label of another spacing",
        LABEL,
        label(lambda array: array, AFFINE @ np.diag([1, 1, 1.1, 1])),
        ("bad_label.nii.gz", "the grid of", "resample the label to its image, if its header is right"),
    ),
    _row(
        "a label moved by 3 mm",
        LABEL,
        label(lambda array: array, AFFINE + 3 * np.eye(4, k=3)),
        ("bad_label.nii.gz", "the grid of", "resample the label to its image, if its header is right"),
    ),
    _row(
        "a label mirrored against its scan",
        LABEL,
        label(lambda array: array, AFFINE @ np.diag([-1, 1, 1, 1])),
        ("bad_label.nii.gz", "the grid of", "resample the label to its image, if its header is right"),
    ),
    _row(
        "a label stored in another order of axes, on the same grid",
        LABEL,
        _turned_label,
        repair="both are brought to right, anterior, superior",
        check=_check_turned,
        sound=label(lambda array: array),
    ),
    _row(
        "a DICOM series with a slice missing",
        SCAN,
        _series([0, 2, 4, 8, 10]),
        ("bad_series", "a gap of 4.000 mm", "export the series again"),
    ),
    _row(
        "a DICOM series with a slice missing, with uneven_slices interpolate",
        INTERPOLATING,
        _series([0, 2, 6, 8]),
        repair="interpolated between its neighbours",
        check=_check_even,
    ),
    _row(
        "a DICOM series with a slice twice",
        SCAN,
        _series([0, 2, 2, 4, 6]),
        ("bad_series", "at the same position", "export the series again"),
    ),
    _row(
        "two acquisitions in one DICOM series (AcquisitionNumber, phase, echo, kernel, time)",
        (*SCAN, *INTERPOLATING),
        _two_acquisitions,
        (
            "bad_series",
            "AcquisitionNumber=1 (4 slices), AcquisitionNumber=2 (4 slices)",
            "choose one, by",
            "--series_part AcquisitionNumber=1 for inference, convert and dicom_seg",
        ),
    ),
    _row(
        "a report, RTSTRUCT, DICOM SEG, dose, secondary capture … among the slices of a DICOM series",
        SCAN,
        _with_report,
        repair="passed over; a warning names it by kind",
        check=_check_shape((20, 16, 4)),
    ),
    _row(
        "DICOM objects that are no images (RTSTRUCT, report, DICOM SEG …), given as a scan",
        SCAN,
        _report_alone,
        ("bad_series", "expected a DICOM image", "a structured report (sr.dcm)", "name the series that it belongs to"),
    ),
    _row(
        "two acquisitions in one DICOM series, of which series_part chooses one",
        CHOOSING,
        _chosen_acquisition,
        repair="that one is read, and no slice of the other",
        check=_check_chosen,
    ),
    _row(
        "a DICOM series whose origin jumps sideways",
        (*SCAN, *INTERPOLATING),
        _jump,
        ("bad_series", "moved by 12.000 mm sideways", "a folder of their own"),
    ),
    _row(
        "slices of two patients (or studies, or frames of reference) in one DICOM series",
        (*SCAN, *INTERPOLATING),
        _edited([0, 2, 4, 6], _two_patients),
        ("bad_series", "slices of one PatientID, found 2", "a folder of their own"),
    ),
    _row(
        "a DICOM slice whose low values are bright (MONOCHROME1)",
        SCAN,
        _edited([0, 2, 4, 6], _inverted),
        ("slice000.dcm", "MONOCHROME2 as PhotometricInterpretation", "export the series again"),
    ),
    *(
        _row(
            f"a DICOM slice without {name}",
            SCAN,
            _without(name, tag),
            ("slice002.dcm", f"as {name}, found none", "export the series again"),
        )
        for name, tag in ATTRIBUTES.items()
    ),
    Case(
        "values",
        "a DICOM header of MR, in a list or for a network of CT",
        SCAN,
        _edited([0, 2, 4, 6], _mr),
        ("bad_series", "found", "MR", '"modality"'),
    ),
    _row(
        "a single DICOM slice",
        SCAN,
        _single(5.0),
        repair="its depth is its SliceThickness; a warning says so",
        check=_check_depth,
    ),
    _row(
        "a single DICOM slice without SliceThickness",
        SCAN,
        _single(None),
        ("slice000.dcm", "a SliceThickness > 0 mm of a single slice", "export the series again"),
    ),
    _row(
        "a DICOM series of uneven steps",
        SCAN,
        _series([0, 2, 4, 6.6, 8.6]),
        ("bad_series", "uneven", "export the series again"),
    ),
    _row(
        "two DICOM series in one folder",
        SCAN,
        _two_series,
        ("bad_series", "expected one DICOM series", "give each its own folder"),
    ),
    _row(
        "a localizer among the slices",
        SCAN,
        _localizer,
        ("bad_series", "slices of one size", "take localizers and other images out"),
    ),
]
