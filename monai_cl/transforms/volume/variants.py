"""Volumes changed in ways that should not change what is found in them: darker, turned, of another size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

FAMILIES = ("gamma", "rotation", "scale", "all")


@dataclass(frozen=True)
class Variant:
    """One change.

    Attributes:
        gamma: exponent of voxels in [0, 1]; 1 changes nothing.
        angle: degrees, within the slices about their middle.
        scale: factor on the size within the slices.
    """

    gamma: float = 1.0
    angle: float = 0.0
    scale: float = 1.0


def draw_variant(rng: np.random.Generator, family: str) -> Variant:
    """Draw a change of a family, uniformly: an exponent of 1.8 to 2.6, up to 10 degrees to either side, a factor of 0.9
    to 1.1; as many numbers are taken from ``rng`` whatever the family.

    Args:
        rng: source of every choice.
        family: ``gamma``, ``rotation``, ``scale``, or ``all`` three.

    Raises:
        ValueError: an unknown family.

    Source: Ghesu et al., arXiv 2201.01283, section 5.4; angles and scales are choices.
    """
    if family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {family!r}")
    g, a, s = rng.uniform(1.8, 2.6), rng.uniform(-10.0, 10.0), rng.uniform(0.9, 1.1)
    return Variant(
        gamma=g if family in ("gamma", "all") else 1.0,
        angle=a if family in ("rotation", "all") else 0.0,
        scale=s if family in ("scale", "all") else 1.0,
    )


def apply_variant(volume: Tensor, variant: Variant) -> Tensor:
    """Change a volume: turn and scale its slices (linear, air outside), then the exponent.

    Args:
        volume: (C, D, H, W) in [0, 1], pixels of H and W of one size.
        variant: the change.

    Returns:
        (C, D, H, W).
    """
    result = volume
    if variant.angle or variant.scale != 1:
        height, width = volume.shape[-2:]
        cosine, sine = (float(f(np.deg2rad(variant.angle))) / variant.scale for f in (np.cos, np.sin))
        # grid_sample's coordinates go from -1 to 1 along either side
        theta = torch.tensor([[cosine, -sine * height / width, 0], [sine * width / height, cosine, 0]]).to(volume)
        grid = torch.nn.functional.affine_grid(theta[None], [1, 1, height, width], align_corners=False)
        flat = volume.flatten(0, 1)[None]
        result = torch.nn.functional.grid_sample(flat, grid, mode="bilinear", align_corners=False)[0]
        result = result.reshape(volume.shape)
    return result if variant.gamma == 1 else result.clamp(0, 1) ** variant.gamma
