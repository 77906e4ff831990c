"""A synthetic patient at the height of the liver, simple enough to be drawn slice by slice in milliseconds.

Anatomy space as the phantom's: RAS mm, origin on the midline at the pancreas, +x to the right, +y to the front.
"""

from __future__ import annotations

import numpy as np

from monai_cl.data.phantom.abdomen.anatomy import PHASES
from monai_cl.data.phantom.chest import BelowDiaphragm
from monai_cl.data.phantom.cirrhosis.shape import CirrhosisShape
from monai_cl.data.phantom.cirrhosis.structure import LIVER, SPLEEN, Ball, CirrhosisPatient, Coat
from monai_cl.data.phantom.draw import Draw
from monai_cl.data.phantom.shapes import CosineSum, Ellipsoid, Loops, Part, Shape

PHASE_PROBABILITIES = {"native": 0.2, "arterial": 0.25, "portal": 0.55}


def sample_patient(
    rng: np.random.Generator, scanner: np.random.Generator, course: np.random.Generator, shape: CirrhosisShape
) -> CirrhosisPatient:
    """Draw a patient around a liver and spleen of a given shape.

    Args:
        rng: of the patient; nothing but ``shape`` depends on the stage.
        scanner: draws the contrast phase, which belongs to the examination.
        course: draws the way of the umbilical vein.
        shape: of liver and spleen.
    """
    phase = str(scanner.choice(list(PHASE_PROBABILITIES), p=list(PHASE_PROBABILITIES.values())))
    hu = {name: value * scanner.normal(1, 0.09) + scanner.normal(0, 3) for name, value in PHASES[phase].items()}
    if rng.random() < 0.25:
        hu["liver"] -= rng.uniform(10, 40)
    draw = Draw(rng, float(np.clip(rng.normal(1, 0.06), 0.87, 1.14)))
    cavity, trunk = _trunk(draw, hu)
    tops = np.array([draw.point(70, 8, 98), draw.point(-72, -2, 90), draw.point(0, 38, 80)])
    tops[:, 2] += rng.normal(0, 9)  # breath
    diaphragm = BelowDiaphragm(tops, np.array([70.0, 70, 85]) * rng.uniform(0.85, 1.2, 3) * draw.scale)
    coats = (
        *trunk,
        *_chest(draw, hu, cavity),
        *_kidneys(draw, hu),
        *_bowel(draw, hu),
        *_stomach(draw, hu),
        *_spleen(draw, hu, shape),
        *_liver(draw, hu, shape),
        *_vessels(draw, hu),
        *_umbilical_vein(Draw(course, draw.scale), hu, shape),
    )
    pitch = 30 * draw.scale
    ribs = (pitch, 0.45, float(rng.uniform(0, pitch)), float(rng.uniform(250, 400)))
    return CirrhosisPatient(coats, cavity, diaphragm, draw.texture(1.0, (8, 40)), ribs, phase)


def _trunk(draw: Draw, hu: dict[str, float]) -> tuple[Part, tuple[Coat, ...]]:
    rng, s = draw.rng, draw.scale
    half_width, half_depth = 138 * rng.normal(1, 0.05) * s, 90 * rng.normal(1, 0.07) * s
    wall, fat = rng.uniform(11, 18), rng.gamma(3, 6) + 4
    belly = fat * rng.uniform(0.8, 1.6)
    blob = np.array([1, 1, np.inf])

    def oval(extra: float, front: float = 0.0) -> Ellipsoid:
        radii = np.array([half_width + extra, half_depth + extra + front / 2, 1.0])
        return Ellipsoid(np.array([0.0, -12 * s + front / 2, 0]), radii * blob, exponent=2.4)

    behind = Ellipsoid(np.array([0.0, -92, 0]) * s, np.array([52.0, 52, 1]) * s * blob)
    cavity = Shape((oval(0),), cuts=(behind,), blend=15)
    back = [Ellipsoid(np.array([x, -106.0, 0]) * s, np.array([30.0, 24, 1]) * s * blob) for x in (-32, 32)]
    fatter = [Ellipsoid(e.centre, e.radii + (6 + 0.6 * fat), exponent=2.0) for e in back]
    bone, marrow = rng.uniform(300, 500), rng.uniform(110, 220)
    body, canal = np.array([0.0, -58, 0]) * s, np.array([0.0, -83, 0]) * s
    size = np.array([22.0, 17, 1]) * s * rng.normal(1, 0.05) * blob
    wing = Ellipsoid(np.array([0.0, -90, 0]) * s, np.array([31.0, 6, 1]) * s * blob)
    spine = Ellipsoid(np.array([0.0, -104, 0]) * s, np.array([4.5, 19, 1]) * s * blob)
    coats = (
        Coat(Shape((oval(wall + fat, belly - fat), *fatter), blend=45), rng.normal(-105, 6), 1.2, flat=True),
        Coat(Shape((oval(wall), *back), blend=25), hu["muscle"], 1.5, flat=True),
        Coat(cavity, rng.normal(-100, 7), 1.5, flat=True),
        Coat(Shape((wing, spine), blend=3), 0.8 * bone, flat=True),
        Coat(Ellipsoid(body, size, exponent=3.0), bone, flat=True),
        Coat(Ellipsoid(body, size - 2.4, exponent=3.0), marrow, 3, flat=True),
        Coat(Ellipsoid(canal, np.array([9.0, 8, 1]) * s * blob), 28.0, flat=True),
    )
    return cavity, coats


