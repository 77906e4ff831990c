"""What a scanner makes of a head: blur, thick slices, beam hardening, streaks and noise."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from monai_cl.data.phantom.head_ct.scene import Scene


def scan(rng: np.random.Generator, scene: Scene, *, pixel: float, thin: int) -> np.ndarray:
    """HU of thick slices.

    Args:
        rng: of the scanner.
        scene: the head.
        pixel: mm, in-plane.
        thin: slices of the lattice in one of the scan.

    Returns:
        (X, Y, Z / thin), float32.
    """
    blur = float(rng.uniform(0.6, 1.0))  # mm
    cupping, streaks, angle = float(rng.uniform(0, 6)), float(rng.uniform(0, 6)), float(rng.uniform(0, np.pi))
    noise = float(rng.uniform(3, 6))
    x, y, z = scene.points
    wave = (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))) * np.float32(2 * np.pi / 17)
    inside = scene.depth > 0
    artefact = np.float32(cupping) * np.exp(-np.maximum(scene.depth, 0) / np.float32(12))
    artefact += np.float32(streaks) * np.sin(wave) * np.clip((-25 - z) / np.float32(15), 0, 1)
    hu = thick(scene.hu + artefact * inside, thin)
    for axis in (0, 1):
        hu = gaussian_filter1d(hu, blur / pixel, axis=axis, truncate=3)
    grain = rng.standard_normal(hu.shape, np.float32)
    grain = gaussian_filter(grain, (0.7, 0.7, 0.3), truncate=3)
    scene.parameters |= {"blur": blur, "cupping": cupping, "streaks": streaks, "noise": noise}
    return hu + grain * np.float32(noise / grain.std())


def thick(volume: np.ndarray, thin: int) -> np.ndarray:
    """Mean over every ``thin`` slices: (X, Y, Z) to (X, Y, Z / thin)."""
    return volume.reshape(*volume.shape[:2], -1, thin).mean(-1)
