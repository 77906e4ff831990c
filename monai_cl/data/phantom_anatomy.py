"""A random upper abdomen: organs as implicit shapes with their HU, in the order in which they are painted.

World RAS mm: the origin lies on the midline at the pancreas; +x is the patient's right, +y the front, +z the head.
Typical positions, sizes and HU follow labelled abdominal CT (BTCV); every patient moves, bends and reshapes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_cl.data.phantom_chest import BelowDiaphragm, Ribs
from monai_cl.data.phantom_shapes import CosineSum, Ellipsoid, HalfSpace, Loops, Part, Shape, Tube

ORGANS: dict[int, str] = {
    1: "spleen",
    2: "right kidney",
    3: "left kidney",
    4: "liver",
    5: "stomach",
    6: "aorta",
    7: "pancreas",
}
LESIONS: dict[int, str] = {8: "liver tumour", 9: "kidney tumour"}

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


@dataclass(frozen=True)
class Structure:
    """One coat of paint: where, which HU (+ texture), which label; later coats cover earlier ones.

    Attributes:
        shape: where.
        hu: mean HU.
        label: id written where the shape covers a voxel's centre; None leaves the label underneath (a coat within an
            organ, such as the stomach's gas), 0 clears it.
        texture: HU field added inside.
        region: name of an ``Anatomy.regions`` entry the shape is confined to, at least ``gap`` mm from its edge.
        overlay: paint only where this label is underneath (a lesion stays within its organ).
    """

    name: str
    shape: Shape
    hu: float
    label: int | None = 0
    texture: CosineSum | None = None
    region: str | None = None
    gap: float = 0.0
    overlay: int | None = None


@dataclass(frozen=True)
class Anatomy:
    """A patient: ``structures`` in painting order, ``regions`` that confine them, the ``warp`` (3 fields, mm)."""

    structures: tuple[Structure, ...]
    regions: dict[str, Part]
    warp: tuple[CosineSum, CosineSum, CosineSum]
    phase: str
    scale: float
    low: np.ndarray
    high: np.ndarray


def sample_anatomy(rng: np.random.Generator, *, tumours: str | None = None) -> Anatomy:
    """Draw a patient.

    Args:
        rng: source of every choice; the same state gives the same patient.
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
    draw = _Draw(rng, float(np.clip(rng.normal(1, 0.06), 0.87, 1.14)))
    trunk, regions, skin = _trunk(draw, hu)
    structures = (
        *trunk,
        *_bowel(draw, hu),
        *_vessels_behind(draw, hu),
        *_liver(draw, hu),
        *_stomach(draw, hu),
        *_spleen(draw, hu),
        *_kidneys(draw, hu),
        *_pancreas(draw, hu),
        *_aorta(draw, hu),
    )
    if tumours is not None:
        structures += _lesions(draw, hu, structures, tumours)
    warp = tuple(CosineSum.random(rng, rms=r, wavelengths=(170, 380), terms=8) for r in (4.0, 4.0, 5.0))
    low, high = skin.bounds()
    return Anatomy(
        structures, regions, warp, phase, draw.scale, np.array([*low[:2], -150.0]), np.array([*high[:2], 150.0])
    )


