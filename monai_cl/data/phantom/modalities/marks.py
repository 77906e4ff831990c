"""Marks in the organs of a section: a nodule is a filled disc; rings and tubes are not.

The shape of a mark is all that tells: a nodule and what stands in its place without it have one area, one contrast and
one centre, and every section has the same number of marks with and without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_cl.data.phantom.modalities.anatomy import blob, cover, grid, tube

DISTRACTORS = ("ring", "tube")
# so large and few that a network learns to tell them from some thousand labels
RADII, COUNTS = (7.0, 10.0), (1, 2)
_WOBBLE, _GAP, _MOST_TRIES = 0.1, 1.0, 200


@dataclass(frozen=True)
class Marks:
    """The marks of a section, drawn for both classes.

    Attributes:
        covers: (n, SIZE, SIZE) float32, the share of each pixel that a distractor covers.
        nodule: (SIZE, SIZE), likewise, of the nodule that stands in place of the first of them in class 1.
        contrasts: (n,) in [0, 1], the first also of the nodule.
        radius: of the nodule, pixels.
    """

    covers: np.ndarray
    nodule: np.ndarray
    contrasts: np.ndarray
    radius: float

    def painted(self, target: int) -> np.ndarray:
        """(SIZE, SIZE), the contrasts where they are, of a section with a nodule (1) or without (0)."""
        covers = self.covers if target == 0 else np.concatenate([self.nodule[None], self.covers[1:]])
        return np.max(covers * self.contrasts[:, None, None], axis=0)


def draw_marks(rng: np.random.Generator, allowed: np.ndarray) -> Marks:
    """One or two marks, apart from each other.

    Args:
        rng: draws all of them.
        allowed: (SIZE, SIZE) bool, where their centres may be.
    """
    count = int(rng.integers(COUNTS[0], COUNTS[1] + 1))
    radii = rng.uniform(*RADII, count)  # of a disc of the mark's area
    kinds = rng.choice(DISTRACTORS, count)
    contrasts = rng.uniform(0.8, 1, count)
    centres = _centres(rng, allowed, radii)
    y, x = grid()
    covers = [_distractor(kind, x - at[1], y - at[0], r, rng) for kind, at, r in zip(kinds, centres, radii)]
    at, radius = centres[0], float(radii[0])
    nodule = blob(x - at[1], y - at[0], radius, rng, wobble=_WOBBLE)
    return Marks(np.stack([cover(one) for one in covers]), cover(nodule), contrasts, radius)


def _centres(rng: np.random.Generator, allowed: np.ndarray, radii: np.ndarray) -> list[np.ndarray]:
    """Rows and columns from the middle of the image; nearer to each other where there is no room."""
    places = np.argwhere(allowed if allowed.any() else np.ones_like(allowed)) - (np.array(allowed.shape) - 1) / 2
    chosen: list[np.ndarray] = []
    for number, radius in enumerate(radii):
        best, at = -np.inf, places[0]
        for _ in range(_MOST_TRIES):
            trial = places[rng.integers(len(places))]
            # distractors reach about 1.4 radii of a disc of their area
            apart = [
                np.hypot(*(trial - other)) - 1.4 * (radius + radii[i]) - _GAP for i, other in enumerate(chosen[:number])
            ]
            if (room := min(apart, default=0.0)) > best:
                best, at = room, trial
            if best >= 0:
                break
        chosen.append(at)
    return chosen


def _distractor(kind: str, u: np.ndarray, v: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Distance to the edge of a distractor with the area of a disc of this radius."""
    angle, area = rng.uniform(0, np.pi), np.pi * radius**2
    if kind == "ring":
        hole = rng.uniform(0.55, 0.7)
        outer = radius / np.sqrt(1 - hole**2)
        return np.abs(np.hypot(u, v) - outer * (1 + hole) / 2) - outer * (1 - hole) / 2
    half = radius * rng.uniform(0.5, 0.6)
    return tube(u, v, (area - np.pi * half**2) / (2 * half), half, angle)
