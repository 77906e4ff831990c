"""Damaged files, and files that are something else than their name says."""

from __future__ import annotations

import gzip
import os
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tests.bad_input.case import Case
from tests.bad_input.world import AFFINE, Maker, World, content, cut, flip, image, unspoilt
from tests.data.volume_files import ct_array, write_dicom, write_itk, write_nifti

_row = partial(Case, "bytes")

SCAN = ("datalist validate", "prepare", "inference")
LABEL = ("datalist validate", "prepare")
STORE = ("store verify", "reading the store")


def itk(name: str, then: Maker | None = None) -> Maker:
    """The bad scan in another format, then spoilt."""

    def make(world: World) -> None:
        world.image.unlink()
        world.bad["image"] = name
        write_itk(world.image, ct_array(seed=2), AFFINE)
        if then is not None:
            then(world)

    return make


def _plain_nifti(then: Maker) -> Maker:
    def make(world: World) -> None:
        image(lambda array: array, name="bad.nii")(world)
        then(world)

    return make


def _web_page(world: World) -> None:
    world.image.write_bytes(b"<!DOCTYPE html><title>404</title>" + b" " * 400)


def _pipe(world: World) -> None:
    world.image.unlink()
    os.mkfifo(world.image)


def _pickle(world: World) -> None:
    world.image.unlink()
    world.bad["image"] = "bad.npy"
    np.save(world.image, np.array([{"voxels": 1}], object), allow_pickle=True)


def _gone(file: str) -> Maker:
    return lambda world: next(world.root.glob(file)).unlink()


def _huge_nifti(world: World) -> None:
    raw = bytearray((world.root / "bad.nii").read_bytes())
    raw[40:48] = np.array([3, 30000, 30000, 30000], "<i2").tobytes()
    (world.root / "bad.nii").write_bytes(bytes(raw))


def _huge_nrrd(world: World) -> None:
    world.image.write_bytes(world.image.read_bytes().replace(b"sizes: 20 16 12", b"sizes: 20000 16000 12000"))


def _data_file(name: str, reference: str, form: str) -> Maker:
    """A header that names another file for its voxels."""

    def make(world: World) -> None:
        (world.root.parent / "secret.raw").write_bytes(ct_array().tobytes("F"))
        itk(name)(world)
        key = b"data file: " if form == "nrrd" else b"ElementDataFile = "
        lines = world.image.read_bytes().splitlines()
        changed = [key + reference.encode() if line.startswith(key.strip()) else line for line in lines]
        world.image.write_bytes(b"\n".join(changed) + b"\n")

    return make