def _chest(draw: Draw, hu: dict[str, float], cavity: Part) -> tuple[Coat, ...]:
    middle = Ellipsoid(np.array([0.0, -25, 0]) * draw.scale, np.array([30.0, 70, np.inf]) * draw.scale)
    heart = Ball(draw.point(-20, 28, 126), draw.radii(54, 44, 44), draw.axes(0, 20, 0))
    return (
        Coat(cavity, draw.rng.uniform(-880, -780), 3, flat=True, region="chest", gap=2),
        Coat(middle, -60.0, 2, flat=True, region="chest", gap=2),
        Coat(heart, 0.5 * (hu["aorta"] + hu["portal"]), region="chest", gap=2),
    )


def _kidneys(draw: Draw, hu: dict[str, float]) -> tuple[Coat, ...]:
    coats: list[Coat] = []
    drop = draw.rng.normal(0, 9)
    for side, centre in ((1, (58, -56, -36 + drop)), (-1, (-60, -56, -24 + drop))):
        middle, radii = draw.point(*centre), draw.radii(30, 28, 57, sd=0.08)
        axes = draw.axes(-12, -14 * side, 35 * side, sd=7)
        sinus = Ball(middle - side * axes[0] * radii[0] * 0.72, radii * [0.55, 0.4, 0.4], axes)
        coats += [
            Coat(Shape((Ball(middle, radii, axes),), cuts=(sinus,), blend=5), hu["cortex"], 1, region="abdomen", gap=3),
            Coat(
                Shape((Ball(middle, radii - 7.0, axes),), cuts=(sinus,), blend=5),
                hu["medulla"],
                1,
                region="abdomen",
                gap=3,
            ),
        ]
    return tuple(coats)


def _bowel(draw: Draw, hu: dict[str, float]) -> tuple[Coat, ...]:
    rng = draw.rng
    wave = rng.uniform(80, 120) * draw.scale
    first, second = (CosineSum.random(rng, rms=1, wavelengths=(0.75 * wave, 1.3 * wave), terms=10) for _ in range(2))
    loops = Loops(first, second, rng.uniform(0.5, 0.75), wave / 6.5)
    below = Ball(draw.point(-10, 20, -95), draw.radii(140, 105, 80))
    fluid = float(rng.choice([rng.uniform(5, 45), rng.uniform(35, 75), rng.uniform(90, 220)], p=[0.45, 0.4, 0.15]))
    wall = Shape((below,), within=(loops,))
    inner = Shape((below,), within=(Loops(first, second, loops.width - 2.6 / loops.scale, loops.scale),))
    return (
        Coat(wall, hu["wall"] + rng.normal(0, 8), 1.5, region="abdomen", gap=3),
        Coat(inner, fluid, 3, region="abdomen", gap=5.6),
    )


def _stomach(draw: Draw, hu: dict[str, float]) -> tuple[Coat, ...]:
    rng = draw.rng
    full = rng.uniform(0.65, 1.15)
    body = draw.tube(
        (-58, -18, 66, 33 * full), (-62, 22, 36, 28 * full), (-30, 38, -10, 20 * full), (20, 34, -14, 13 * full), sd=6
    )
    level = draw.gas_above(15, 75)
    contents = float(rng.choice([rng.uniform(0, 40), rng.uniform(30, 80), rng.uniform(120, 260)], p=[0.6, 0.25, 0.15]))
    wall = rng.uniform(3.5, 6.5)
    return (
        Coat(body, hu["wall"], 1.5, gap=3, region="abdomen"),
        Coat(Shape((body,), grow=-wall), contents, 2, gap=3 + wall, region="abdomen"),
        Coat(Shape((body,), grow=-wall, within=(level,)), -920.0, 1, gap=3 + wall, region="abdomen"),
    )


