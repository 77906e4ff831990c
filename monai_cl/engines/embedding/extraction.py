"""One scan through a frozen encoder: its vector, or those of its slices or patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from monai_cl.engines.embedding.encoder import BOXES, PATCHES, SLICES, FrozenEncoder
from monai_cl.engines.embedding.inputs import ScanInputs
from monai_cl.engines.embedding.pooling import pool_layers
from monai_cl.errors import UserError

UNITS = ("scan", "slice", "patch")


def pooled_level(encoder: FrozenEncoder, unit: str, level: int | None) -> int | None:
    """The level whose maps are pooled; None: the encoder's own representation is taken.

    Args:
        encoder: of the vectors.
        unit: what gets a vector.
        level: that was asked for.

    Raises:
        UserError: an unknown unit or level, or one that the encoder does not have.
    """
    kind = encoder.kind
    if unit not in UNITS:
        raise UserError("--unit", expected=f"one of {', '.join(UNITS)}", found=unit)
    if unit == "patch" and kind != PATCHES:
        raise UserError(
            "--unit",
            expected="scan or slice",
            found="patch",
            remedy=f"this encoder takes {kind}, which are its patches",
        )
    if level is not None and level not in range(encoder.levels):
        known = f"0 to {encoder.levels - 1}" if encoder.levels else "none: this encoder gives its representation alone"
        raise UserError("--level", expected=known, found=level, remedy="leave --level out")
    if level is None and (kind == PATCHES or (kind == BOXES and unit == "slice")):
        return encoder.levels - 1
    return level


@torch.inference_mode()
def embed_scan(
    encoder: FrozenEncoder,
    inputs: ScanInputs,
    *,
    unit: str = "scan",
    level: int | None = None,
    batch_size: int = 8,
    device: torch.device | str = "cpu",
) -> tuple[np.ndarray, dict[str, list[Any]]]:
    """Vectors of a scan.

    With a level, its maps are averaged over the voxels that count; without one the representations of the images are,
    each alike.

    Args:
        encoder: on ``device``.
        inputs: of the scan.
        unit: ``"scan"``, ``"slice"`` or ``"patch"``: what gets a vector.
        level: of :func:`pooled_level`.
        batch_size: images of one forward pass, all of this scan.
        device: of the encoder.

    Returns:
        (n, F) float32, and where each row lies: column -> n values.
    """
    by_layer = unit == "slice" and encoder.kind != SLICES
    depth = len(next(iter(inputs.layers.values()), ())) if by_layer else len(inputs)
    sums: np.ndarray | None = None
    totals = np.zeros(depth)
    for first in range(0, len(inputs), batch_size):
        images, weights = inputs.batch(first, batch_size)
        images = images.to(device)
        if level is None:
            found = encoder.represent(images).double().cpu().numpy()[:, None]
            counts = np.ones((len(found), 1))
        else:
            assert weights is not None  # maps are pooled by them
            layers, share = pool_layers(encoder.maps(images, level), weights.to(device))
            found, counts = layers.cpu().numpy(), share.cpu().numpy()
        if sums is None:
            sums = np.zeros((depth, found.shape[2]))
        for number, (values, count) in enumerate(zip(found, counts)):
            if by_layer:
                start = inputs.starts[first + number][2] if inputs.starts else 0
                place = slice(start, start + len(values))
                sums[place] += values
                totals[place] += count
            else:
                sums[first + number] += values.sum(0)
                totals[first + number] += count.sum()
    assert sums is not None  # a scan has an input or more
    if unit == "scan":
        return (sums.sum(0) / totals.sum())[None].astype(np.float32), {}
    kept = np.flatnonzero(totals > 0).tolist()
    rows = inputs.layers if by_layer else inputs.rows
    return (sums[kept] / totals[kept, None]).astype(np.float32), {
        name: [values[number] for number in kept] for name, values in rows.items()
    }
