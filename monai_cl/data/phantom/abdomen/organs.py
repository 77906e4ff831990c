"""The annotated organs, one function each: shape and pose around typical values, coats of paint from out to in."""

from __future__ import annotations

import numpy as np

from monai_cl.data.phantom.abdomen.structure import ORGANS, Structure
from monai_cl.data.phantom.draw import Draw
from monai_cl.data.phantom.shapes import Ellipsoid, Shape, Tube


def liver(draw: Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    """Two lobes and the caudate, hollowed from below, with portal and hepatic veins and the gallbladder."""
    rng = draw.rng
    right = Ellipsoid(draw.point(80, -10, 18, sd=6), draw.radii(66, 80, 86), draw.axes(0, 12, 0))
    left = Ellipsoid(draw.point(18, 38, 50, sd=7), draw.radii(70, 36, 30, sd=0.16), draw.axes(0, -14, -8))
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
    return (
        Structure("portal vein", Shape((trunk,)), hu["portal"], region="abdomen", gap=2.0),
        Structure("liver", shape, hu["liver"], label=4, texture=draw.texture(5), region="abdomen", gap=3.0),
        Structure("portal branches", Shape(tuple(portal)), hu["portal"], label=None, overlay=4),
        Structure("hepatic veins", Shape(tuple(hepatic)), 0.5 * (hu["portal"] + hu["cava"]), label=None, overlay=4),
        Structure("gallbladder wall", Shape((bladder,)), hu["wall"], region="abdomen", gap=3.0),
        Structure("bile", Shape((bladder,), grow=-2), rng.uniform(0, 22), region="abdomen", gap=4.5),
    )


def stomach(draw: Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    """A bent tube, from empty to full, with a wall, contents and gas above them."""
    rng = draw.rng
    full = rng.uniform(0.68, 1.15)  # from empty and collapsed to full
    rows = [
        (-58, -18, 66, 33),
        (-64, 14, 42, 29),
        (-50, 34, 8, 24),
        (-22, 38, -14, 20),
        (10, 34, -14, 15),
        (30, 24, -6, 10),
    ]
    body = draw.tube(*[(x, y, z, r * full) for x, y, z, r in rows], sd=6)
    bumps = draw.bumps(2.2, (25, 70))
    shape, wall = Shape((body,), surface=bumps, blend=8), rng.uniform(3.5, 6.5)
    lumen = Shape((body,), surface=bumps, blend=8, grow=-wall)
    contents = rng.choice([rng.uniform(0, 40), rng.uniform(30, 80), rng.uniform(120, 280)], p=[0.6, 0.25, 0.15])
    gas = Shape((body,), surface=bumps, blend=8, grow=-wall, within=(draw.gas_above(15, 75),))
    return (
        Structure("stomach", shape, hu["wall"], label=5, texture=draw.texture(6), region="abdomen", gap=3.0),
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


def spleen(draw: Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    """A bean on the left, hollowed at its hilum, with a rim of its own."""
    size = float(np.clip(draw.rng.normal(1, 0.12), 0.75, 1.35))
    whole = Ellipsoid(draw.point(-97, -44, 24, sd=6), draw.radii(32, 53, 52) * size, draw.axes(-20, 12, 25, sd=12))
    hilum = Ellipsoid(draw.point(-58, -18, 26, sd=6), draw.radii(36, 42, 46), draw.axes(0, 0, 20))
    shape = Shape((whole,), cuts=(hilum,), surface=draw.bumps(2.2, (25, 80)), blend=8)
    return _with_rim("spleen", shape, 1, hu["spleen"], draw, rim=1.5)


def kidneys(draw: Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    """Right and left: cortex, medulla and pelvis, turned with the hilum to the midline."""
    coats: list[Structure] = []
    drop = draw.rng.normal(0, 9)
    for label, side, centre in ((2, 1, (58, -56, -36 + drop)), (3, -1, (-60, -56, -24 + drop))):
        middle, radii = draw.point(*centre, sd=5), draw.radii(30, 28, 57, sd=0.08)
        axes = draw.axes(-12, -14 * side, 35 * side, sd=7)
        whole = Ellipsoid(middle, radii, axes)
        inward = -side * axes[0]  # the hilum looks to the midline and, by the turn about z, forward
        sinus = Ellipsoid(middle + inward * radii[0] * 0.72, radii * [0.55, 0.4, 0.4], axes)
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


def pancreas(draw: Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    """A lobulated gland from the head to the tail, with the splenic vein behind it."""
    rows = [
        (30, -6, -28, 13),
        (26, 0, -12, 14),
        (8, 10, -3, 9.5),
        (-20, 8, 6, 10.5),
        (-48, -8, 14, 11),
        (-74, -26, 22, 9.5),
    ]
    gland = draw.tube(*rows, sd=4.5, sd_radius=0.13)
    atrophy = draw.bumps(1.6, (9, 26))
    shape = Shape((gland,), surface=atrophy, blend=6)
    splenic = Tube(gland.points[2:] + np.array([0, -10.0, 3]), np.full(4, 3.6))
    return (
        Structure("splenic vein", Shape((splenic,)), hu["portal"], region="abdomen", gap=2.0),
        *_with_rim("pancreas", shape, 7, hu["pancreas"], draw, rim=0.8, texture=9.0),
    )


def aorta(draw: Draw, hu: dict[str, float]) -> tuple[Structure, ...]:
    """Aorta, its iliac and mesenteric branches, in some patients a calcified plaque."""
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
    name: str, shape: Shape, label: int, hu: float, draw: Draw, *, rim: float, texture: float = 4.0
) -> tuple[Structure, ...]:
    """The organ over a thin coat of fat that parts it from its neighbours."""
    around = Shape(shape.parts, shape.cuts, shape.within, shape.surface, shape.blend, grow=rim)
    return (
        Structure(f"fat around the {name}", around, -95.0, label=0, region="abdomen", gap=1.0),
        Structure(name, shape, hu, label=label, texture=draw.texture(texture), region="abdomen", gap=3.0),
    )
