"""The trunk: skin, fat, muscle, spine, ribs, lungs and heart, and the regions that hold the organs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monai_cl.data.phantom.abdomen.structure import Structure
from monai_cl.data.phantom.chest import BelowDiaphragm, Ribs
from monai_cl.data.phantom.draw import Draw
from monai_cl.data.phantom.shapes import Ellipsoid, HalfSpace, Part, Shape, Tube


@dataclass(frozen=True)
class Trunk:
    """``structures`` in painting order, ``regions`` ("abdomen" below the diaphragm, "chest" above), outer ``skin``."""

    structures: tuple[Structure, ...]
    regions: Mapping[str, Part]
    skin: Part


def sample_trunk(draw: Draw, hu: dict[str, float]) -> Trunk:
    """Draw everything but the abdominal organs."""
    rng, s = draw.rng, draw.scale
    half_width, half_depth = 138 * rng.normal(1, 0.05) * s, 90 * rng.normal(1, 0.07) * s
    wall, fat = rng.uniform(11, 18), rng.gamma(4, 4.5) + 4
    belly = fat * rng.uniform(0.8, 1.6)
    back = tuple(
        draw.tube((side, -104, -300, 22), (side, -105, 0, 23), (side, -106, 300, 20), sd=3) for side in (-34, 34)
    )

    def oval(extra: float, front: float = 0.0) -> Ellipsoid:
        """The inner trunk grown by ``extra`` mm, and by ``front`` more in front."""
        radii = np.array([half_width + extra, half_depth + extra + front / 2, np.inf])
        return Ellipsoid(np.array([0.0, -12.0 * s + front / 2, 0.0]), radii, exponent=2.4)

    behind = Ellipsoid(np.array([0.0, -92, 0]) * s, np.array([52.0, 52, np.inf]) * s)
    cavity = Shape((oval(0),), cuts=(behind,), blend=15)
    diaphragm = _diaphragm(draw)
    middle = Ellipsoid(np.array([0.0, -25, 0]) * s, np.array([32.0, 78, np.inf]) * s)
    skin = Shape((oval(wall + fat, belly - fat), *(_thicker(tube, 6 + 0.6 * fat) for tube in back)), blend=45)
    inner_skin = Shape(skin.parts, blend=45, grow=-2.2)
    regions = {
        "abdomen": Shape((cavity,), within=(diaphragm,)),
        "chest": Shape((cavity,), cuts=(diaphragm,), blend=0),
    }
    lungs = Shape((cavity,), cuts=(diaphragm, middle), blend=8, grow=-2)
    heart = Ellipsoid(draw.point(-20, 28, 126), draw.radii(54, 44, 44), draw.axes(0, 20, 0))
    structures = (
        Structure("fat under the skin", skin, rng.normal(-105, 6), texture=draw.texture(6)),
        Structure("skin", Shape((skin,), cuts=(inner_skin,), blend=0), 20.0),
        Structure(
            "muscles of back and wall",
            Shape((oval(wall), *back), blend=25, surface=draw.bumps(1.5, (40, 120))),
            hu["muscle"],
            texture=draw.texture(7, (6, 30)),
        ),
        Structure(
            "abdominal fat",
            Shape((cavity,), surface=draw.bumps(1.5, (40, 120))),
            rng.normal(-100, 7),
            texture=draw.texture(9, (6, 60)),
        ),
        Structure("lungs", lungs, rng.uniform(-880, -780), texture=draw.texture(25)),
        Structure("heart", Shape((heart,), surface=draw.bumps(2)), 0.5 * (hu["aorta"] + hu["portal"]), region="chest"),
        *_bones(draw, oval(0), hu),
    )
    return Trunk(structures, regions, skin)


def _thicker(tube: Tube, extra: float) -> Tube:
    return Tube(tube.points, tube.radii + extra, tube.blend)


def _diaphragm(draw: Draw) -> BelowDiaphragm:
    tops = np.array([draw.point(70, 8, 98), draw.point(-72, -2, 90), draw.point(0, 38, 80)])
    tops[:, 2] += draw.rng.normal(0, 9)  # breath
    return BelowDiaphragm(tops, np.array([70.0, 70, 85]) * draw.rng.uniform(0.85, 1.2, 3) * draw.scale)


def _bones(draw: Draw, cage: Part, hu: dict[str, float]) -> tuple[Structure, ...]:
    rng, s = draw.rng, draw.scale
    bone, marrow = rng.uniform(330, 560), rng.uniform(110, 220)
    psoas = [draw.tube((x, -60, 5, 9), (x * 1.2, -62, -60, 18), (x * 1.6, -55, -200, 24), sd=3) for x in (-33, 33)]
    pitch = 33 * s * rng.normal(1, 0.04)
    levels = np.arange(-7, 8) * pitch + rng.uniform(0, 33)
    radii = draw.radii(23, 17.5, 0, sd=0.05) + np.array([0, 0, pitch / 2 - 3.0])
    tilt = draw.axes(-15, 0, 0, sd=3)
    spines = [Ellipsoid(np.array([0, -104 * s, z - 12]), draw.radii(4, 17, 9), tilt) for z in levels]
    arches = [Ellipsoid(np.array([0, -88 * s, z - 4]), draw.radii(31, 5.5, 8)) for z in levels]
    vertebrae = tuple(Ellipsoid(np.array([0, -58 * s, z]), radii, exponent=4) for z in levels)
    column = Ellipsoid(np.array([0, -58 * s, 0]), radii * [0.95, 0.95, np.inf])
    canal = Ellipsoid(np.array([0, -81 * s, 0]), np.array([10, 8, np.inf]) * s)
    # the front ends of the ribs are cartilage, as grey as muscle
    bony = HalfSpace(np.array([0.0, 1.0, -0.3]), 30.0 * s)
    ribs = Shape((Ribs(cage, 30 * s, 0.45, rng.uniform(0, 30), 4.6, -25),), within=(bony,))
    return (
        Structure("ribs", ribs, 0.75 * bone),
        Structure("psoas", Shape(tuple(psoas), surface=draw.bumps(1)), hu["muscle"] + 3, texture=draw.texture(5)),
        Structure("discs", Shape((column,)), 85.0),
        Structure("cord", Shape((canal,)), 28.0),
        Structure("vertebral arches", Shape((*arches, *spines), blend=3), 0.8 * bone),
        Structure("vertebrae", Shape(vertebrae, blend=0), bone),
        Structure("marrow", Shape(vertebrae, blend=0, grow=-2.4), marrow, texture=draw.texture(18)),
    )
