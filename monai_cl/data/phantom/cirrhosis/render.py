"""Paint a synthetic cirrhosis patient onto a stack of thin axial slices."""

from __future__ import annotations

import numpy as np

from monai_cl.data.phantom.cirrhosis.lattice import AxialLattice
from monai_cl.data.phantom.cirrhosis.structure import CirrhosisPatient, Coat
from monai_cl.data.phantom.shapes import CosineSum

AIR = -1000.0
_LEAST_GAP = np.float32(1.0)  # mm of fat that nodules leave between the liver and the wall
_GRAIN = 5.0  # HU, root mean square of the tissue texture


def render_slices(
    patient: CirrhosisPatient, lattice: AxialLattice, rng: np.random.Generator, *, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the slices of ``lattice``.

    Args:
        patient: the patient to draw.
        lattice: the slices to draw.
        rng: draws the noise only.
        noise: standard deviation in HU.

    Returns:
        int16 HU and uint8 labels, both (S, H, W): feet to head, back to front, left to right.
    """
    pixel = float(np.linalg.norm(lattice.affine[:2, 2]))
    soft = np.float32(1 / (1.3 * pixel))  # an edge is 1.3 pixels wide: the pixel and the point spread
    hu = np.full(lattice.shape, AIR, dtype=np.float32)
    labels = np.zeros(lattice.shape, dtype=np.uint8)
    texture = lattice.evaluate(patient.texture) * np.float32(_GRAIN)
    cavity = patient.cavity.distance(lattice.plane)
    below = np.full(lattice.shape, np.float32(1e3))
    inside = lattice.window(*_bounds_of(cavity, lattice))
    assert inside is not None  # the cavity lies in the picture
    below[inside] = patient.diaphragm.distance(lattice.box(inside))
    regions = {"abdomen": np.maximum(cavity, below), "chest": np.maximum(cavity, -below)}
    for number, coat in enumerate(patient.coats):
        _paint(coat, lattice, regions, texture, soft, hu, labels)
        if number == 2:  # skin, muscle, cavity: the ribs lie between
            _paint_ribs(patient, lattice, cavity, hu, soft)
    hu += _noise(lattice.shape, rng) * np.float32(noise)
    np.rint(hu, out=hu)
    return np.clip(hu, -1024, 3071, out=hu).astype(np.int16), labels


def _bounds_of(cavity: np.ndarray, lattice: AxialLattice) -> tuple[np.ndarray, np.ndarray]:
    x, y, _ = lattice.points
    within = cavity < 5
    low = np.array([x[within].min(), y[within].min(), -1e4])
    return low, np.array([x[within].max(), y[within].max(), 1e4])


def _paint(
    coat: Coat,
    lattice: AxialLattice,
    regions: dict[str, np.ndarray],
    texture: np.ndarray,
    soft: np.float32,
    hu: np.ndarray,
    labels: np.ndarray,
) -> None:
    low, high = coat.part.bounds()
    low, high = low - 3 * coat.height, high + 3 * coat.height
    box = lattice.window(np.clip(low, -1e4, 1e4), np.clip(high, -1e4, 1e4))
    if box is None:
        return
    part = lattice.box(box)
    distance = coat.part.distance(part.plane if coat.flat else part)
    if coat.region is not None:
        distance = np.maximum(distance, regions[coat.region][box] + np.float32(coat.gap))
    if coat.nodules is not None:
        assert coat.region is not None  # nodules show at its edge
        distance += _scallops(coat.nodules, coat.height, part)
        distance = np.maximum(distance, regions[coat.region][box] + _LEAST_GAP)
    cover = np.clip(np.float32(0.5) - distance * soft, 0, 1)
    if coat.inside is not None:
        cover *= labels[box] == coat.inside
    value = texture[box] * np.float32(coat.grain)
    value += np.float32(coat.hu)
    value -= hu[box]
    value *= cover
    hu[box] += value
    if coat.label is not None:
        target = labels[box]
        target[np.broadcast_to(cover > 0.5, target.shape)] = coat.label


def _scallops(field: CosineSum, height: float, part: AxialLattice) -> np.ndarray:
    nodules = np.abs(part.evaluate(field))
    # of a normal variable, |f| has mean 0.798 and standard deviation 0.603
    nodules -= np.float32(0.798)
    nodules *= np.float32(-height / 0.603)
    return nodules


def _paint_ribs(
    patient: CirrhosisPatient, lattice: AxialLattice, cavity: np.ndarray, hu: np.ndarray, soft: np.float32
) -> None:
    """Bars around the cavity that fall from back to front; only the ring of pixels they can touch is computed."""
    pitch, slope, offset, bone = (np.float32(value) for value in patient.ribs)
    _, y, z = lattice.points
    ring = (np.abs(cavity - 5) < 8) & (y < 60)
    around, front = cavity[ring], y[ring]
    level = z[:, 0] + slope * front[None] - offset
    band = (np.mod(level, pitch) - pitch / 2) * np.float32(0.75)
    distance = np.hypot(around[None] - np.float32(5.5), band) - np.float32(4.6)
    cover = np.clip(np.float32(0.5) - distance * soft, 0, 1)
    pixels = np.broadcast_to(ring, hu.shape)
    values = hu[pixels].reshape(cover.shape)
    hu[pixels] = (values + cover * (bone - values)).reshape(-1)


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Noise of unit standard deviation whose neighbours in a slice agree a little: means of 2 x 2 uniform draws."""
    count, height, width = shape
    words = np.frombuffer(rng.bytes(2 * count * (height + 1) * (width + 1)), dtype="<i2")
    uniform = words.reshape(count, height + 1, width + 1).astype(np.float32)
    rows = uniform[:, :-1] + uniform[:, 1:]
    total = rows[:, :, :-1] + rows[:, :, 1:]
    total *= np.float32(1 / (2 * 65536 / np.sqrt(12)))
    return total
