"""Representations for TensorBoard's embedding projector, with patient, class and depth of every point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from monai_cl.data.slices.features import SliceFeatures

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def add_embeddings(
    writer: SummaryWriter,
    features: SliceFeatures,
    *,
    tag: str = "representations",
    step: int = 0,
    pictures: Tensor | None = None,
    at_most: int = 3000,
    seed: int = 0,
) -> int:
    """Write points that the projector's tab shows; the projector is slow beyond some thousands.

    Args:
        writer: of a run's folder, such as `RunRecorder.writer`.
        features: of n slices.
        tag: name of the tensor.
        step: iteration the encoder is of.
        pictures: (n, 1 or 3, H, W) in [0, 1] small pictures of the slices, shown as the points.
        at_most: points written; of more a random part.
        seed: of that part.

    Returns:
        The number of points.

    Raises:
        ValueError: ``at_most`` below 2, or another number of pictures than slices.
    """
    if at_most < 2:
        raise ValueError(f"at_most must be >= 2 points, got {at_most}")
    n = len(features)
    if pictures is not None and len(pictures) != n:
        raise ValueError(f"pictures must be one a slice, got {len(pictures)} for {n} slices")
    rows = np.arange(n)
    if n > at_most:
        rows = np.sort(np.random.default_rng(seed).choice(n, at_most, replace=False))
    names = [_cells(features, row) for row in rows.tolist()]
    writer.add_embedding(
        torch.from_numpy(features.features[rows]),
        metadata=names,
        metadata_header=["patient", "class", "depth", "slice"],
        label_img=None if pictures is None else pictures[torch.from_numpy(rows)].float(),
        global_step=step,
        tag=tag,
    )
    return len(rows)


def _cells(features: SliceFeatures, row: int) -> Sequence[str]:
    label, depth = int(features.label[row]), float(features.depth[row])
    cells = (
        features.patient[row],
        "unknown" if label < 0 else str(label),
        "" if np.isnan(depth) else f"{depth:.4f}",
        features.slice[row],
    )
    # a tab or a line break would shift the table's cells
    return [" ".join(str(cell).split()) for cell in cells]