def _dicom(then: Maker, count: int = 12) -> Maker:
    def make(world: World) -> None:
        world.image.unlink()
        world.label.unlink()
        world.bad.update(image="bad_series")
        del world.bad["label"]
        write_dicom(world.image, ct_array((64, 64, count)) // 2 * 2, np.arange(count) * 2.0)
        then(world)

    return make


def _cut_slice(world: World) -> None:
    victim = world.image / "slice003.dcm"
    victim.write_bytes(cut(0.7)(victim.read_bytes()))


def _empty_folder(world: World) -> None:
    for file in world.image.iterdir():
        file.unlink()


def _notes(world: World) -> None:
    _empty_folder(world)
    (world.image / "notes.txt").write_text("the slices are on the other disk")


def _colour(world: World) -> None:
    world.image.unlink()
    world.bad["image"] = "bad.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((12, 16, 20, 3), np.uint8), isVector=True), str(world.image))


def _analyze(world: World) -> None:
    import nibabel as nib

    world.image.unlink()
    world.bad["image"] = "bad.hdr"
    nib.save(nib.AnalyzeImage(ct_array(seed=2), AFFINE), world.image.with_suffix(".img"))


def _store(change: Maker) -> Maker:
    """Everything prepared, then the entry of the bad scan spoilt."""

    def make(world: World) -> None:
        from tests.bad_input.doors import DOORS

        assert DOORS["prepare"](world).error is None
        change(world)

    return make


def _stored(file: str, change) -> Maker:
    def make(world: World) -> None:
        _, entry = world.prepared()
        path: Path = entry.folder / file
        path.unlink() if change is None else path.write_bytes(change(path.read_bytes()))

    return _store(make)


def _check_plain(world: World) -> None:
    store, entry = world.prepared()
    np.testing.assert_array_equal(np.sort(store.read(entry.key), axis=None), np.sort(ct_array(seed=2), axis=None))


BYTES = [
    _row("an empty .nii.gz", SCAN, content(lambda raw: b""), ("bad.nii.gz", "NIfTI header", "convert")),
    _row(
        "a .nii.gz cut in the middle",
        SCAN,
        content(cut(0.5)),
        ("bad.nii.gz", "damaged or truncated", "copy or download it again"),
    ),
    _row(
        "a .nii.gz without its last byte",
        SCAN,
        content(lambda raw: raw[:-1]),
        ("bad.nii.gz", "damaged or truncated", "copy or download it again"),
    ),
    _row(
        "a .nii.gz with one bit changed in its voxels",
        SCAN,
        content(flip(0.5)),
        ("bad.nii.gz", "damaged or truncated", "copy or download it again"),
    ),
    _row(
        "a .nii.gz with one bit changed in its checksum",
        SCAN,
        content(flip(-6)),
        ("bad.nii.gz", "damaged or truncated", "copy or download it again"),
    ),
    _row(
        "a label .nii.gz cut in the middle",
        LABEL,
        content(cut(0.5), "label"),
        ("bad_label.nii.gz", "damaged or truncated", "copy or download it again"),
    ),
    _row(
        "a web page saved as .nii.gz",
        SCAN,
        _web_page,
        ("bad.nii.gz", "expected a NIfTI header", "convert the file to NIfTI"),
    ),
    _row(
        "a .nii cut in the middle",
        SCAN,
        _plain_nifti(content(cut(0.5))),
        ("bad.nii", "the file is truncated", "copy or download it again"),
    ),
    _row(
        "a .nii whose header claims 27 000 000 000 000 voxels",
        SCAN,
        _plain_nifti(_huge_nifti),
        ("bad.nii", "the file is truncated", "copy or download it again"),
    ),
    _row(
        "an uncompressed file called .nii.gz",
        SCAN,
        content(gzip.decompress),
        repair="read as what its bytes are",
        check=_check_plain,
        sound=unspoilt,
    ),
    _row(
        "a .nrrd cut in the middle",
        SCAN,
        itk("bad.nrrd", content(cut(0.5))),
        ("bad.nrrd", "readable image", "export or copy it again"),
    ),
    _row(
        "a .nrrd with one bit changed in its voxels",
        SCAN,
        itk("bad.nrrd", content(flip(0.6))),
        ("bad.nrrd", "readable image", "export or copy it again"),
    ),
    _row(
        "a .nrrd whose header claims 3 840 000 000 000 voxels",
        SCAN,
        itk("bad.nrrd", _huge_nrrd),
        ("bad.nrrd", "readable image", "export or copy it again"),
    ),
    _row(
        "a .mha cut in the middle",
        SCAN,
        itk("bad.mha", content(cut(0.5))),
        ("bad.mha", "readable image", "export or copy it again"),
    ),
    _row(
        "a .mha with one bit changed in its voxels",
        SCAN,
        itk("bad.mha", content(flip(0.6))),
        ("bad.mha", "readable image", "export or copy it again"),
    ),
    _row(
        "a .nhdr without its data file",
        SCAN,
        itk("bad.nhdr", _gone("bad.raw.gz")),
        ("bad.nhdr", "bad.raw.gz", "copy it beside the header"),
    ),
    _row(
        "a .mhd without its data file",
        SCAN,
        itk("bad.mhd", _gone("bad.zraw")),
        ("bad.mhd", "bad.zraw", "copy it beside the header"),
    ),
    _row(
        "a .nhdr that names a data file outside its folder",
        SCAN,
        _data_file("bad.nhdr", "../secret.raw", "nrrd"),
        ("bad.nhdr", "../secret.raw", "copy it beside the header"),
    ),
    _row(
        "a .mhd that names a data file by an absolute path",
        SCAN,
        _data_file("bad.mhd", "/dev/zero", "mhd"),
        ("bad.mhd", "/dev/zero", "copy it beside the header"),
    ),
    _row(
        "a DICOM series with a slice cut short",
        SCAN,
        _dicom(_cut_slice),
        ("bad_series", "slice", "copy"),
    ),
    _row(
        "an empty DICOM folder",
        SCAN,
        _dicom(_empty_folder),
        ("bad_series", "folder of DICOM slices", "name the folder of the series itself"),
    ),
    _row(
        "a folder without DICOM in it",
        SCAN,
        _dicom(_notes),
        ("bad_series", "no DICOM image among 1 files", "name the folder of the series itself"),
    ),
    _row(
        "a named pipe in place of a scan",
        SCAN,
        _pipe,
        ("bad.nii.gz", "a pipe or device", "give the image itself"),
    ),
    _row(
        "a pickled .npy in place of a scan",
        SCAN,
        _pickle,
        ("bad.npy", "another kind of file", "convert it to .nii.gz"),
    ),
    _row(
        "an Analyze pair",
        SCAN,
        _analyze,
        ("bad.hdr", "another kind of file", "convert it to .nii.gz"),
    ),
    _row(
        "a colour image",
        SCAN,
        _colour,
        ("bad.nrrd", "one value per voxel", "export grey values"),
    ),
    _row(
        "complex numbers",
        SCAN,
        image(lambda array: array.astype(np.complex64)),
        ("bad.nii.gz", "one value per voxel", "export grey values"),
    ),
    _row(
        "a prepared image.b2nd cut in the middle",
        STORE,
        _stored("image.b2nd", cut(0.5)),
        ("image.b2nd", "store repair"),
    ),
    _row(
        "an empty prepared image.b2nd",
        STORE,
        _stored("image.b2nd", lambda raw: b""),
        ("image.b2nd", "store repair"),
    ),
    _row(
        "a prepared label.b2nd that is gone",
        STORE,
        _stored("label.b2nd", None),
        ("label.b2nd", "store repair"),
    ),
    _row(
        "a prepared image.b2nd with one bit changed in its voxels",
        ("store verify",),
        _stored("image.b2nd", flip(0.5)),
        ("image.b2nd", "checksum", "store repair"),
    ),
    _row(
        "a prepared entry.json with one bit changed",
        STORE,
        _stored("entry.json", flip(0.5)),
        ("entry.json", "damaged", "store repair"),
    ),
    _row(
        "a prepared coordinates.npz cut in the middle",
        STORE,
        _stored("coordinates.npz", cut(0.5)),
        ("coordinates.npz", "store repair"),
    ),
    _row(
        "a store.json cut in the middle",
        (*STORE, "prepare"),
        _store(lambda world: (world.store / "store.json").write_bytes(b'{"format": 1, "prep')),
        ("store.json", "description of a store", "name another folder"),
    ),
]

__all__ = ["BYTES", "LABEL", "SCAN", "STORE", "itk", "write_nifti"]
