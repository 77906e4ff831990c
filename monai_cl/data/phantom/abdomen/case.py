"""Synthetic abdominal CT in memory: one call, one case, drawn from (seed, data set, index) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_cl.data.phantom.abdomen.anatomy import sample_anatomy
from monai_cl.data.phantom.abdomen.kinds import KINDS
from monai_cl.data.phantom.abdomen.render import render
from monai_cl.data.phantom.abdomen.scan import sample_scan
from monai_cl.data.phantom.abdomen.structure import ORGANS, Anatomy

__all__ = ["ORGANS", "PhantomCase", "phantom_case"]


@dataclass(frozen=True)
class PhantomCase:
    """A synthetic case: ``image`` int16 HU and ``label`` uint8 (X, Y, Z), ``affine`` (4, 4) voxel -> RAS mm.

    ``labels`` names the label's ids; ``anatomy`` is the patient, which can be rendered again on another grid.
    """

    image: np.ndarray
    label: np.ndarray
    affine: np.ndarray
    labels: dict[int, str]
    anatomy: Anatomy

    @property
    def spacing(self) -> np.ndarray:
        """Voxel spacing in mm, (3,), in the order of the array axes."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)


def phantom_case(
    seed: int, index: int, *, kind: str = "target", spacing: float = 3.0, orientation: str | None = "RAS"
) -> PhantomCase:
    """Make one synthetic case.

    Args:
        seed: of the cohort, >= 0.
        index: of the case, >= 0. The case depends on (seed, kind, index) and the options only.
        kind: data set, a key of ``KINDS``: "target" (all ``ORGANS``), "spleen", or "liver", "kidney", "pancreas",
            "abdomen", which annotate only their own organs under local ids.
        spacing: geometric mean voxel spacing in mm; 3 mm gives about 110 x 75 x 60 voxels, 4 mm about 80 x 55 x 45.
        orientation: axis codes of the arrays, such as "RAS"; None: as the data set stores its files. Scans are turned
            by up to 6 degrees in 3 of 10 cases only when None, so that "RAS" gives a diagonal affine.

    Raises:
        ValueError: for a negative seed or index, an unknown kind, spacing or orientation.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must be >= 0, got {seed} and {index}")
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    of = KINDS[kind]
    # separate streams: other scan options must not change the patient, nor a larger patient the noise
    patient, scanner, noise = (np.random.default_rng([seed, of.number, index, stream]) for stream in range(3))
    anatomy = sample_anatomy(patient, tumours=of.tumours)
    scan = sample_scan(
        scanner,
        anatomy,
        spacing=spacing,
        orientations=of.orientations if orientation is None else (orientation,),
        oblique_probability=0.3 if orientation is None else 0.0,
    )
    image, label = render(anatomy, shape=scan.shape, affine=scan.affine, rng=noise, noise=scan.noise)
    return PhantomCase(image, of.localise(label), scan.affine, {0: "background", **of.labels}, anatomy)