class _Draw:
    """Random geometry in units of one patient's body size."""

    def __init__(self, rng: np.random.Generator, scale: float) -> None:
        self.rng, self.scale = rng, scale

    def point(self, *xyz: float, sd: float = 5.0) -> np.ndarray:
        return (np.array(xyz) + self.rng.normal(0, sd, 3)) * self.scale

    def radii(self, *abc: float, sd: float = 0.1) -> np.ndarray:
        return np.array(abc) * np.clip(self.rng.normal(1, sd, 3), 1 - 2.2 * sd, 1 + 2.2 * sd) * self.scale

    def axes(self, *degrees: float, sd: float = 8.0) -> np.ndarray:
        """Rows = own axes after turning about x, y and z by the angles, each ± sd."""
        turn = np.eye(3)
        for axis, angle in enumerate(np.deg2rad(np.array(degrees) + self.rng.normal(0, sd, 3))):
            c, s = np.cos(angle), np.sin(angle)
            i, j = (axis + 1) % 3, (axis + 2) % 3
            step = np.eye(3)
            step[i, i], step[i, j], step[j, i], step[j, j] = c, -s, s, c
            turn = step @ turn
        return turn.T

    def bumps(self, rms: float, wavelengths: tuple[float, float] = (25, 80)) -> CosineSum:
        return CosineSum.random(self.rng, rms=rms, wavelengths=wavelengths, terms=14)

    def texture(self, rms: float = 4.0, wavelengths: tuple[float, float] = (7, 40)) -> CosineSum:
        return CosineSum.random(self.rng, rms=rms, wavelengths=wavelengths, terms=16)

    def tube(self, *rows: tuple[float, float, float, float], sd: float = 4.0, sd_radius: float = 0.12) -> Tube:
        """(x, y, z, radius) rows; the points wander by sd, the whole calibre by sd_radius."""
        rows = np.array(rows, dtype=float)
        calibre = np.clip(self.rng.normal(1, sd_radius), 0.7, 1.35)
        points = rows[:, :3] + self.rng.normal(0, sd / 2, 3) + self.rng.normal(0, sd, (len(rows), 3))
        return Tube(points * self.scale, rows[:, 3] * calibre * self.scale)


def _trunk(draw: _Draw, hu: dict[str, float]) -> tuple[tuple[Structure, ...], dict[str, Part], Part]:
    rng, s = draw.rng, draw.scale
    half_width, half_depth = 138 * rng.normal(1, 0.05) * s, 90 * rng.normal(1, 0.07) * s
    centre = np.array([0.0, -12.0, 0.0]) * s
    wall, fat = rng.uniform(11, 18), rng.gamma(4, 4.5) + 4
    front_fat = fat * rng.uniform(0.8, 1.6)

    def trunk(extra: float, front: float = 0.0, exponent: float = 2.4) -> Ellipsoid:
        radii = np.array([half_width + extra, half_depth + extra + front / 2, np.inf])
        return Ellipsoid(centre + np.array([0, front / 2, 0]), radii, exponent=exponent)

    cavity = Shape(
        (trunk(0),), cuts=(Ellipsoid(np.array([0, -92, 0.0]) * s, np.array([52.0, 52, np.inf]) * s),), blend=15
    )
    skin = trunk(wall + fat, front_fat - fat)
    lift = rng.normal(0, 9)
    tops = np.array([draw.point(72, -2, 92), draw.point(-72, -12, 82), draw.point(0, 15, 76)])
    tops[:, 2] += lift
    diaphragm = BelowDiaphragm(tops, np.array([62.0, 62, 85]) * rng.uniform(0.85, 1.25, 3) * s)
    abdomen = Shape((cavity,), within=(diaphragm,))
    lungs = Shape(
        (trunk(-4),), cuts=(diaphragm, Ellipsoid(np.array([0, -5, 0]) * s, np.array([30.0, 80, np.inf]) * s)), blend=6
    )
    back = [draw.tube((x, -108, -300, 25), (x, -110, 0, 27), (x, -112, 300, 22), sd=3) for x in (-36, 36)]
    psoas = [draw.tube((x, -60, 5, 9), (x * 1.2, -62, -60, 18), (x * 1.6, -55, -200, 24), sd=3) for x in (-33, 33)]
    pitch, start = 33 * s * rng.normal(1, 0.04), rng.uniform(0, 33)
    levels = np.arange(-9, 10) * pitch + start
    body_radii = draw.radii(23, 17.5, 0, sd=0.05) + np.array([0, 0, pitch / 2 - 3.0])
    vertebrae = [Ellipsoid(np.array([0, -58 * s, z]), body_radii, exponent=4) for z in levels]
    spines = [
        Ellipsoid(np.array([0, -104 * s, z - 12]), draw.radii(4, 17, 9), draw.axes(-15, 0, 0, sd=3)) for z in levels
    ]
    arches = [Ellipsoid(np.array([0, -88 * s, z - 4]), draw.radii(31, 5.5, 8)) for z in levels]
    bone, marrow = rng.uniform(330, 560), rng.uniform(110, 220)
    heart = Ellipsoid(draw.point(-18, 25, 128), draw.radii(52, 42, 44))
    structures = (
        Structure("fat under the skin", Shape((skin,)), rng.normal(-105, 6), texture=draw.texture(6)),
        Structure("skin", Shape((skin,), cuts=(trunk(wall + fat - 2.2, front_fat - fat),), blend=0), 20.0),
        Structure(
            "abdominal wall",
            Shape((trunk(wall),), surface=draw.bumps(1.5, (40, 120))),
            hu["muscle"],
            texture=draw.texture(6),
        ),
        Structure(
            "abdominal fat",
            Shape((cavity,), surface=draw.bumps(1.5, (40, 120))),
            rng.normal(-100, 7),
            texture=draw.texture(8, (6, 60)),
        ),
        Structure("lungs", lungs, rng.uniform(-880, -780), texture=draw.texture(25)),
        Structure("heart", Shape((heart,), surface=draw.bumps(2)), 0.5 * (hu["aorta"] + hu["portal"]), region="chest"),
        Structure("ribs", Shape((Ribs(trunk(0), 30 * s, 0.45, rng.uniform(0, 30), 4.6, -25),)), bone * 0.75),
        Structure("back muscles", Shape(tuple(back), surface=draw.bumps(2)), hu["muscle"], texture=draw.texture(7)),
        Structure("psoas", Shape(tuple(psoas), surface=draw.bumps(1)), hu["muscle"] + 3, texture=draw.texture(5)),
        Structure("discs", Shape((Ellipsoid(np.array([0, -58 * s, 0]), body_radii * [0.95, 0.95, np.inf]),)), 85.0),
        Structure("cord", Shape((Ellipsoid(np.array([0, -81 * s, 0]), np.array([10, 8, np.inf]) * s),)), 28.0),
        Structure("vertebral arches", Shape((*arches, *spines), blend=3), bone * 0.8),
        Structure("vertebrae", Shape(tuple(vertebrae), blend=0), bone),
        Structure("marrow", Shape(tuple(vertebrae), blend=0, grow=-2.4), marrow, texture=draw.texture(18)),
    )
    chest = Shape((trunk(-4),), cuts=(diaphragm,), blend=0)
    return structures, {"abdomen": abdomen, "chest": chest, "cavity": cavity}, skin


