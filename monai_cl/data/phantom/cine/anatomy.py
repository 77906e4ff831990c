"""The heart of a synthetic patient as numbers: its kind, its two phases, and what surrounds it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

KINDS = {"normal": 0.5, "dilated": 0.2, "hypertrophic": 0.2, "small": 0.1}
PHASES = ("ED", "ES")
CAVITY_END, RV_END = 0.93, 0.88
"""Where along the axis (0 base, 1 apex) the left cavity and the right ventricle end."""
SHORTENING = 0.16  # of the axis in systole; the base comes down, the apex stays


@dataclass(frozen=True)
class HeartPhase:
    """The heart at one moment, lengths in mm; z points to the head, the apex at z = 0.

    Attributes:
        axis: from apex to base.
        radius: of the left cavity at the base.
        wall: thickness of the left wall.
        rv_scale: of the right ventricle's cross-sections, 1 at end-diastole.
        papillary: radius of the papillary muscles.
    """

    axis: float
    radius: float
    wall: float
    rv_scale: float
    papillary: float

    def position(self, z: np.ndarray | float) -> np.ndarray:
        """s: 0 at the base, 1 at the apex; below 0 above the base, above 1 below the apex."""
        return 1 - np.asarray(z, dtype=np.float64) / self.axis

    def cavity_radius(self, s: float) -> float:
        """Mean radius r √(1 - s²) of the left cavity, 0 where there is none."""
        return self.radius * math.sqrt(1 - s * s) if 0 <= s <= CAVITY_END else 0.0

    def outer_radius(self, s: float) -> float:
        """Mean radius of the left ventricle with its wall, 0 where there is none."""
        return self.radius * math.sqrt(1 - s * s) + self.wall if 0 <= s <= 1 else 0.0

    def volume(self) -> float:
        """Of the left cavity, ml: ``π r² L (e - e³/3)`` to its end e, the lobes' share added."""
        e = CAVITY_END
        return math.pi * self.radius**2 * self.axis * (e - e**3 / 3) * (1 + (LOBES[2] ** 2 + LOBES[3] ** 2) / 2) / 1000


LOBES = {2: 0.05, 3: 0.03}
"""Number of lobes of the left ventricle's outline -> their share of the radius."""


@dataclass(frozen=True)
class HeartPatient:
    """One patient.

    Attributes:
        kind: of `KINDS`.
        phases: "ED" and "ES" -> the heart then.
        lobes: number of lobes -> their angle, rad.
        rv_width: of the right ventricle at the base at end-diastole, mm.
        papillary: angles of the two papillary muscles, rad.
        horizon: height of the liver's edge over the field of view (mm from its centre) and its slope.
        organs: (n, 4) centre x, y, radius in mm and brightness of round organs.
        torso: half axes of the body in mm, and thickness of its fat.
        tissue: brightness of myocardium, fat, liver and lung; blood is 1.
    """

    kind: str
    phases: dict[str, HeartPhase]
    lobes: dict[int, float]
    rv_width: float
    papillary: tuple[float, float]
    horizon: tuple[float, float]
    organs: np.ndarray
    torso: tuple[float, float, float]
    tissue: dict[str, float]


def draw_patient(rng: np.random.Generator) -> HeartPatient:
    """Draw a patient; everything that does not differ between the scans of one.

    Args:
        rng: where every draw comes from.
    """
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    axis, radius = rng.normal(88, 7), rng.normal(24, 2)
    wall, ejection = rng.normal(9, 1.2), rng.normal(0.60, 0.06)
    if kind == "dilated":
        radius, ejection = radius * 1.25, ejection - 0.28
    elif kind == "hypertrophic":
        wall, radius = wall * 1.5, radius * 0.85
    elif kind == "small":
        axis, radius = axis * 0.88, radius * 0.85
    axis, radius, wall = np.clip(axis, 65, 110), np.clip(radius, 16, 36), np.clip(wall, 5, 17)
    ejection = float(np.clip(ejection, 0.15, 0.75))
    end = float(radius * math.sqrt((1 - ejection) / (1 - SHORTENING)))
    # the area of the wall's cross-section stays
    thick = math.sqrt((radius + wall) ** 2 - radius**2 + end**2) - end
    phases = {
        "ED": HeartPhase(float(axis), float(radius), float(wall), 1.0, rng.uniform(2.5, 3.5)),
        "ES": HeartPhase(float(axis * (1 - SHORTENING)), end, thick, math.sqrt(1 - 0.68 * ejection), rng.uniform(4, 5)),
    }
    angle = rng.uniform(0, 2 * np.pi, 6)
    distance = rng.uniform(66, 115, 6)
    bright = rng.choice([0.3, 0.5, 0.7, 0.95], 6)
    organs = np.stack([distance * np.cos(angle), distance * np.sin(angle), rng.uniform(6, 20, 6), bright], axis=1)
    return HeartPatient(
        kind=kind,
        phases=phases,
        lobes={number: float(rng.uniform(0, 2 * np.pi)) for number in LOBES},
        rv_width=float(np.clip(rng.normal(48, 6), 34, 62)),
        papillary=(float(rng.normal(2.3, 0.2)), float(rng.normal(4.0, 0.2))),
        horizon=(float(rng.uniform(-85, -40)), float(rng.uniform(-0.3, 0.3))),
        organs=organs,
        torso=(float(rng.uniform(95, 130)), float(rng.uniform(80, 105)), float(rng.uniform(6, 22))),
        tissue={
            "myocardium": float(rng.uniform(0.33, 0.45)),
            "fat": float(rng.uniform(0.75, 1.0)),
            "liver": float(rng.uniform(0.35, 0.6)),
            "lung": float(rng.uniform(0.05, 0.12)),
        },
    )
