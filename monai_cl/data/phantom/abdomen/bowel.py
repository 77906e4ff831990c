"""Structures that are not annotated and that networks confuse with organs: small bowel, colon, duodenum, mesentery,
veins, crura."""

from __future__ import annotations

import numpy as np

from monai_cl.data.phantom.abdomen.structure import Structure
from monai_cl.data.phantom.draw import Draw
from monai_cl.data.phantom.shapes import CosineSum, HalfSpace, Loops, Shape


def small_bowel(draw: Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    """Loops in front and below: walls as bright as the pancreas, contents from gas to contrast medium."""
    rng, s = draw.rng, draw.scale
    wave = rng.uniform(90, 125) * s
    first, second = (CosineSum.random(rng, rms=1, wavelengths=(0.75 * wave, 1.3 * wave), terms=20) for _ in range(2))
    radius, to_mm = rng.uniform(0.55, 0.75), wave / 6.5
    below = HalfSpace(np.array([0.0, -0.35, 1.0]), rng.uniform(0, 25) * s)
    front = HalfSpace(np.array([0.0, -1.0, 0.0]), rng.uniform(10, 25) * s)
    outer, inner = Loops(first, second, radius, to_mm), Loops(first, second, radius - 2.6 / to_mm, to_mm)
    bubbles = CosineSum.random(rng, rms=25, wavelengths=(80, 160))
    gas = Shape((inner,), within=(below, draw.gas_above(35, 40)), surface=bubbles, grow=-rng.uniform(15, 40))
    contents = _contents(rng)
    first, second = (CosineSum.random(rng, rms=1, wavelengths=(30, 70), terms=20) for _ in range(2))
    vessels = Loops(first, second, 0.17, 11.0)
    return (
        Structure(
            "mesenteric vessels", Shape((vessels,), within=(below, front)), hu["portal"], region="abdomen", gap=8
        ),
        Structure(
            "bowel wall",
            Shape((outer,), within=(below, front)),
            hu["wall"] + rng.normal(0, 8),
            texture=draw.texture(5),
            region="abdomen",
            gap=3.0,
        ),
        Structure(
            "bowel contents",
            Shape((inner,), within=(below, front)),
            contents,
            texture=draw.texture(14, (10, 50)),
            region="abdomen",
            gap=5.6,
        ),
        Structure("bowel gas", gas, -900.0, region="abdomen", gap=5.6),
    )


def colon(draw: Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    """A frame from the right flank across the front to the spleen and down the left flank, with stool and gas."""
    rng = draw.rng
    frame = (
        draw.tube((96, 5, -190, 19), (104, 0, -85, 19), (96, 14, -50, 17), (52, 52, -46, 16), sd=6),
        draw.tube((52, 52, -46, 16), (0, 62, -58, 15), (-52, 56, -30, 15), (-96, 20, 8, 16), sd=6),
        draw.tube((-96, 20, 8, 16), (-112, -28, -24, 13), (-114, -36, -80, 12), (-104, -30, -190, 13), sd=5),
    )
    haustra, wall = draw.bumps(2.4, (18, 45)), rng.uniform(2.2, 3.5)
    stool = rng.uniform(-40, 60)
    return (
        Structure(
            "colon", Shape(frame, surface=haustra), hu["wall"], texture=draw.texture(5), region="abdomen", gap=2.0
        ),
        Structure(
            "stool",
            Shape(frame, surface=haustra, grow=-wall),
            stool,
            texture=draw.texture(45, (6, 20)),
            region="abdomen",
            gap=2.0 + wall,
        ),
        Structure(
            "colonic gas",
            Shape(frame, within=(draw.gas_above(5, 70),), surface=haustra, grow=-wall),
            -930.0,
            region="abdomen",
            gap=2.0 + wall,
        ),
    )


def retroperitoneum(draw: Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    """Duodenum around the pancreatic head, crura beside the aorta, the inferior vena cava."""
    cava = draw.tube(
        (22, -30, -260, 10), (20, -26, -60, 10), (22, -20, 0, 11), (25, -18, 50, 12), (22, -8, 105, 13), sd=2.5
    )
    crura = [draw.tube((x, -34, -40, 5), (x, -30, 10, 6), (x * 1.5, -28, 60, 5), sd=2) for x in (-22, 20)]
    duodenum = draw.tube(
        (30, 22, 0, 12), (50, 2, -8, 13), (48, -14, -45, 13), (10, -14, -62, 12), (-25, -5, -45, 12), sd=5
    )
    bumps = draw.bumps(1.5, (15, 50))
    return (
        Structure("crura", Shape(tuple(crura)), hu["muscle"], region="abdomen", gap=2.0),
        Structure(
            "duodenum",
            Shape((duodenum,), surface=bumps),
            hu["wall"] + 5,
            texture=draw.texture(6),
            region="abdomen",
            gap=2.0,
        ),
        Structure(
            "duodenal contents",
            Shape((duodenum,), surface=bumps, grow=-3.5),
            _contents(draw.rng),
            region="abdomen",
            gap=2.0,
        ),
        Structure("vena cava", Shape((cava,)), hu["cava"], texture=draw.texture(4)),
    )


def _contents(rng: np.random.Generator) -> float:
    """Fluid, chyme as bright as the wall, or oral contrast medium (HU)."""
    return float(rng.choice([rng.uniform(5, 45), rng.uniform(35, 75), rng.uniform(90, 260)], p=[0.45, 0.4, 0.15]))
