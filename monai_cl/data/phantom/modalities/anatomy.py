"""A section through a synthetic body: maps of its tissues, and the organs that marks may lie in. Lengths in pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIZE = 96
TISSUES = ("air", "fat", "muscle", "parenchyma A", "parenchyma B", "fluid", "bone", "vessel")
AIR, FAT, MUSCLE, PARENCHYMA_A, PARENCHYMA_B, FLUID, BONE, VESSEL = range(len(TISSUES))
# parenchyma first, so that there is room for marks; the others as they come
_FURTHER = (PARENCHYMA_A, PARENCHYMA_B, FLUID, FAT, AIR)


@dataclass(frozen=True)
class Section:
    """Where the tissues are.

    Attributes:
        shares: (tissues, SIZE, SIZE) float32, the share of each tissue in a pixel, 1 together.
        organs: (SIZE, SIZE) bool, parenchyma that marks may lie in.
    """

    shares: np.ndarray
    organs: np.ndarray


def draw_section(rng: np.random.Generator) -> Section:
    """Body, 3 to 6 organs, spine and ribs, 4 to 8 vessels.

    Args:
        rng: draws all of it.
    """
    y, x = grid()
    shares = np.zeros((len(TISSUES), SIZE, SIZE), np.float32)
    shares[AIR] = 1
    centre = rng.normal(0, 1.5, 2)
    turn, half = rng.normal(0, 0.08), (rng.uniform(39, 45), rng.uniform(31, 38))
    u, v = rotated(x - centre[0], y - centre[1], turn)
    body = _superellipse(u, v, half)
    rim = rng.uniform(2, 6)
    _paint(shares, FAT, body)
    _paint(shares, MUSCLE, body + rim)

    organs = np.zeros((SIZE, SIZE), bool)
    count = int(rng.integers(3, 7))
    kinds = [PARENCHYMA_A, PARENCHYMA_B, *rng.choice(_FURTHER, count - 2)]
    rng.shuffle(kinds)
    start = rng.uniform(0, 2 * np.pi)
    for number, tissue in enumerate(kinds):
        parenchyma = tissue in (PARENCHYMA_A, PARENCHYMA_B)
        radius = rng.uniform(13, 18) if parenchyma else rng.uniform(5, 10)
        angle = start + 2 * np.pi * (number + rng.uniform(-0.2, 0.2)) / count
        away = rng.uniform(0.35, 0.55)
        at = away * half[0] * np.cos(angle), away * half[1] * np.sin(angle)
        distance = blob(u - at[0], v - at[1], radius, rng, stretch=rng.uniform(0.8, 1.25), wobble=0.08)
        distance = np.maximum(distance, body + rim + 1)
        _paint(shares, int(tissue), distance)
        organs = (organs & (distance > 0)) | (parenchyma & (distance < -1))

    bones = [(0.0, 0.72 * half[1], rng.uniform(4, 6))]
    for angle in rng.uniform(0, 2 * np.pi, rng.integers(3, 7)):
        bones.append((0.87 * half[0] * np.cos(angle), 0.87 * half[1] * np.sin(angle), rng.uniform(1.5, 2.5)))
    vessels = [(*rng.uniform(-0.6, 0.6, 2) * half, rng.uniform(0.9, 1.6)) for _ in range(rng.integers(4, 9))]
    for tissue, discs in ((BONE, bones), (VESSEL, vessels)):
        for at_u, at_v, radius in discs:
            length = rng.uniform(0, 7) if tissue == VESSEL else 0.0
            distance = tube(u - at_u, v - at_v, length, radius, rng.uniform(0, np.pi))
            _paint(shares, tissue, np.maximum(distance, body + rim))
            organs &= distance > 0
    return Section(shares, organs)


def grid() -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels from the middle of the image, each (SIZE, SIZE)."""
    at = np.arange(SIZE) - (SIZE - 1) / 2
    return np.meshgrid(at, at, indexing="ij")


def rotated(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in axes that are turned by an angle in rad."""
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def cover(distance: np.ndarray) -> np.ndarray:
    """The share of each pixel that a shape covers, from the distance to its edge, negative inside."""
    return np.clip(0.5 - distance, 0, 1).astype(np.float32)


def blob(
    u: np.ndarray, v: np.ndarray, radius: float, rng: np.random.Generator, *, stretch: float = 1.0, wobble: float = 0.0
) -> np.ndarray:
    """Distance to the edge of a disc, stretched along u at constant area, its radius wavy by a share of itself."""
    u, v = u / np.sqrt(stretch), v * np.sqrt(stretch)
    angle, edge = np.arctan2(v, u), np.ones_like(u)
    for order, phase in zip((2, 3, 4), rng.uniform(0, 2 * np.pi, 3)):
        edge = edge + wobble * np.sqrt(2 / 3) * np.cos(order * angle + phase)
    return np.hypot(u, v) - radius * edge / np.sqrt(1 + wobble**2)


def tube(u: np.ndarray, v: np.ndarray, length: float, radius: float, angle: float) -> np.ndarray:
    """Distance to the edge of a line of a width 2 · radius with round ends, centred at 0."""
    u, v = rotated(u, v, angle)
    return np.hypot(np.maximum(np.abs(u) - length / 2, 0), v) - radius


def _superellipse(u: np.ndarray, v: np.ndarray, half: tuple[float, float], exponent: float = 2.5) -> np.ndarray:
    level = (np.abs(u / half[0]) ** exponent + np.abs(v / half[1]) ** exponent) ** (1 / exponent)
    return (level - 1) * min(half)


def _paint(shares: np.ndarray, tissue: int, distance: np.ndarray) -> None:
    covered = cover(distance)
    shares *= 1 - covered
    shares[tissue] += covered
