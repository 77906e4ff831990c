"""Tiny volumes written to disk in every format the package reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk


def ct_array(shape: Sequence[int] = (20, 16, 12), seed: int = 0) -> np.ndarray:
    """int16 HU with structure at every scale, some of it air."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    body = np.where(x**2 + y**2 + 0.3 * z**2 < 0.8, 40.0, -1000.0)
    return np.round(body + rng.normal(0, 30, shape)).astype(np.int16)


def as_mr(hu: np.ndarray, *, gain: float) -> np.ndarray:
    """A CT as an MR might be: air 0, fat bright, tissue between, bone dark; ``gain`` differs from scan to scan."""
    return gain * np.interp(hu, [-900, -400, -100, 0, 60, 200, 700], [0.0, 0.02, 1.0, 0.3, 0.5, 0.7, 0.05])


def label_array(shape: Sequence[int] = (20, 16, 12), values: Sequence[int] = (1, 2, 5)) -> np.ndarray:
    """uint8 boxes, one a value, in rows along the first axis."""
    array = np.zeros(shape, np.uint8)
    edges = np.linspace(1, shape[0] - 1, len(values) + 1).astype(int)
    for value, low, high in zip(values, edges[:-1], edges[1:], strict=True):
        array[low:high, shape[1] // 4 : shape[1] // 2, shape[2] // 4 : -(shape[2] // 4)] = value
    return array


def affine_of(
    codes: str, spacing: Sequence[float] = (0.7, 0.9, 2.5), origin: Sequence[float] = (-7, 11, 3)
) -> np.ndarray:
    """The affine of an array whose axes point to ``codes``, e.g. ``"LPS"``."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (code, step) in enumerate(zip(codes, spacing, strict=True)):
        row = next(number for number, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        affine[row, axis] = step if code in "RAS" else -step
    affine[:3, 3] = origin
    return affine


def rotated(affine: np.ndarray, degrees: Sequence[float]) -> np.ndarray:
    """The affine turned about the three world axes."""
    turned = affine.copy()
    for axis, angle in enumerate(np.deg2rad(degrees)):
        turn = np.eye(3)
        first, second = [other for other in range(3) if other != axis]
        turn[[first, first, second, second], [first, second, first, second]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        turned[:3, :3] = turn @ turned[:3, :3]
    return turned


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def write_itk(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    """NRRD or MetaImage of an array (X, Y, Z) with an affine in RAS."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).reshape(-1).tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def write_segmentation(path: Path, array: np.ndarray, affine: np.ndarray, names: Mapping[int, str]) -> Path:
    """A .seg.nrrd with names of its values, as 3D Slicer 5 writes it."""
    write_itk(path, array, affine)
    head, _, voxels = path.read_bytes().partition(b"\n\n")
    lines = [
        line
        for number, (value, name) in enumerate(names.items())
        for line in (
            f"Segment{number}_ID:=Segment_{number + 1}",
            f"Segment{number}_Layer:=0",
            f"Segment{number}_LabelValue:={value}",
            f"Segment{number}_Name:={name}",
        )
    ]
    path.write_bytes(head + b"\n" + "\n".join(lines).encode() + b"\n\n" + voxels)
    return path


def write_dicom(
    folder: Path,
    array: np.ndarray,
    positions: Sequence[float] | Sequence[np.ndarray],
    *,
    uid: str = "1.2.3.4",
    description: str = "abdomen",
    spacing: Sequence[float] = (0.8, 0.9),
    shift_per_mm: float = 0.0,
    prefix: str = "slice",
    intercepts: Sequence[int] = (-1024,),
    frame_of_reference: str | None = "1.2.3.5",
    directions: Sequence[float] = (1, 0, 0, 0, 1, 0),
    gap: float = 1.0,
    patient: str = "",
    modality: str = "CT",
) -> Path:
    """CT (or MR) slices array[..., k] at z = positions[k], even HU (stored with slope 2); y moves with z if tilted.

    Positions may be whole ones (3,) in LPS. The rescale intercepts are taken in turn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    # names in another order than positions, as scanners do
    names = np.random.default_rng(1).permutation(len(positions))
    for number, position in enumerate(positions):
        image = sitk.GetImageFromArray(np.ascontiguousarray(array[..., number].astype(np.int16).T[None]))
        image.SetSpacing([*spacing, gap])
        origin = position if np.ndim(position) else (-5.0, 4.0 + shift_per_mm * position, position)
        tags: dict[str, Any] = {
            "0008|0016": {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4"}[modality],
            "0008|0018": f"{uid}.{number + 1}",
            "0008|0060": modality,
            "0008|103e": description,
            "0020|000d": "1.2.3",
            "0020|000e": uid,
            "0020|0032": "\\".join(f"{value:.12g}" for value in origin),
            "0020|0037": "\\".join(f"{value:.10g}" for value in directions),
        }
        if modality == "CT":  # an MR with a slope becomes an enhanced one
            tags |= {"0028|1052": str(intercepts[number % len(intercepts)]), "0028|1053": "2"}
        if patient:
            tags["0010|0020"] = patient
        if frame_of_reference is not None:
            tags["0020|0052"] = frame_of_reference
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{prefix}{names[number]:03d}.dcm"))
        writer.Execute(image)
    return folder


def write_dicom_on(folder: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    """CT slices of an array (X, Y, Z) of even HU with an affine in RAS: columns along X, rows along Y."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    directions = lps[:3, :3] / spacing
    origins = [lps[:3, 3] + number * lps[:3, 2] for number in range(array.shape[2])]
    return write_dicom(
        folder, array, origins, spacing=spacing[:2], directions=directions[:, :2].T.ravel(), gap=spacing[2]
    )


def items_of(folder: Path, count: int = 3, **extra: Any) -> list[dict[str, Any]]:
    """Labelled cases written to ``folder`` and described as a data list's items."""
    items = []
    for number in range(count):
        image = write_nifti(folder / f"case{number}.nii.gz", ct_array(seed=number), affine_of("LPS"))
        label = write_nifti(folder / f"case{number}_label.nii.gz", label_array(), affine_of("LPS"))
        items.append(
            {
                "image": str(image),
                "label": str(label),
                "dataset": "tiny",
                "id": f"case{number}",
                "patient": f"p{number}",
            }
            | extra
        )
    return items
