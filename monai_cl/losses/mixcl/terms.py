"""How each term of MixCL reads the rows of its views out of one forward of V1, V1' and V2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from monai_cl.losses.mixcl.consistency import identity_terms, label_consistency_of_pairs
from monai_cl.losses.mixcl.correlation import aligned_features
from monai_cl.losses.mixcl.organ_bank import OrganBank
from monai_cl.losses.segmentation import supervised_loss
from monai_cl.mixcl_views import COUNT, NAMES, PairViews, unstack


def identity_term(
    views: Mapping[int, PairViews], log: dict[str, Tensor], *, back: Tensor | None, **options: Any
) -> Tensor:
    """Eq. 4-5 of the levels' views, V1' brought ``back`` where it shows P1 moved; diagnostics go into ``log``."""
    first, second = [v.v1 for v in views.values()], [v.v1_prime for v in views.values()]
    where: list[Tensor] | None = None
    if back is not None:  # V1' shows P1 moved: onto common voxels before Eq. 5
        brought = [aligned_features(z, back) for z in second]
        second, where = [z for z, _ in brought], [inside for _, inside in brought]
        log["common_voxels"] = torch.stack([inside.float().mean() for inside in where]).mean()
    per_level = identity_terms(first, second, where=where, **options)
    for index, level in zip(views, per_level):
        if level.term is None or level.correlation is None:
            continue
        correlation = level.correlation.detach()
        size, diagonal = correlation.shape[0], torch.diagonal(correlation)
        log[f"identity/{index}"] = level.term.detach()
        log[f"identity_diagonal/{index}"] = diagonal.mean()
        # One channel has no off-diagonal.
        off_diagonal = (correlation.abs().sum() - diagonal.abs().sum()) / max(size * (size - 1), 1)
        log[f"identity_offdiagonal/{index}"] = off_diagonal
    kept = [level.term for level in per_level if level.term is not None]
    if not kept:
        shapes = [tuple(v.v1.shape) for v in views.values()]
        raise ValueError(f"every level has fewer voxels than channels, so no identity term is left: {shapes}")
    # a level that is left out stays attached, with gradient 0: DDP fails on parameters without one
    left_out = [
        v.v1.flatten()[:0].sum().to(kept[0].dtype) for v, level in zip(views.values(), per_level) if level.term is None
    ]
    return torch.stack([*kept, *left_out]).sum()


def label_term(features: Tensor, targets: Mapping[str, Tensor], log: dict[str, Tensor], **options: Any) -> Tensor:
    """Eq. 6 between the drawn voxels of V1 and V2, the mean over pairs; ``features`` (3B, C, h, w, d)."""
    voxels1, voxels2, labels1, labels2 = (
        needed_part(targets, "targets", name, "label")
        for name in ("voxels1", "voxels2", "voxel_labels1", "voxel_labels2")
    )
    views = all_views("the label level", features, pairs=voxels1.shape[0])
    losses, has_positive = label_consistency_of_pairs(
        features_at(views.v1, voxels1),
        labels1,
        features_at(views.v2, voxels2),
        labels2,
        valid1=voxels1 >= 0,
        valid2=voxels2 >= 0,
        **options,
    )
    log["label_positive_share"] = has_positive.float().mean()
    return losses.mean()


def bank_term(features: Tensor, targets: Mapping[str, Tensor], bank: OrganBank) -> Tensor:
    """`OrganBank` of the drawn voxels of V1 and V2; ``features`` (3B, C, h, w, d)."""
    voxels1, voxels2, labels1, labels2, datasets = (
        needed_part(targets, "targets", name, "bank")
        for name in ("voxels1", "voxels2", "voxel_labels1", "voxel_labels2", "dataset")
    )
    views = all_views("the label level", features, pairs=voxels1.shape[0])

    def patches(of_p1: Tensor, of_p2: Tensor) -> Tensor:
        # pair by pair: the bank of one process then has the order of several
        return torch.stack([of_p1, of_p2], dim=1).flatten(0, 1)

    voxels = patches(voxels1, voxels2)
    z = patches(features_at(views.v1, voxels1), features_at(views.v2, voxels2))
    return bank(z, patches(labels1, labels2), patches(datasets, datasets), valid=voxels >= 0)


def features_at(features: Tensor, voxels: Tensor) -> Tensor:
    """Features (B, C, h, w, d) at flat indices (B, K) -> (B, K, C); padding yields voxel 0, to be masked."""
    flat = rearrange(features, "b c ... -> b c (...)")
    indices = rearrange(voxels.clamp(min=0), "b k -> b 1 k").expand(-1, flat.shape[1], -1)
    return rearrange(flat.gather(2, indices), "b c k -> b k c")


def supervised_term(
    outputs: Mapping[str, Tensor | Sequence[Tensor]],
    targets: Mapping[str, Tensor],
    class_counts: Sequence[int] | None,
) -> Tensor:
    """`supervised_loss` of V1 and V2."""
    if class_counts is None:
        raise ValueError("the supervised term needs class_counts, the number of classes of every data set")
    logits = needed_part(outputs, "outputs", "segmentation", "supervised")
    labels, dataset = (needed_part(targets, "targets", name, "supervised") for name in ("labels", "dataset"))
    views = all_views("segmentation", logits, pairs=dataset.shape[0])
    both = torch.cat([views.v1, views.v2])
    return supervised_loss(both, labels, 2 * dataset.tolist(), class_counts=class_counts)


def all_views(what: str, stacked: Tensor, *, pairs: int) -> PairViews:
    """The views of something that has the rows of V2 too."""
    if stacked.shape[0] != COUNT * pairs:
        raise ValueError(f"{what} must have {COUNT} rows per pair ({NAMES}), {COUNT * pairs}, got {stacked.shape[0]}")
    return unstack(stacked, pairs)


def chosen_levels(outputs: Mapping[str, Any], wanted: Sequence[int] | None, term: str) -> dict[int, Tensor]:
    """Index -> features of the levels a term takes."""
    levels = needed_part(outputs, "outputs", "levels", term)
    indices = range(len(levels)) if wanted is None else wanted
    for index in indices:
        if not 0 <= index < len(levels) or levels[index] is None:
            raise ValueError(f"the {term} term needs level {index}, and outputs['levels'] has {len(levels)} levels")
    return {index: levels[index] for index in indices}


def batch_size(targets: Mapping[str, Tensor], levels: Mapping[int, Tensor], label_level: int) -> int:
    """B, from whichever target is present; otherwise from a level that has V1 and V1' only."""
    for name, rows in (("dataset", 1), ("voxels1", 1), ("labels", 2), ("clean", 3)):
        if targets.get(name) is not None:
            batch, source = targets[name].shape[0] // rows, f"targets['{name}']"
            break
    else:
        others = [z.shape[0] for index, z in levels.items() if index != label_level]
        if not others:
            raise ValueError("targets must give the batch size by one of dataset, voxels1, labels, clean")
        batch, source = others[0] // 2, "the other levels"
    for index, z in levels.items():
        # A level may have the rows of V2 too; the identity term ignores them.
        if z.shape[0] not in (2 * batch, 3 * batch):
            raise ValueError(f"level {index} must have {2 * batch} or {3 * batch} rows ({source}), got {z.shape[0]}")
    return batch


def needed_part(parts: Mapping[str, Any], kind: str, name: str, term: str) -> Any:
    """A part of the network's outputs or the batch's targets; a ``ValueError`` where it is missing."""
    if parts.get(name) is None:
        raise ValueError(f"the {term} term needs {kind}['{name}'], which is missing")
    return parts[name]
