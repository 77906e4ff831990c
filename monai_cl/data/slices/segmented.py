"""Slices with their masks, and the batches that mix them with slices of scans without."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from monai_cl.data.sampling.positions import permutation
from monai_cl.data.slices.ct_slices import CTSlices
from monai_cl.data.slices.pixels import fit_masks
from monai_cl.errors import UserError

_MASKS = 1  # keeps the order of labelled slices apart from that of cases


class SegmentedSlices(Dataset):
    """Slices of volumes that were prepared with their labels; ``dataset[i]`` is as in `CTSlices`, with its ``mask``.

    Args:
        slices: `CTSlices`.

    Raises:
        UserError: a volume without a label.
    """

    def __init__(self, slices: CTSlices) -> None:
        self.slices = slices
        for volume in slices.volumes:
            if not slices.store.entry(volume.key).has_label:
                raise UserError(f"patient {volume.patient}: {volume.id}", expected="a scan with a label", found="none")

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``mask`` is (size, size) int64 in the ids of the list."""
        number, place = self.slices.locate(int(index))
        volume = self.slices.volumes[number]
        z = int(volume.slices[place])
        box = (slice(None), slice(None), slice(z, z + 1))
        stored = self.slices.store.read(volume.key, box, kind="label")
        # as `window_slices` turns the image
        mask = torch.from_numpy(stored.transpose(2, 1, 0).astype("int64")).flip(1, 2)
        spacing = self.slices.store.entry(volume.key).spacing[1::-1]
        fitted = fit_masks(mask, spacing, size=self.slices.size, pixel_size=self.slices.pixel_size)
        return {**self.slices[index], "mask": fitted[0]}


class SemiSupervisedSlices(Dataset):
    """Slices by global position: of each process's batch the first ``count`` are labelled, the others are not.

    The labelled slices come in an order that is shuffled again when it has run out.

    Args:
        labelled: `SegmentedSlices`.
        unlabelled: a data set by position with a ``sampler`` that has a ``batch_size``; None: labelled slices alone.
        count: labelled slices per process and iteration.
        seed: of the run.
        world_size: number of processes.
    """

    def __init__(
        self, labelled: SegmentedSlices, unlabelled: Any | None, *, count: int, seed: int, world_size: int = 1
    ) -> None:
        if count < 1:
            raise ValueError(f"count must be >= 1, got {count}")
        self.labelled, self.unlabelled, self.count, self.seed = labelled, unlabelled, int(count), int(seed)
        self.world_size = int(world_size)
        self.batch_size = self.count + (unlabelled.sampler.batch_size if unlabelled is not None else 0)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """As an item of the data set it is of; without label: ``mask`` 0, and -1 for what only the other kind has.

        ``position`` counts the labelled slices and the others apart, so that their views do not depend on how many
        processes divide a batch.
        """
        share, place = divmod(int(position), self.batch_size)  # share: iteration · world size + rank
        if place < self.count:
            drawn = share * self.count + place
            turn, number = divmod(drawn, len(self.labelled))
            index = int(permutation(self.seed, turn, len(self.labelled), _MASKS)[number])
            item = self.labelled[index]
            names = self.unlabelled.slices.labels if self.unlabelled is not None else ()
            return {**item, **{name: torch.tensor(-1) for name in names}, "position": drawn}
        other = self.unlabelled
        assert other is not None  # without it every place is below count
        item = other[share * other.sampler.batch_size + place - self.count]
        return {**item, "mask": torch.zeros(item["image"].shape[1:], dtype=torch.int64)}


def labelled_items(items: Sequence[Mapping[str, Any]], chosen: float | Sequence[str], *, seed: int) -> list[dict]:
    """The items whose masks a training may read, the same for every method.

    Args:
        items: of the training part of a list.
        chosen: ids of scans; or a number, then patients are taken in the order of a hash of (seed, patient), a scan of
            each before a second one of any, so that fewer are always among more.
        seed: of the choice.

    Raises:
        UserError: neither a number nor a list, more scans than have a label, an id that does not exist or has no label.
    """
    able = [dict(item) for item in items if item.get("label")]
    if isinstance(chosen, bool) or not isinstance(chosen, (int, float, list, tuple)):
        raise UserError("labelled_scans", expected="a number of scans, or a list of their ids", found=f"{chosen!r}")
    if not isinstance(chosen, (int, float)):
        of_id = {str(item["id"]): item for item in able}
        unknown = [name for name in chosen if str(name) not in of_id]
        if unknown or not chosen:
            raise UserError(
                "labelled_scans",
                expected="ids of training scans with a label",
                found=unknown[0] if unknown else "none",
                remedy=f"there are {', '.join(sorted(of_id)[:5])}{', …' if len(of_id) > 5 else ''}",
            )
        return [of_id[name] for name in dict.fromkeys(map(str, chosen))]
    if not 1 <= chosen <= len(able) or chosen != int(chosen):  # 2.0 is 2
        raise UserError("labelled_scans", expected=f"1 to {len(able)}, the training scans with a label", found=chosen)

    def order(*words: object) -> str:
        return hashlib.sha256("/".join(map(str, (seed, *words))).encode()).hexdigest()

    able.sort(key=lambda item: order(item["dataset"], item["patient"], item["id"]))
    turn: dict[tuple[str, str], int] = {}
    ranked = []
    for item in able:
        patient = (item["dataset"], item["patient"])
        turn[patient] = turn.get(patient, -1) + 1
        ranked.append((turn[patient], order(*patient), item))
    ranked.sort(key=lambda one: one[:2])
    return [item for _, _, item in ranked[: int(chosen)]]
