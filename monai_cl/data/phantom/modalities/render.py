"""What four kinds of scanner make of a section: CT, MR, XR, US; grey values in [0, 1]."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, shift

from monai_cl.data.phantom.modalities.anatomy import AIR, BONE, SIZE, TISSUES, grid

MODALITIES = ("CT", "MR", "US", "XR")
# in the order of TISSUES
_HU = np.array([-1000.0, -100, 45, 60, 95, 8, 500, 150])
_WINDOW = (-160.0, 340.0)
_SIGNAL = np.array([0.0, 0.95, 0.45, 0.55, 0.68, 0.25, 0.06, 0.8])
_ATTENUATION = np.array([0.0, 0.8, 1, 1.06, 1.12, 0.98, 2.3, 1.15])
_ECHO = np.array([0.02, 0.45, 0.14, 0.25, 0.5, 0.03, 1.3, 0.06])
_LAYERS = 12
_APEX, _HALF_ANGLE, _REACH = (-62.0, 0.0), 0.68, (18.0, 106.0)


def render(modality: str, shares: np.ndarray, marks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image of a section.

    Args:
        modality: of `MODALITIES`.
        shares: (tissues, SIZE, SIZE), see `Section`.
        marks: (SIZE, SIZE) contrasts in [0, 1], see `Marks`.
        rng: draws the scanner; it draws the same numbers whatever the marks are.

    Returns:
        (SIZE, SIZE) float32 in [0, 1].
    """
    image = {"CT": _ct, "MR": _mr, "US": _us, "XR": _xr}[modality](shares, marks, rng)
    return np.clip(image, 0, 1).astype(np.float32)


def field_of_view(modality: str) -> np.ndarray:
    """(SIZE, SIZE) bool: what a scanner of this modality shows; the sector of ultrasound, otherwise everything."""
    return _sector() if modality == "US" else np.ones((SIZE, SIZE), bool)


def _mixed(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    return np.tensordot(values, shares, 1)


def _noise(rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Of standard deviation 1, correlated over ``sigma`` pixels."""
    field = gaussian_filter(rng.normal(size=(SIZE, SIZE)), sigma, mode="wrap")
    return field / field.std()


def _ct(shares: np.ndarray, marks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    hu = _HU + rng.normal(0, 1, len(TISSUES)) * np.array([0, 5, 5, 10, 10, 4, 60, 20])
    image = _mixed(hu, shares) + rng.uniform(80, 120) * marks
    image = gaussian_filter(image, rng.uniform(0.5, 0.8)) + rng.uniform(12, 22) * _noise(rng, 0.6)
    return (image - _WINDOW[0]) / (_WINDOW[1] - _WINDOW[0])


def _mr(shares: np.ndarray, marks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    signal = np.clip(_SIGNAL + rng.normal(0, 0.04, len(TISSUES)), 0, 1) ** np.exp(rng.normal(0, 0.3))
    if rng.random() < 0.5:  # as T2 beside T1: what was bright is dark
        signal = 1 - 0.9 * signal
        signal[[AIR, BONE]] = 0.0, 0.06
    image = _mixed(signal, shares) + rng.uniform(0.45, 0.55) * marks
    image = gaussian_filter(np.clip(image, 0.02, None), rng.uniform(0.5, 0.8))
    bias = _noise(rng, 24)
    image = image * (1 + 0.35 * bias / np.abs(bias).max())
    spread = rng.uniform(0.03, 0.055)
    first, second = rng.normal(size=(2, SIZE, SIZE)) * spread
    return rng.uniform(0.6, 0.8) * np.hypot(image + first, second)


def _xr(shares: np.ndarray, marks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    section = _mixed(_ATTENUATION, shares)
    offsets = rng.normal(0, 2.5, (_LAYERS, 2))
    summed = sum(shift(section, offset, order=1, mode="nearest") for offset in offsets) / _LAYERS
    summed = gaussian_filter(summed + rng.uniform(0.25, 0.33) * marks, rng.uniform(0.5, 0.9))
    passed = np.exp(-rng.uniform(1.4, 1.8) * summed)
    passed = 0.75 * passed + 0.25 * gaussian_filter(passed, 12, mode="nearest")
    passed = passed * (1 + rng.uniform(0.02, 0.035) * _noise(rng, 0.6))
    return -np.log(np.clip(passed, 1e-3, None)) / 3


def _us(shares: np.ndarray, marks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    decibels = 20 * np.log10(_mixed(_ECHO * np.exp(rng.normal(0, 0.12, len(TISSUES))), shares) + 1e-3)
    decibels = decibels + rng.uniform(15, 19) * marks
    y, x = grid()
    depth = np.hypot(y - _APEX[0], x - _APEX[1]) - _REACH[0]
    decibels = gaussian_filter(decibels, 0.6) - rng.uniform(0.06, 0.12) * depth
    # two looks at the same place, as scanners compound them
    speckle = sum(_noise(rng, 0.65) ** 2 for _ in range(4)) / 4
    decibels = decibels + 10 * np.log10(speckle + 1e-3)
    return np.where(_sector(), (decibels + 46) / 56, 0)


def _sector() -> np.ndarray:
    y, x = grid()
    reach, angle = np.hypot(y - _APEX[0], x - _APEX[1]), np.arctan2(x - _APEX[1], y - _APEX[0])
    return (np.abs(angle) < _HALF_ANGLE) & (reach > _REACH[0]) & (reach < _REACH[1])
