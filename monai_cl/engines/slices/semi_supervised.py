"""The data of a semi-supervised training on slices: a few scans with masks, all scans without; the batch it becomes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from monai_cl.addressing import Stream, address_rng
from monai_cl.data import CTSlices, DataList, SegmentedSlices, SemiSupervisedSlices, labelled_items
from monai_cl.engines.slices.data import list_slices
from monai_cl.engines.slices.parts import part_slices
from monai_cl.processes import world_size
from monai_cl.transforms import apply_slice_views, draw_slice_view
from monai_cl.transforms.shaded_views import shade_slices

logger = logging.getLogger(__name__)

USES = ("none", "mixed", "plain", "turned", "views")
_TURN, _MIX, _SHADE = 7, 8, 9  # last numbers of addresses


def all_slices(data_list: DataList, **options: Any) -> CTSlices:
    """Slices of all training scans, prepared without their labels: no mask is read.

    Args:
        data_list: of the run.
        **options: of `list_slices`.
    """
    return list_slices(data_list, items=[_bare(item) for item in data_list.items("training")], **options)


def segmented_slices(
    data_list: DataList, *, labelled_scans: int | Sequence[str], seed: int, **options: Any
) -> SegmentedSlices:
    """Slices, with masks, of the scans that are used with their labels; see `labelled_items`.

    Args:
        data_list: of the run.
        labelled_scans: ids of scans, or their number.
        seed: of the choice.
        **options: of `list_slices`.

    Raises:
        UserError: as `labelled_items` and `list_slices`.
    """
    items = labelled_items(data_list.items("training"), labelled_scans, seed=seed)
    slices = SegmentedSlices(list_slices(data_list, items=items, **options))
    store, volumes = slices.slices.store, slices.slices.volumes
    shown = {label for volume in volumes for label in store.entry(volume.key).classes}
    absent = [name for label, name in sorted(data_list.labels.items()) if label > 0 and label not in shown]
    if absent:
        logger.warning(
            "the label maps of %s show no %s, which is not learned then: name labelled_scans that have it",
            ", ".join(volume.id for volume in volumes[:5]) + (", …" if len(volumes) > 5 else ""),
            ", ".join(absent),
        )
    return slices


def semi_supervised_slices(
    labelled: SegmentedSlices,
    slices: CTSlices,
    data_list: DataList,
    *,
    unlabelled: str,
    count: int,
    meta_labels: Mapping[str, Mapping[str, Any]],
    targets: Sequence[str],
    scans_per_batch: int,
    seed: int,
) -> SemiSupervisedSlices:
    """Batches of labelled slices, and of scans × parts of all scans where the method uses them.

    Args:
        labelled: see `segmented_slices`.
        slices: see `all_slices`.
        data_list: of the run.
        unlabelled: what the method does with the others, see `SemiSupervisedBatch`.
        count: labelled slices per process and iteration.
        meta_labels: see `part_slices`.
        targets: what the loss takes; of the meta-labels those among it are worked out.
        scans_per_batch: see `part_slices`.
        seed: of the run.
    """
    others = None
    if unlabelled not in ("none", "mixed"):
        names = [target for target in targets if target.startswith("label_")]
        others = part_slices(
            slices,
            data_list,
            meta_labels=meta_labels,
            targets=names,
            scans_per_batch=scans_per_batch,
            seed=seed,
        )
    return SemiSupervisedSlices(labelled, others, count=count, seed=seed, world_size=world_size())


class SemiSupervisedBatch:
    """``prepare_batch`` of MONAI's `SupervisedTrainer` for `SemiSupervisedSlices`.

    Args:
        count: labelled slices, the first of the batch.
        unlabelled: ``none``; ``mixed``: pairs of labelled slices are mixed in addition; ``plain``: the others as they
            are; ``turned``: as they are and turned by quarters and mirrored; ``views``: in the views that ``views``
            makes.
        targets: keys that the loss takes.
        seed: the run's seed.
        labelled_views: options of `draw_slice_view` for the one view of a labelled slice and its mask; and
            ``brightness`` and ``contrast`` (0), the ranges of its shade as in `ShadedSliceViews`.
        views: makes the views of unlabelled slices.

    Raises:
        ValueError: an unknown ``unlabelled``, an option out of its range, ``views`` without what makes them.
    """

    def __init__(
        self,
        *,
        count: int,
        unlabelled: str,
        targets: Sequence[str],
        seed: int,
        labelled_views: Mapping[str, Any],
        views: nn.Module | None = None,
    ) -> None:
        if unlabelled not in USES:
            raise ValueError(f"unlabelled must be one of {', '.join(USES)}, got {unlabelled!r}")
        if unlabelled == "views" and views is None:
            raise ValueError("views must be given where unlabelled slices are used in views")
        options = dict(labelled_views)
        self.shades = [float(options.pop(name, 0.0)) for name in ("brightness", "contrast")]
        for name, value in zip(("brightness", "contrast"), self.shades):
            if not 0 <= value < 1:
                raise ValueError(f"{name} must be in [0, 1), got {value}")
        draw_slice_view(np.random.default_rng(0), **options)  # errors now, not at the first batch
        self.count, self.unlabelled, self.targets, self.seed = int(count), unlabelled, tuple(targets), int(seed)
        self.labelled_views = options
        self.views = views.train() if views is not None else None

    def __call__(
        self, batch: Mapping[str, Any], device: torch.device, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Move and make views.

        Returns:
            the inputs of a `SemiSupervisedUNet`, and the targets by their key.
        """
        n, positions = self.count, batch["position"]
        image = batch["image"].to(device=device, non_blocking=non_blocking, **kwargs)
        mask = batch["mask"][:n].to(device=device, non_blocking=non_blocking)
        x, y = self._view(image[:n], mask, positions[:n], 0)
        inputs, targets = {"labelled": x}, {"mask": y}
        if self.unlabelled == "mixed":
            x2, y2 = self._view(image[:n], mask, positions[:n], 1)
            rng = address_rng(self.seed, Stream.SEGMENTATION, int(positions[0]), _MIX)
            order = torch.from_numpy(rng.permutation(n)).to(device)
            share = float(rng.beta(1.0, 1.0))
            inputs["mixed"] = share * x + (1 - share) * x2[order]
            targets |= {"mask_other": y2[order], "mix_share": torch.full((n,), share, device=device)}
        elif self.unlabelled != "none":
            rest, places = image[n:], positions[n:]
            if self.unlabelled == "views":
                assert self.views is not None  # the constructor refuses it
                inputs["views"] = self.views(rest, places)
            else:
                inputs["plain"] = rest
            if self.unlabelled == "turned":
                drawn = [int(address_rng(self.seed, Stream.VIEWS, int(p), _TURN).integers(8)) for p in places]
                inputs["turns"] = torch.tensor(drawn)
        more = {
            key: batch[key][n:].to(device=device, non_blocking=non_blocking) for key in self.targets if key in batch
        }
        return inputs, {**more, **targets}

    def _view(self, image: Tensor, mask: Tensor, positions: Tensor, number: int) -> tuple[Tensor, Tensor]:
        drawn = [
            draw_slice_view(address_rng(self.seed, Stream.SEGMENTATION, int(p), number), **self.labelled_views)
            for p in positions
        ]
        turned = apply_slice_views(mask[:, None].float(), drawn, mode="nearest")
        image = apply_slice_views(image, drawn)
        if any(self.shades):
            rngs = [address_rng(self.seed, Stream.SEGMENTATION, int(p), number, _SHADE) for p in positions]
            factors = 1 + torch.tensor(np.stack([rng.uniform(-1, 1, 2) * self.shades for rng in rngs]))
            image = shade_slices(image, *factors.to(image).unbind(1))
        return image, turned[:, 0].round().long()


def _bare(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if not key.startswith("label")}
