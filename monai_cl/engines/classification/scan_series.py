"""All kept slices of a scan as one sample: from the store for validation, from files for inference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from monai.transforms import Transform
from torch import Tensor
from torch.utils.data import Dataset

from monai_cl.data import CTSlices
from monai_cl.data.io.formats import is_picture
from monai_cl.data.io.modality import scales_of
from monai_cl.data.io.scan_intensity import known_modality, require_known_picture
from monai_cl.data.store.conversion import item_intensity
from monai_cl.engines.classification.loaded_volume import loaded_slices


def slice_series(slices: CTSlices, number: int) -> dict[str, Any]:
    """A scan's slices, feet to head.

    Args:
        slices: slices of all scans.
        number: the scan's place among ``slices.volumes``.

    Returns:
        image (S, C, H, W) float32 in [0, 1]; depth (S,); slice (S,) array indices; label, the patient's class or -1;
        patient, id.
    """
    first = sum(len(volume.slices) for volume in slices.volumes[:number])
    volume = slices.volumes[number]
    drawn = [slices[first + place] for place in range(len(volume.slices))]
    return {
        "image": torch.stack([sample["image"] for sample in drawn]),
        "depth": torch.stack([sample["depth"] for sample in drawn]),
        "slice": torch.tensor([sample["slice"] for sample in drawn]),
        "label": drawn[0]["label"],
        "patient": volume.patient,
        "id": volume.id,
    }


class SliceSeries(Dataset):
    """The scans of `CTSlices`, one per sample; a loader takes them one at a time, because they differ in length.

    Args:
        slices: of all scans.
        share: numbers of the scans that are samples here; None: all. `shard_indices` where processes divide them.
    """

    def __init__(self, slices: CTSlices, *, share: Sequence[int] | None = None) -> None:
        self.slices = slices
        self.share = list(range(len(slices.volumes)) if share is None else share)

    def __len__(self) -> int:
        return len(self.share)

    def __getitem__(self, place: int) -> dict[str, Any]:
        """See `slice_series`; ``number`` is the scan's among all."""
        number = self.share[place]
        return {**slice_series(self.slices, number), "number": number}


class LoadSlices(Transform):
    """Transform: an item with the paths ``image`` and, chosen by it, ``label`` becomes what `slice_series` gives.

    Args:
        fraction: central part of the scan (or of the organ, with a mask) whose slices are kept, in (0, 1].
        **options: of `monai_cl.data.CTSlices`: ``window``, ``size``, ``pixel_size``, ``neighbours``; and
            ``empty_ends``, see `loaded_slices`, and
            ``intensity``: ``hounsfield``, of scans that are no CT ``percentiles``, or ``by_modality``: of CT HU, of
            others and of PNG and JPEG percentiles, as `modality_slices` takes them.
        modality: of the scans; None, or ``known`` again: nothing says one. A DICOM header that states another is
            refused.
        known: what the network was trained on, as its file of weights says, see `scales_of`; then the modality of each
            scan is chosen by `known_modality`, and pictures have to be known, see `require_known_picture`. None: any.
    """

    def __init__(
        self,
        *,
        fraction: float = 0.7,
        modality: str | Mapping[str, str] | None = None,
        known: str | Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.fraction, self.options = fraction, options
        self.modality = None if modality is None or modality == known else str(modality)
        self.known = None if known is None else scales_of(known)

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        modality, file = self.modality, str(item["image"])
        if self.known is not None and is_picture(file):
            require_known_picture(file, known=self.known, stated=modality)
        elif self.known is not None:
            modality = known_modality(file, known=self.known, stated=modality)
        own = {**item, **({} if modality is None else {"modality": modality})}
        scale = {"intensity": item_intensity(own)} if self.options.get("intensity") == "by_modality" else {}
        slices = loaded_slices(own, fraction=self.fraction, **self.options | scale)
        entry = slices.store.entry()
        series = slice_series(slices, 0)
        return {
            **series,
            "z": torch.as_tensor(entry.affine[2, 2] * series["slice"].numpy() + entry.affine[2, 3]),
            "file": file,
            "mask": str(item.get("label") or ""),
        }


class SeriesInferer(Inferer):
    """Inferer: slices (B, S, C, H, W) through a network of slices, some at a time.

    Args:
        output: the entry of the network's outputs to use: ``embedding`` or ``representation``.
        batch_size: slices at once.

    Raises:
        ValueError: a batch size below 1.
    """

    def __init__(self, *, output: str = "embedding", batch_size: int = 16) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be >= 1, got {batch_size}")
        self.output, self.batch_size = output, int(batch_size)

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        """(B, S, F)."""
        # a deployed network's forward gives one tensor; DistributedDataParallel wraps no other method than forward
        encode = getattr(network, "outputs", network)
        return torch.cat([encode(part, *args, **kwargs)[self.output] for part in inputs.split(self.batch_size, 1)], 1)
