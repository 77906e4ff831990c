"""Paint a short-axis stack of a synthetic heart: labels and brightness, then what a scanner makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from monai_cl.data.phantom.cine.anatomy import LOBES, RV_END, HeartPatient, HeartPhase

LABELS = {1: "right ventricle", 2: "myocardium", 3: "left ventricle"}
RV, MYOCARDIUM, LV = 1, 2, 3


@dataclass(frozen=True)
class Stack:
    """Where the slices of an examination lie; both phases share it.

    Attributes:
        heights: (S,) z of the slices from the apex of the heart at end-diastole, mm, ascending.
        size: pixels per side.
        pixel: mm.
        centre: (x, y) of the heart in the field of view, mm.
        turn: of the heart about its axis, rad.
    """

    heights: np.ndarray
    size: int
    pixel: float
    centre: tuple[float, float]
    turn: float


def paint(
    patient: HeartPatient, phase: HeartPhase, stack: Stack, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Brightness (blood is 1) and labels of every slice.

    Args:
        patient, phase: what is painted.
        stack: where its slices lie.
        rng: draws the slices' shifts (breath-holds) and the brightness of flowing blood.

    Returns:
        float32 and uint8, both (S, size, size), rows along y, columns along x.
    """
    at = (np.arange(stack.size) - (stack.size - 1) / 2) * stack.pixel
    y, x = np.meshgrid(at, at, indexing="ij")
    body = _surroundings(patient, x, y, stack)
    images, labels = [], []
    for z in stack.heights:
        shift = np.clip(rng.normal(0, 1.3, 2), -4, 4)
        u, v = x - stack.centre[0] - shift[0], y - stack.centre[1] - shift[1]
        cos, sin = np.cos(stack.turn), np.sin(stack.turn)
        image, label = body.copy(), np.zeros(body.shape, np.uint8)
        _heart(
            patient, phase, float(phase.position(z)), cos * u + sin * v, cos * v - sin * u, image, label, stack.pixel
        )
        blood = image > 0.97
        image[blood] *= 1 + 0.07 * rng.normal()
        images.append(image)
        labels.append(label)
    return np.stack(images).astype(np.float32), np.stack(labels)


def scan(brightness: np.ndarray, rng: np.random.Generator, *, spacing: tuple[float, float, float]) -> np.ndarray:
    """What a scanner makes of it: bias field, gain, gamma, point spread, Rician noise.

    Args:
        brightness: (S, H, W), blood is 1.
        rng: draws the scanner.
        spacing: mm of the axes.

    Returns:
        int16, (S, H, W), in units of the scanner.
    """
    field = gaussian_filter(rng.normal(size=brightness.shape), [70 / step / 2 for step in spacing], mode="reflect")
    image = brightness * np.exp(0.3 * field / max(float(field.std()), 1e-9))
    image = image ** np.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.25))
    image = gaussian_filter(image, (0, 0.7, 0.7))
    noise = rng.normal(size=(2, *image.shape)) / rng.uniform(12, 28)
    return np.rint(400 * np.hypot(image + noise[0], noise[1])).astype(np.int16)


def _heart(
    patient: HeartPatient,
    phase: HeartPhase,
    s: float,
    u: np.ndarray,
    v: np.ndarray,
    image: np.ndarray,
    label: np.ndarray,
    pixel: float,
) -> None:
    """The slice of the heart at s, u to the left ventricle's free wall, v up; in place."""
    distance, angle = np.hypot(u, v), np.arctan2(v, u)
    wavy = 1 + sum(share * np.cos(n * angle + patient.lobes[n]) for n, share in LOBES.items())
    muscle = patient.tissue["myocardium"]
    if s < 0:  # atrium and outflow
        _disc(image, np.hypot(u, v), 20, 0.95, pixel, rim=(2.0, muscle))
        _disc(image, np.hypot(u + 30, v - 12), 13, 0.95, pixel, rim=(2.0, muscle))
        return
    outer, cavity = phase.outer_radius(s) * wavy, phase.cavity_radius(s) * wavy
    if 0 <= s < RV_END:
        half = patient.rv_width / 2 * phase.rv_scale * np.sqrt(1 - (s / RV_END) ** 2)
        centre = -(phase.outer_radius(s) + 0.25 * half)
        reach = np.hypot((u - centre) / (0.95 * half), v / (1.35 * half))
        _disc(image, reach * half, half + 2.5, muscle, pixel)
        inside = (reach < 1) & (distance > outer)
        trabeculae = 0.9 + 0.1 * np.cos(u / 2.1 + 3) * np.cos(v / 1.9)
        image[inside] = trabeculae[inside]
        label[inside] = RV
    if s <= 1:
        ring = distance <= outer
        image[ring], label[ring] = muscle, MYOCARDIUM
        inside = distance < cavity
        image[inside], label[inside] = 1.0, LV
        if 0.2 < s < 0.75:
            for direction in patient.papillary:
                reach = 0.62 * phase.cavity_radius(s)
                away = np.hypot(u - reach * np.cos(direction), v - reach * np.sin(direction))
                image[(away < phase.papillary) & inside] = muscle


def _surroundings(patient: HeartPatient, x: np.ndarray, y: np.ndarray, stack: Stack) -> np.ndarray:
    """The body without its heart, one slice: what differs along the axis is the heart alone."""
    a, b, fat = patient.torso
    outside = np.hypot(x / a, y / b)
    inner = np.hypot(x / (a - fat), y / (b - fat))
    image = np.where(outside < 1, patient.tissue["fat"], 0.02)
    near = np.hypot(x - stack.centre[0] + 12, (y - stack.centre[1]) * 1.15)  # pericardial fat around both ventricles
    height, slope = patient.horizon
    below = y < height + slope * x
    image = np.where(inner < 1, patient.tissue["lung"], image)
    image = np.where((inner < 1) & below, patient.tissue["liver"], image)
    image = np.where((inner < 1) & (near < 58) & ~below, 0.55 * patient.tissue["fat"], image)
    for ox, oy, radius, bright in patient.organs:
        _disc(image, np.hypot(x - ox, y - oy), radius, bright, stack.pixel)
    _disc(image, np.hypot(x - 52, y + 62), 12, 0.95, stack.pixel)  # descending aorta
    return image


def _disc(
    image: np.ndarray,
    distance: np.ndarray,
    radius: float,
    value: float,
    pixel: float,
    *,
    rim: tuple[float, float] | None = None,
) -> None:
    """Blend a disc (with a rim: width and value) into the image, its edge one pixel wide."""
    if rim is not None:
        _disc(image, distance, radius + rim[0], rim[1], pixel)
    cover = np.clip(0.5 - (distance - radius) / pixel, 0, 1)
    image += cover * (value - image)
