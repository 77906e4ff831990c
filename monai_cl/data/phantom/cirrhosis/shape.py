"""What cirrhosis does to a synthetic liver and spleen, and what radiology and histology report.

Nothing here is measured on patients: directions follow the textbook (a nodular surface, a small right and a large
caudate and left lobe, a large spleen), amounts are chosen so that no single coarse sign decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STAGES = range(5)
ADVANCED = 3
HISTOLOGY = {0: "F0-F2", 1: "F3-F4"}
GRADES = {0: "no sign", 1: "suspicious", 2: "probable", 3: "definite"}
# how common the stages are among many patients, and among the few of a biopsy study
STAGE_PROBABILITIES = {"grades": (0.44, 0.2, 0.14, 0.12, 0.1), "histology": (0.2, 0.2, 0.2, 0.2, 0.2)}
# a reading of severity + noise above these is grade 1, 2, 3: about 67, 14, 15 and 4 % of the many
_READING_LIMITS = (1.89, 2.92, 4.5)
_READING_NOISE = 1.0
SIGNS = ("everywhere", "local")
"""Where a stage shows: in every slice of the liver, or each sign at its own height and in no other slice."""


@dataclass(frozen=True)
class CirrhosisShape:
    """True shape of a liver and a spleen.

    Attributes:
        nodularity: height of the surface's nodules, root mean square in mm.
        nodule: distance between nodules, mm.
        right, left, caudate: linear size of the liver's lobes against a healthy one of the same volume.
        spleen: linear size of the spleen against a healthy one.
        vein: radius of a recanalised umbilical vein, mm; 0 where it is closed.
    """

    nodularity: float
    nodule: float
    right: float
    left: float
    caudate: float
    spleen: float
    vein: float = 0.0


def draw_stage(rng: np.random.Generator, cohort: str) -> tuple[int, float]:
    """A stage 0-4, and the continuous severity behind it: stage + U(-0.5, 0.5)."""
    stage = int(rng.choice(len(STAGES), p=STAGE_PROBABILITIES[cohort]))
    return stage, stage + float(rng.uniform(-0.5, 0.5))


def draw_shape(rng: np.random.Generator, severity: float, *, signs: str = "everywhere") -> CirrhosisShape:
    """The shape at a severity, with what differs between patients of one severity.

    Args:
        rng: where every draw comes from.
        severity: of `draw_stage`.
        signs: of `SIGNS`. "local": a smooth liver of the same lobes; the caudate lobe, the spleen and the umbilical
            vein alone follow the severity.
    """
    part = float(np.clip(severity, 0, 4.5)) / 4
    if signs == "local":
        return CirrhosisShape(
            nodularity=0.3 * float(np.exp(rng.normal(0, 0.13))),
            nodule=float(rng.uniform(13, 21)),
            right=1 + float(rng.normal(0, 0.05)),
            left=1 + float(rng.normal(0, 0.08)),
            caudate=1 + 0.4 * part + float(rng.normal(0, 0.1)),
            spleen=1 + 0.2 * part + float(rng.normal(0, 0.11)),
            vein=max(0.0, 8 * (part - 0.4) + float(rng.normal(0, 1))),
        )
    nodularity = (0.3 + 3.7 * part**1.4) * float(np.exp(rng.normal(0, 0.13)))
    return CirrhosisShape(
        nodularity=nodularity,
        nodule=float(rng.uniform(13, 21)),
        right=1 - 0.07 * part + float(rng.normal(0, 0.05)),
        left=1 + 0.09 * part + float(rng.normal(0, 0.08)),
        caudate=1 + 0.22 * part + float(rng.normal(0, 0.1)),
        spleen=1 + 0.10 * part + float(rng.normal(0, 0.11)),
    )


def read_grade(rng: np.random.Generator, severity: float) -> int:
    """The radiological grade 0-3: a noisy look at the severity."""
    return int(np.searchsorted(_READING_LIMITS, severity + rng.normal(0, _READING_NOISE)))


def histology(stage: int) -> int:
    """1 for advanced fibrosis (stage 3 and 4), 0 otherwise."""
    return int(stage >= ADVANCED)
