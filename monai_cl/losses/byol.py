"""BYOL's loss: a view's prediction against the target of another view, both unit vectors."""

from __future__ import annotations

from torch import Tensor, nn

from monai_cl.losses.unit_vectors import at_least_float32, l2_normalize, no_autocast


def byol_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean over slices of ``‖p̂_1 − ẑ_2‖² + ‖p̂_2 − ẑ_1‖²`` with ``p̂ = p/‖p‖``, ``ẑ = z/‖z‖``.

    With V > 2 views it is twice the mean over the ordered pairs of different views, which two views give as well.

    Args:
        predictions: p, the predictor's output for V views of N slices, (N, V, F).
        targets: z, the momentum encoder's embeddings of the same views, (N, V, F); they get no gradient.

    Returns:
        A scalar in [0, 8], float32 or better: 0 where all agree, 4 at right angles, 8 where all are opposed.

    Raises:
        ValueError: shapes other than these, or fewer than two views.

    Source: Grill et al., "Bootstrap your own latent", NeurIPS 2020, Eq. 2.
    """
    if predictions.ndim != 3 or predictions.shape[0] < 1 or predictions.shape[1] < 2:
        raise ValueError(f"predictions must be (N, V, F) with V >= 2 views, got {tuple(predictions.shape)}")
    if targets.shape != predictions.shape:
        raise ValueError(f"targets must be {tuple(predictions.shape)} as the predictions, got {tuple(targets.shape)}")
    slices, views = predictions.shape[:2]
    with no_autocast(predictions):
        p, z = l2_normalize(at_least_float32(predictions)), l2_normalize(at_least_float32(targets.detach()))
        distances = ((p - z.roll(shift, dims=1)).square().sum() for shift in range(1, views))
        total = sum(distances, start=p.new_zeros(()))
        return 2 * total / (slices * views * (views - 1))


class BYOLLoss(nn.Module):
    """:func:`byol_loss` as a module; called with predictions and targets (N, V, F)."""

    outputs, targets, gathers = ("prediction", "target"), (), False

    def forward(self, predictions: Tensor, targets: Tensor) -> Tensor:
        return byol_loss(predictions, targets)
