"""A synthetic head CT in memory: one call, one patient, drawn from (seed, part, index) alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monai_cl.data.phantom.head_ct.anatomy import draw_head
from monai_cl.data.phantom.head_ct.blood import FINDINGS, LEAST_VOLUME, draw_blood, draw_kinds
from monai_cl.data.phantom.head_ct.decoys import draw_decoys
from monai_cl.data.phantom.head_ct.scanner import scan, thick

__all__ = ["FINDINGS", "PARTS", "SIZES", "HeadCase", "head_case"]

SIZES = {"full": (40, 224, 192), "half": (20, 112, 96), "quarter": (20, 56, 48)}  # slices, rows, columns
PARTS = ("pretraining", "training", "validation", "test")
LEAST_AREA = 20.0  # mm² of blood on a slice that shows it
_CENTRE = (0.0, 0.0, 4.0)  # mm, of the box
_EXTENT = (192.0, 224.0, 160.0)  # mm


@dataclass(frozen=True)
class HeadCase:
    """A synthetic patient.

    Attributes:
        image: int16 HU, blood: uint8 (1 to 5 as `FINDINGS`, 0 elsewhere), both (X, Y, Z) in RAS.
        affine: (4, 4) voxel -> RAS mm, diagonal.
        findings: kind -> whether there are more than 0.3 ml of it.
        slice_findings: for each slice, feet to head, whether it shows more than 20 mm² of blood.
        volumes: kind -> ml.
        parameters: name -> number of what else was drawn; none depends on haemorrhage.
    """

    image: np.ndarray
    blood: np.ndarray
    affine: np.ndarray
    findings: dict[str, int]
    slice_findings: list[int]
    volumes: dict[str, float]
    parameters: dict[str, float]

    @property
    def target(self) -> int:
        """1 where any slice shows blood."""
        return max(self.slice_findings)


def head_case(
    seed: int, index: int, *, part: str = "training", size: str = "half", kinds: Sequence[str] | None = None
) -> HeadCase:
    """Make one synthetic patient.

    Anatomy, decoys, haemorrhage and scanner are drawn from separate streams: the same patient with other haemorrhage
    differs near it only.

    Args:
        seed: of the cohort, >= 0.
        index: of the patient, >= 0.
        part: one of `PARTS`; no two have a patient in common.
        size: one of `SIZES`; of one field of view.
        kinds: of haemorrhage, from `FINDINGS`; () for none; None: drawn, half of the patients have some.

    Raises:
        ValueError: an option out of its range.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must be >= 0, got {seed} and {index}")
    if part not in PARTS or size not in SIZES:
        raise ValueError(f"expected a part of {', '.join(PARTS)} and a size of {', '.join(SIZES)}, got {part}, {size}")
    if kinds is not None and not set(kinds) <= set(FINDINGS):
        raise ValueError(f"kinds must be of {', '.join(FINDINGS)}, got {list(kinds)}")
    anatomy, decoys, blood, scanner = (
        np.random.default_rng([seed, PARTS.index(part), index, stream]) for stream in range(4)
    )
    drawn = draw_kinds(blood) if blood.random() < 0.5 else []
    drawn = drawn if kinds is None else list(kinds)
    slices, rows, columns = SIZES[size]
    pooled = 2 if size == "quarter" else 1
    pixel, thickness = _EXTENT[0] / columns / pooled, _EXTENT[2] / slices
    thin = round(thickness / 4) if size != "full" else 2
    lattice = _grid((columns * pooled, rows * pooled, slices * thin), pixel, thickness / thin)
    scene = draw_head(anatomy, *lattice, edge=pixel)
    draw_decoys(decoys, scene)
    shares = {kind: _pool(thick(share, thin), pooled) for kind, share in draw_blood(blood, scene, drawn).items()}
    image = _pool(scan(scanner, scene, pixel=pixel, thin=thin), pooled)
    affine = _grid((columns, rows, slices), pixel * pooled, thickness)[0]
    area = (pixel * pooled) ** 2
    volumes = {kind: float(shares[kind].sum() * area * thickness) if kind in shares else 0.0 for kind in FINDINGS}
    total = np.sum(list(shares.values()), axis=0) if shares else np.zeros_like(image)
    kind_of = np.argmax([shares.get(kind, np.zeros_like(image)) for kind in FINDINGS], axis=0) + 1
    return HeadCase(
        image=np.rint(image).astype(np.int16),
        blood=np.where(total > 0.5, kind_of, 0).astype(np.uint8),
        affine=affine,
        findings={kind: int(volume > LEAST_VOLUME) for kind, volume in volumes.items()},
        slice_findings=(total.sum((0, 1)) * area > LEAST_AREA).astype(int).tolist(),
        volumes={kind: volume / 1000 for kind, volume in volumes.items()},
        parameters=scene.parameters,
    )


def _grid(shape: tuple[int, int, int], pixel: float, step: float) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Affine and shape of a lattice of the box."""
    spacing = np.array([pixel, pixel, step])
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = np.array(_CENTRE) - spacing * (np.array(shape) - 1) / 2
    return affine, shape


def _pool(volume: np.ndarray, factor: int) -> np.ndarray:
    """Mean over squares of ``factor`` pixels: (X, Y, Z) to (X / factor, Y / factor, Z)."""
    x, y, z = volume.shape
    return volume.reshape(x // factor, factor, y // factor, factor, z).mean((1, 3))
