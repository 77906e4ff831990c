"""A random upper abdomen: organs as implicit shapes with their HU, in the order in which they are painted.

World RAS mm: the origin lies on the midline at the pancreas; +x is the patient's right, +y the front, +z the head.
Typical positions, sizes and HU follow labelled abdominal CT (BTCV); every patient moves, bends and reshapes them.
"""

from __future__ import annotations

import numpy as np

from monai_cl.data.phantom.abdomen.bowel import colon, retroperitoneum, small_bowel
from monai_cl.data.phantom.abdomen.lesions import lesions
from monai_cl.data.phantom.abdomen.organs import aorta, kidneys, liver, pancreas, spleen, stomach
from monai_cl.data.phantom.abdomen.structure import Anatomy, Structure
from monai_cl.data.phantom.abdomen.trunk import sample_trunk
from monai_cl.data.phantom.draw import Draw
from monai_cl.data.phantom.shapes import CosineSum

# HU at the three usual contrast phases; organs of one patient share the phase
PHASES: dict[str, dict[str, float]] = {
    "native": dict(
        liver=57, spleen=47, cortex=34, medulla=31, pancreas=38, aorta=41, cava=39, portal=40, muscle=50, wall=40
    ),
    "arterial": dict(
        liver=70,
        spleen=112,
        cortex=165,
        medulla=75,
        pancreas=96,
        aorta=270,
        cava=80,
        portal=115,
        muscle=56,
        wall=68,
    ),
    "portal": dict(
        liver=104, spleen=114, cortex=180, medulla=158, pancreas=86, aorta=145, cava=128, portal=160, muscle=60, wall=72
    ),
}
PHASE_PROBABILITIES = {"native": 0.15, "arterial": 0.2, "portal": 0.65}
# painting order: what lies in front of or inside something else comes later
_ORGANS = (small_bowel, colon, retroperitoneum, liver, stomach, spleen, kidneys, pancreas, aorta)


def sample_anatomy(rng: np.random.Generator, *, tumours: str | None = None) -> Anatomy:
    """Draw a patient.

    Args:
        rng: source of every choice; the same state gives the same patient, with or without tumours.
        tumours: "liver" or "kidney" adds one to four lesions there (ids 8, 9); None: a healthy patient.

    Raises:
        ValueError: for another ``tumours``.
    """
    if tumours not in (None, "liver", "kidney"):
        raise ValueError(f'tumours must be None, "liver" or "kidney", got {tumours!r}')
    phase = str(rng.choice(list(PHASE_PROBABILITIES), p=list(PHASE_PROBABILITIES.values())))
    hu = {name: value * rng.normal(1, 0.09) + rng.normal(0, 3) for name, value in PHASES[phase].items()}
    if rng.random() < 0.2:  # a fatty liver is darker than its vessels and the spleen
        hu["liver"] -= rng.uniform(15, 45)
    scale = float(np.clip(rng.normal(1, 0.06), 0.87, 1.14))
    warp = tuple(CosineSum.random(rng, rms=r, wavelengths=(170, 380), terms=8) for r in (4.0, 4.0, 5.0))
    # one stream per organ: changing or adding one leaves the others as they were
    base = int(rng.integers(2**62))
    draws = [Draw(np.random.default_rng([base, number]), scale) for number in range(len(_ORGANS) + 2)]
    trunk = sample_trunk(draws[0], hu)
    structures: tuple[Structure, ...] = trunk.structures
    for organ, draw in zip(_ORGANS, draws[2:]):
        structures += organ(draw, hu)
    if tumours is not None:
        structures += lesions(draws[1], hu, structures, tumours)
    low, high = trunk.skin.bounds()
    low, high = np.array([*(low[:2] - 8), -150.0]), np.array([*(high[:2] + 8), 150.0])
    return Anatomy(structures, trunk.regions, warp, phase, scale, low, high)
