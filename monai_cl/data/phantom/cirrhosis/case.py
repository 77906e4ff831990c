"""Synthetic cirrhosis in memory: one call, one patient of a dozen slices, drawn from (seed, cohort, index) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_cl.data.phantom.cirrhosis.anatomy import sample_patient
from monai_cl.data.phantom.cirrhosis.lattice import AxialLattice
from monai_cl.data.phantom.cirrhosis.render import render_slices
from monai_cl.data.phantom.cirrhosis.shape import (
    SIGNS,
    STAGE_PROBABILITIES,
    CirrhosisShape,
    draw_shape,
    draw_stage,
    histology,
    read_grade,
)
from monai_cl.data.phantom.cirrhosis.structure import LABELS

__all__ = ["COHORTS", "LABELS", "CirrhosisCase", "cirrhosis_case"]

COHORTS = tuple(STAGE_PROBABILITIES)


@dataclass(frozen=True)
class CirrhosisCase:
    """A synthetic patient.

    Attributes:
        image: int16 HU, label: uint8 (``LABELS``: 1 liver, 2 spleen), both (X, Y, Z) in RAS.
        affine: (4, 4) voxel -> RAS mm, diagonal.
        stage: 0-4, the truth.
        grade: radiological grade 0-3, a noisy reading of the stage.
        histology: 0 (stage 0-2) or 1 (stage 3-4); None in the cohort "grades", none of whom had a biopsy.
        shape: the true shape of liver and spleen.
        phase: contrast phase, noise: HU; they do not depend on the stage.
    """

    image: np.ndarray
    label: np.ndarray
    affine: np.ndarray
    stage: int
    grade: int
    histology: int | None
    shape: CirrhosisShape
    phase: str
    noise: float

    @property
    def spacing(self) -> np.ndarray:
        """(3,) mm."""
        return np.diag(self.affine)[:3].copy()


def cirrhosis_case(
    seed: int,
    index: int,
    *,
    cohort: str = "grades",
    size: int = 176,
    stage: int | None = None,
    signs: str = "everywhere",
) -> CirrhosisCase:
    """Make one synthetic patient: 12 to 16 slices, from the kidneys to above the diaphragm.

    Args:
        seed: of the cohort, >= 0.
        index: of the patient, >= 0. The patient depends on (seed, cohort, index) and the options only.
        cohort: "grades": many patients, mostly healthy, with a grade; "histology": few, evenly over the stages. The two
            cohorts have no patient in common.
        size: pixels per side; the field of view does not depend on it.
        stage: ask for a stage; the same patient otherwise.
        signs: "everywhere": a nodular liver of other proportions, in every slice; "local": a large caudate lobe, a
            large spleen and an open umbilical vein, each in the slices that show it.

    Raises:
        ValueError: an option out of its range.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must be >= 0, got {seed} and {index}")
    if cohort not in COHORTS:
        raise ValueError(f"cohort must be one of {', '.join(COHORTS)}, got {cohort!r}")
    if size < 16:
        raise ValueError(f"size must be >= 16 pixels, got {size}")
    if stage is not None and stage not in range(5):
        raise ValueError(f"stage must be 0 to 4 or None, got {stage}")
    if signs not in SIGNS:
        raise ValueError(f"signs must be one of {', '.join(SIGNS)}, got {signs!r}")
    # separate streams: asking for another stage must not change the body, nor another size the noise's seed
    disease, body, scanner, noise, reading, course = (
        np.random.default_rng([seed, COHORTS.index(cohort), index, stream]) for stream in range(6)
    )
    drawn, severity = draw_stage(disease, cohort)
    if stage is not None:
        drawn, severity = stage, severity - drawn + stage
    shape = draw_shape(disease, severity, signs=signs)
    patient = sample_patient(body, scanner, course, shape)
    count = int(scanner.integers(12, 17))
    heights = np.linspace(-scanner.uniform(62, 92), scanner.uniform(92, 120), count)
    pixel = float(scanner.uniform(330, 400)) / size
    level = float(scanner.uniform(8, 20))
    shift = scanner.normal([0, 16], [7, 9])
    lattice = AxialLattice(heights, size=size, pixel=pixel, shift=tuple(shift), roll=float(scanner.normal(0, 3)))
    hu, labels = render_slices(patient, lattice, noise, noise=level)
    affine = np.diag([pixel, pixel, heights[1] - heights[0], 1.0])
    affine[:3, 3] = [-pixel * (size - 1) / 2, -pixel * (size - 1) / 2, heights[0]]
    return CirrhosisCase(
        image=hu.transpose(2, 1, 0),
        label=labels.transpose(2, 1, 0),
        affine=affine,
        stage=drawn,
        grade=read_grade(reading, severity),
        histology=histology(drawn) if cohort == "histology" else None,
        shape=shape,
        phase=patient.phase,
        noise=level,
    )