def _spleen(draw: Draw, hu: dict[str, float], shape: CirrhosisShape) -> tuple[Coat, ...]:
    whole = Ball(
        draw.point(-97, -44, 24, sd=6), draw.radii(29, 48, 47, sd=0.08) * shape.spleen, draw.axes(-20, 12, 25, sd=12)
    )
    hilum = Ball(draw.point(-58, -18, 26, sd=6), draw.radii(36, 42, 46), draw.axes(0, 0, 20))
    organ = Shape((whole,), cuts=(hilum,), surface=draw.bumps(2.0, (25, 80)), blend=8)
    return (
        Coat(Shape((whole,), cuts=(hilum,), blend=8, grow=2.0), -95.0, region="abdomen", gap=1),
        Coat(organ, hu["spleen"], 1, label=SPLEEN, region="abdomen", gap=3),
    )


def _liver(draw: Draw, hu: dict[str, float], shape: CirrhosisShape) -> tuple[Coat, ...]:
    rng = draw.rng
    # nodules reach into slices above and below: a flatter, broader liver keeps its slices and its area in them
    rough = shape.nodularity
    size = float(np.clip(rng.normal(1, 0.05), 0.88, 1.12)) * np.array([1 + 0.024 * rough] * 2 + [1 - 0.033 * rough])
    right = Ball(
        draw.point(80, -10, 18, sd=6), draw.radii(66, 80, 84, sd=0.06) * shape.right * size, draw.axes(0, 12, 0)
    )
    left = Ball(draw.point(18, 38, 50, sd=7), draw.radii(70, 36, 30, sd=0.1) * shape.left * size, draw.axes(0, -14, -8))
    caudate = Ball(draw.point(30, -8, 40), draw.radii(24, 20, 30, sd=0.08) * shape.caudate * size)
    visceral = Ball(draw.point(10, -28, -42, sd=6), draw.radii(62, 56, 62))
    smooth = Shape((right, left, caudate), cuts=(visceral,), surface=draw.bumps(2.0, (40, 110)), blend=16)
    low, high = shape.nodule * 0.8, shape.nodule * 1.25
    field = CosineSum.random(rng, rms=1.0, wavelengths=(2 * low, 2 * high), terms=24)  # |f| has half the wavelength
    first, second = (CosineSum.random(rng, rms=1, wavelengths=(50, 110), terms=10) for _ in range(2))
    bladder = Ball(draw.point(56, 36, -22, sd=7), draw.radii(13, 14, 30, sd=0.2), draw.axes(25, 0, 0))
    bright = 0.6 * hu["portal"] + 0.4 * hu["cava"]
    within = Shape((right, left), grow=-12, blend=16)
    return (
        Coat(smooth, hu["liver"], 1, label=LIVER, region="abdomen", gap=4, nodules=field, height=shape.nodularity),
        Coat(Shape((within,), within=(Loops(first, second, 0.16, 14),)), bright, label=None, inside=LIVER),
        Coat(bladder, rng.uniform(0, 22), 0.5, region="abdomen", gap=4),
    )


def _vessels(draw: Draw, hu: dict[str, float]) -> tuple[Coat, ...]:
    aorta = draw.tube((-9, -28, -110, 8), (-11, -25, 10, 10), (-22, -38, 150, 11.5), sd=2.2)
    cava = draw.tube((20, -28, -110, 10), (22, -20, 10, 11), (23, -10, 110, 13), sd=2.5)
    trunk = draw.tube((8, 2, -12, 6.5), (28, 2, 8, 7), (48, 0, 20, 7), sd=3)
    return (
        Coat(cava, hu["cava"], 0.5, label=None),
        Coat(aorta, hu["aorta"], 0.5),
        Coat(trunk, hu["portal"], 0.5, label=None),
    )


def _umbilical_vein(draw: Draw, hu: dict[str, float], shape: CirrhosisShape) -> tuple[Coat, ...]:
    """From the left portal vein to the wall in front of the liver, and down behind it."""
    if shape.vein <= 0:
        return ()
    way = ((16, 30, 32), (10, 58, 14), (6, 72, -15), (4, 74, -60))
    tube = draw.tube(*((*point, shape.vein) for point in way), sd=3)
    return (Coat(tube, hu["portal"], 0.5, label=None, region="abdomen", gap=2),)