def _bowel(draw: _Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    """Loops in front and below; walls as bright as the pancreas, contents from gas to contrast medium."""
    rng = draw.rng
    wave = rng.uniform(95, 135) * draw.scale
    fields = [CosineSum.random(rng, rms=1, wavelengths=(0.75 * wave, 1.3 * wave), terms=20) for _ in range(2)]
    width, scale = rng.uniform(0.55, 0.75), wave / 6.5
    below = HalfSpace(np.array([0.0, -0.35, 1.0]), rng.uniform(0, 25))
    front = HalfSpace(np.array([0.0, -1.0, 0.0]), rng.uniform(10, 25))
    loops = Loops(*fields, width, scale)
    inner = Loops(*fields, width - 2.6 / scale, scale)
    gas = CosineSum.random(rng, rms=25, wavelengths=(80, 160))
    contents = rng.choice([rng.uniform(5, 45), rng.uniform(35, 75), rng.uniform(90, 260)], p=[0.45, 0.4, 0.15])
    common = dict(region="abdomen", gap=3.0)
    return (
        Structure(
            "bowel wall",
            Shape((loops,), within=(below, front)),
            hu["wall"] + rng.normal(0, 8),
            texture=draw.texture(5),
            **common,
        ),
        Structure(
            "bowel contents",
            Shape((inner,), within=(below, front)),
            contents,
            texture=draw.texture(14, (10, 50)),
            region="abdomen",
            gap=5.6,
        ),
        Structure(
            "bowel gas",
            Shape(
                (inner,),
                within=(below, HalfSpace(np.array([0, -1.0, 0]), -35.0)),
                surface=gas,
                grow=-rng.uniform(15, 40),
            ),
            -900.0,
            region="abdomen",
            gap=5.6,
        ),
    )


def _vessels_behind(draw: _Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    cava = draw.tube(
        (22, -30, -260, 10), (20, -26, -60, 10), (22, -20, 0, 11), (25, -18, 50, 12), (22, -8, 105, 13), sd=2.5
    )
    crura = [draw.tube((x, -34, -40, 5), (x, -30, 10, 6), (x * 1.5, -28, 60, 5), sd=2) for x in (-22, 20)]
    duodenum = draw.tube(
        (30, 22, 0, 12), (50, 2, -8, 13), (48, -14, -45, 13), (10, -14, -62, 12), (-25, -5, -45, 12), sd=5
    )
    loops = dict(label=0, region="abdomen", gap=2.0)
    return (
        Structure("crura", Shape(tuple(crura)), hu["muscle"], **loops),
        Structure(
            "duodenum",
            Shape((duodenum,), surface=draw.bumps(1.5, (15, 50))),
            hu["wall"] + 5,
            texture=draw.texture(6),
            **loops,
        ),
        Structure("duodenal contents", Shape((duodenum,), grow=-4), draw.rng.uniform(5, 45), **loops),
        Structure("vena cava", Shape((cava,)), hu["cava"], texture=draw.texture(4)),
    )


def _liver(draw: _Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    rng = draw.rng
    right = Ellipsoid(draw.point(80, -10, 18, sd=6), draw.radii(62, 74, 82), draw.axes(0, 12, 0))
    left = Ellipsoid(draw.point(14, 30, 46, sd=8), draw.radii(78, 38, 32, sd=0.16), draw.axes(0, -14, -8))
    caudate = Ellipsoid(draw.point(30, -8, 40), draw.radii(24, 20, 30, sd=0.15))
    visceral = Ellipsoid(draw.point(10, -28, -42, sd=6), draw.radii(62, 56, 62))
    bladder = Ellipsoid(draw.point(56, 36, -22, sd=7), draw.radii(13, 14, 30, sd=0.2), draw.axes(25, 0, 0))
    shape = Shape((right, left, caudate), cuts=(visceral,), surface=draw.bumps(2.6, (35, 110)), blend=16)
    trunk = draw.tube((8, 2, -12, 6.5), (28, 2, 8, 7), (46, 0, 20, 7), sd=3)
    portal = [
        draw.tube((46, 0, 20, 6), (75, -10, 22, 5), (105, -25, 10, 3), sd=5),
        draw.tube((75, -10, 22, 4), (95, 10, 35, 3.4), (115, 20, 38, 2), sd=5),
        draw.tube((46, 0, 20, 5), (25, 25, 40, 4), (-10, 35, 48, 2.5), sd=5),
    ]
    hepatic = [
        draw.tube((24, -8, 80, 5.5), (55, -5, 65, 4.5), (100, -15, 45, 2.5), sd=5),
        draw.tube((24, -8, 80, 5), (40, 20, 65, 4), (70, 40, 35, 2.5), sd=5),
        draw.tube((24, -8, 80, 4.5), (0, 20, 65, 3.5), (-25, 35, 52, 2), sd=5),
    ]
    inside = dict(label=None, overlay=4)
    return (
        Structure("portal vein", Shape((trunk,)), hu["portal"], region="abdomen", gap=2.0),
        Structure("liver", shape, hu["liver"], label=4, texture=draw.texture(5), region="abdomen", gap=3.0),
        Structure("portal branches", Shape(tuple(portal)), hu["portal"], **inside),
        Structure("hepatic veins", Shape(tuple(hepatic)), 0.5 * (hu["portal"] + hu["cava"]), **inside),
        Structure("gallbladder wall", Shape((bladder,)), hu["wall"], region="abdomen", gap=3.0),
        Structure("bile", Shape((bladder,), grow=-2), rng.uniform(0, 22), region="abdomen", gap=4.5),
    )


def _stomach(draw: _Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    rng = draw.rng
    full = rng.uniform(0.68, 1.15)  # from empty and collapsed to full
    rows = [
        (-58, -18, 66, 33),
        (-64, 14, 42, 29),
        (-48, 38, 12, 24),
        (-18, 44, -6, 20),
        (12, 36, -6, 15),
        (30, 24, -2, 10),
    ]
    body = draw.tube(*[(x, y, z, r * full) for x, y, z, r in rows], sd=6)
    bumps = draw.bumps(2.2, (25, 70))
    shape, wall = Shape((body,), surface=bumps, blend=8), rng.uniform(3.5, 6.5)
    lumen = Shape((body,), surface=bumps, blend=8, grow=-wall)
    contents = rng.choice([rng.uniform(0, 40), rng.uniform(30, 80), rng.uniform(120, 280)], p=[0.6, 0.25, 0.15])
    level = HalfSpace(np.array([0.0, -1.0, 0.0]), -rng.uniform(15, 75))
    gas = Shape((body,), surface=bumps, blend=8, grow=-wall, within=(level,))
    region = dict(region="abdomen", gap=3.0)
    return (
        Structure("stomach", shape, hu["wall"], label=5, texture=draw.texture(6), **region),
        Structure(
            "stomach contents",
            lumen,
            contents,
            label=None,
            overlay=5,
            texture=draw.texture(9, (8, 50)),
            region="abdomen",
            gap=3 + wall,
        ),
        Structure("stomach gas", gas, -920.0, label=None, overlay=5, region="abdomen", gap=3 + wall),
    )


def _spleen(draw: _Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    size = float(np.clip(draw.rng.normal(1, 0.12), 0.75, 1.35))
    whole = Ellipsoid(draw.point(-98, -48, 28, sd=7), draw.radii(30, 52, 50) * size, draw.axes(-20, 12, 25, sd=12))
    hilum = Ellipsoid(draw.point(-58, -18, 26, sd=6), draw.radii(36, 42, 46), draw.axes(0, 0, 20))
    shape = Shape((whole,), cuts=(hilum,), surface=draw.bumps(2.2, (25, 80)), blend=8)
    return _with_rim("spleen", shape, 1, hu["spleen"], draw, rim=1.5)


def _kidneys(draw: _Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    coats: list[Structure] = []
    drop = draw.rng.normal(0, 9)
    for label, side, centre in ((2, 1, (58, -56, -36 + drop)), (3, -1, (-60, -56, -24 + drop))):
        middle, radii = draw.point(*centre, sd=5), draw.radii(28, 26, 56, sd=0.09)
        axes = draw.axes(-12, -14 * side, 35 * side, sd=7)
        whole = Ellipsoid(middle, radii, axes)
        inward = -side * axes[0]  # the hilum looks to the midline and, by the turn about z, forward
        sinus = Ellipsoid(middle + inward * radii[0] * 0.72, radii * [0.6, 0.42, 0.42], axes)
        shape = Shape((whole,), cuts=(sinus,), surface=draw.bumps(1.3, (20, 60)), blend=5)
        name = ORGANS[label]
        coats += _with_rim(name, shape, label, hu["cortex"], draw, rim=4.0)
        medulla = Shape((Ellipsoid(middle, radii - 7.0, axes),), surface=draw.bumps(1.8, (12, 30)))
        coats.append(
            Structure(f"{name} medulla", medulla, hu["medulla"], label=None, overlay=label, texture=draw.texture(5))
        )
        pelvis = Ellipsoid(middle + inward * radii[0] * 0.75, radii * [0.3, 0.25, 0.2], axes)
        coats.append(Structure(f"{name} pelvis", Shape((pelvis,)), draw.rng.uniform(0, 30), label=0))
    return tuple(coats)


def _pancreas(draw: _Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    gland = draw.tube(
        (30, -6, -28, 13), (26, 0, -12, 14), (8, 10, -3, 9.5), (-20, 8, 6, 10.5), (-48, -8, 14, 11), (-74, -26, 22, 9.5),
        sd=4.5, sd_radius=0.13,
    )  # fmt: skip
    atrophy = draw.bumps(1.6, (9, 26))
    shape = Shape((gland,), surface=atrophy, blend=6)
    splenic = Tube(gland.points[2:] + np.array([0, -10.0, 3]), np.full(4, 3.6))
    return (
        Structure("splenic vein", Shape((splenic,)), hu["portal"], region="abdomen", gap=2.0),
        *_with_rim("pancreas", shape, 7, hu["pancreas"], draw, rim=0.8, texture=9.0),
    )


def _aorta(draw: _Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    rng = draw.rng
    lower = draw.tube(
        (-8, -28, -105, 8),
        (-9, -26, -50, 9),
        (-11, -25, 10, 10),
        (-14, -28, 60, 11),
        (-22, -38, 130, 11.5),
        (-26, -45, 260, 12),
        sd=2.2,
    )
    split = lower.points[0]
    iliac = [
        Tube(
            np.array([split, split + np.array([dx, -4.0, -60]), split + np.array([2.2 * dx, -8.0, -150])]),
            np.full(3, 5.5),
        )
        for dx in (-22, 22)
    ]
    shape = Shape((lower,), surface=draw.bumps(0.4, (20, 60)))
    mesenteric = draw.tube((-9, -18, 2, 3.6), (-6, -2, -8, 3.4), (-2, 2, -60, 3), sd=2)
    coats = [
        Structure("iliac arteries", Shape(tuple(iliac)), hu["aorta"]),
        Structure("mesenteric artery", Shape((mesenteric,)), hu["aorta"]),
        Structure("aorta", shape, hu["aorta"], label=6, texture=draw.texture(3)),
    ]
    if rng.random() < 0.35:  # calcified plaque
        angle, z = rng.uniform(0, 2 * np.pi), rng.uniform(-80, 20)
        at = np.array([np.interp(z, lower.points[:, 2], lower.points[:, a]) for a in range(2)])
        plaque = Ellipsoid(
            np.array([*(at + 8.5 * np.array([np.cos(angle), np.sin(angle)])), z]), np.array([3.0, 3.0, 9.0])
        )
        coats.append(Structure("plaque", Shape((plaque,)), rng.uniform(400, 800), label=None, overlay=6))
    return tuple(coats)


def _with_rim(
    name: str, shape: Shape, label: int, hu: float, draw: _Draw, *, rim: float, texture: float = 4.0
) -> tuple[Structure, ...]:
    """The organ over a thin coat of fat that parts it from its neighbours."""
    around = Shape(shape.parts, shape.cuts, shape.within, shape.surface, shape.blend, grow=rim)
    return (
        Structure(f"fat around the {name}", around, -95.0, label=0, region="abdomen", gap=1.0),
        Structure(name, shape, hu, label=label, texture=draw.texture(texture), region="abdomen", gap=3.0),
    )


def _lesions(draw: _Draw, hu: dict[str, float], structures: tuple[Structure, ...], where: str) -> tuple[Structure, ...]:
    rng = draw.rng
    label, hosts = (8, (4,)) if where == "liver" else (9, (2, 3))
    found = []
    for number in range(int(rng.integers(1, 5 if where == "liver" else 3))):
        host = int(rng.choice(hosts))
        organ = next(s for s in structures if s.label == host)
        part = organ.shape.parts[0]
        offset = rng.normal(size=3)
        offset *= rng.uniform(0.35, 0.85) / np.linalg.norm(offset)
        centre = part.centre + part.axes.T @ (offset * part.radii)
        size = float(np.exp(rng.normal(np.log(13 if where == "liver" else 15), 0.45)))
        shape = Shape(
            (Ellipsoid(centre, size * rng.uniform(0.75, 1.25, 3), draw.axes(0, 0, 0, sd=90)),),
            surface=draw.bumps(0.1 * size, (12, 40)),
        )
        level = hu["liver"] - rng.uniform(20, 60) if where == "liver" else rng.uniform(20, 0.8 * hu["medulla"] + 20)
        found.append(
            Structure(
                f"{where} tumour {number + 1}",
                shape,
                max(level, 5.0),
                label=label,
                texture=draw.texture(8, (6, 25)),
                overlay=host,
            )
        )
    return tuple(found)
