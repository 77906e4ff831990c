"""The synthetic cirrhosis cohort as arrays in memory, for benchmarks: no file, no store, the same slices and depths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from monai_cl.data.phantom.cirrhosis.case import cirrhosis_case
from monai_cl.data.phantom.cirrhosis.structure import LIVER
from monai_cl.data.slices.choice import central_fraction, slice_depths
from monai_cl.data.slices.ct_slices import WINDOW
from monai_cl.data.slices.pixels import window_slices
from monai_cl.files import new_file


@dataclass(frozen=True)
class CirrhosisSlices:
    """The kept slices of many synthetic patients, one row per slice, patient by patient, feet to head.

    Attributes:
        images: (M, H, W) uint8, the window from 0 to 255; seen as by a radiologist, as `CTSlices` gives them.
        depths: (M,) float32 in (0, 1).
        patients: (M,) int64 index of the patient.
        stages, grades: (M,) int64 of the patient; ``histology``: (M,) int64, -1 where there was no biopsy.
    """

    images: np.ndarray
    depths: np.ndarray
    patients: np.ndarray
    stages: np.ndarray
    grades: np.ndarray
    histology: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def save(self, path: str | Path) -> None:
        """Write as an uncompressed .npz file."""
        with new_file(Path(path)) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: str | Path) -> CirrhosisSlices:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as archive:
            return cls(**{field.name: archive[field.name] for field in fields(cls)})


def cirrhosis_slices(
    seed: int,
    patients: int | Sequence[int],
    *,
    cohort: str = "grades",
    size: int = 176,
    window: tuple[float, float] = WINDOW,
    fraction: float = 0.7,
    workers: int = 1,
    progress: bool = False,
) -> CirrhosisSlices:
    """Make the kept slices of synthetic patients.

    Args:
        seed, cohort, size: see :func:`monai_cl.data.cirrhosis_case`.
        patients: how many, or their indices.
        window: (lower, upper) HU.
        fraction: central part of the slices with liver that is kept.
        workers: processes; the result does not depend on it.
        progress: show a progress bar.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    indices = range(patients) if isinstance(patients, int) else list(patients)
    done = Parallel(n_jobs=workers, return_as="generator")(
        delayed(_patient)(seed, index, cohort, size, window, fraction) for index in indices
    )
    bar = tqdm(done, total=len(indices), desc="synthetic patients", unit="patient", disable=not progress)
    columns = [np.concatenate(column) for column in zip(*bar, strict=True)]
    return CirrhosisSlices(*columns)


def _patient(seed: int, index: int, cohort: str, size: int, window: tuple[float, float], fraction: float) -> tuple:
    case = cirrhosis_case(seed, index, cohort=cohort, size=size)
    kept = central_fraction(np.flatnonzero((case.label == LIVER).any(axis=(0, 1))), fraction)
    pixels = window_slices(case.image[..., kept], window)
    truth = (index, case.stage, case.grade, -1 if case.histology is None else case.histology)
    return (
        (pixels * 255).round_().numpy().astype(np.uint8),
        slice_depths(case.affine, case.image.shape[2])[kept].astype(np.float32),
        *(np.full(len(kept), value, dtype=np.int64) for value in truth),
    )
