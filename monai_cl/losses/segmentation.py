"""Supervised term of the ``hybrid`` preset: one head for all data sets, each evaluated on its own classes only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from einops import rearrange, reduce
from torch import Tensor

from monai_cl.losses.unit_vectors import at_least_float32, no_autocast

NOT_ANNOTATED = -100  # PyTorch's ignore_index
_SMOOTH = 1e-5  # as MONAI's DiceLoss: a class neither present nor predicted has Dice 1


def supervised_loss(
    logits: Tensor, labels: Tensor, dataset: Tensor | Sequence[int], *, class_counts: Sequence[int]
) -> Tensor:
    """Cross-entropy + soft Dice over the classes of each sample's own data set, averaged over samples (L_sup).

    The channels are the classes of all data sets side by side: data set k has the channels from
    ``class_counts[0] + … + class_counts[k−1]`` on, ``class_counts[k]`` of them, the first being its background.
    A data set has no information about organs it did not annotate, so the channels of the others are not used, not even
    in the softmax. Voxels of -100, which were not annotated, take no part in either term; a sample without others, of a
    scan without label, counts as 0. Both terms are those of MONAI's ``DiceCELoss(to_onehot_y=True, softmax=True)``.

    Args:
        logits: (B, sum C_k, H, W, D).
        labels: (B, 1, H, W, D), integers in [0, C_k) of the sample's data set k, or -100.
        dataset: B integers, the index k of each sample's data set; of a tensor on a GPU each call waits for it.
        class_counts: C_k of every data set, background included; 1 where a data set has no labels.

    Returns:
        A scalar, float32 or better; nan where a label is one that its data set does not have.

    Raises:
        ValueError: shapes that do not fit, an unknown data set index.
    """
    counts = [int(count) for count in class_counts]
    if not counts or min(counts) < 1 or max(counts) < 2:
        raise ValueError(
            f"class_counts must hold at least 1 class (background) per data set and 2 of one, got {counts}"
        )
    if logits.ndim != 5 or logits.shape[1] != sum(counts):
        raise ValueError(
            f"logits must be (B, {sum(counts)}, H, W, D) for class_counts {counts}, got {tuple(logits.shape)}"
        )
    if labels.shape != (logits.shape[0], 1, *logits.shape[2:]):
        raise ValueError(
            f"labels must be {(logits.shape[0], 1, *logits.shape[2:])} for logits {tuple(logits.shape)}, "
            f"got {tuple(labels.shape)}"
        )
    members = dataset.tolist() if isinstance(dataset, Tensor) else list(dataset)
    if len(members) != logits.shape[0]:
        raise ValueError(f"dataset must have {logits.shape[0]} entries, got {len(members)}")

    per_sample = []
    with no_autocast(logits):
        for row, k in enumerate(members):
            if not 0 <= k < len(counts):
                raise ValueError(f"dataset index must be in [0, {len(counts)}), got {k}")
            first = sum(counts[:k])
            dataset_logits = at_least_float32(logits[row, first : first + counts[k]])
            per_sample.append(_dice_and_cross_entropy(dataset_logits, labels[row, 0].long()))
        return torch.stack(per_sample).mean()


def _dice_and_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """logits (C, H, W, D), labels (H, W, D)."""
    classes = logits.shape[0]
    annotated = labels != NOT_ANNOTATED
    known = torch.where(annotated, labels, 0)
    log_p = torch.log_softmax(logits, dim=0)
    # A boolean mask takes an eighth of one-hot's int64, and unlike gather its gradient is deterministic on a GPU.
    truth = rearrange(labels, "... -> 1 ...") == rearrange(torch.arange(classes, device=labels.device), "c -> c 1 1 1")
    cross_entropy = -torch.where(truth, log_p, 0).sum() / annotated.sum().clamp(min=1)
    # an error here would make every step wait for the device
    cross_entropy = torch.where(((known >= 0) & (known < classes)).all(), cross_entropy, math.nan)
    p = torch.where(annotated, log_p.exp(), 0)
    overlap = reduce(torch.where(truth, p, 0), "c ... -> c", "sum")
    size = reduce(p, "c ... -> c", "sum") + truth.sum(dim=(1, 2, 3))
    return cross_entropy + (1 - (2 * overlap + _SMOOTH) / (size + _SMOOTH)).mean()
