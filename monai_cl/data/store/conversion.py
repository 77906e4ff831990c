"""One item of a data list to the arrays the store keeps: RAS, resampled, int16 HU, labels in the list's own ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from monai_cl.data.datalist.items import holds_hounsfield, reading_options
from monai_cl.data.io.fingerprint import rounded, scan_fingerprint
from monai_cl.data.io.label_reading import read_label
from monai_cl.data.io.modality import HOUNSFIELD, header_modality, intensity_fault
from monai_cl.data.io.reading import Volume, read_volume, to_ras
from monai_cl.data.store.resampling import resample
from monai_cl.transforms.hounsfield import hounsfield_fault, refuse
from monai_cl.transforms.scan_scale import SCALES, scale_range, scaled
from monai_cl.transforms.volume.head_box import head_box

LAYOUTS = ("volume", "slices")
INTENSITIES = (HOUNSFIELD, *SCALES, "modality")
# raise when a change of this code makes other voxels out of the same source
_REVISION = 1


@dataclass(frozen=True)
class Preparation:
    """How sources become stored volumes; its digest is part of every key, so another preparation is another entry.

    Args:
        spacing: mm for the RAS axes, or None to keep the volume's own.
        layout: ``"volume"`` for crops, ``"slices"`` for axial slices.
        antialias: average over the output voxel when going coarser (linear as the paper otherwise).
        uneven_slices: ``"error"`` or ``"interpolate"``, for DICOM series.
        intensity: ``"hounsfield"``: the values of a CT, which are checked; ``"percentiles"``: of MR and others, whose
            units differ from scan to scan, the 1st and 99th percentile of each become 0 and 1000, and values beyond are
            clipped; ``"zscore"``: mean ± 4 standard deviations of its body become that, see
            `monai_cl.transforms.scan_scale`. ``"modality"``: of each item, hounsfield or percentiles, as its modality
            asks for (see :meth:`of`).
        head_box: (D, H, W): the box around the head, in so many voxels, in place of the whole scan, see
            `monai_cl.transforms.head_box`; needs ``spacing=None``. Labels are left out.
        find_head: False: the scans are such boxes already.
    """

    spacing: tuple[float, float, float] | None = (1.5, 1.5, 2.0)
    layout: str = "volume"
    antialias: bool = False
    uneven_slices: str = "error"
    intensity: str = "hounsfield"
    head_box: tuple[int, int, int] | None = None
    find_head: bool = True

    def __post_init__(self) -> None:
        if self.spacing is not None:
            spacing = tuple(float(step) for step in self.spacing)
            if len(spacing) != 3 or not all(np.isfinite(step) and step > 0 for step in spacing):
                raise ValueError(f"spacing must be three lengths > 0 mm or None, got {self.spacing}")
            object.__setattr__(self, "spacing", spacing)
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {LAYOUTS}, got {self.layout!r}")
        if not isinstance(self.antialias, bool):
            raise ValueError(f"antialias must be True or False, got {self.antialias!r}")
        if self.uneven_slices not in ("error", "interpolate"):
            raise ValueError(f'uneven_slices must be "error" or "interpolate", got {self.uneven_slices!r}')
        if self.intensity not in INTENSITIES:
            raise ValueError(f"intensity must be one of {INTENSITIES}, got {self.intensity!r}")
        if self.head_box is not None:
            size = tuple(int(edge) for edge in self.head_box)
            if len(size) != 3 or min(size) < 1 or self.spacing is not None:
                raise ValueError(f"head_box must be three numbers >= 1, with spacing None, got {self.head_box}")
            object.__setattr__(self, "head_box", size)

    def of(self, item: Mapping[str, Any]) -> Preparation:
        """The preparation of one item: with ``intensity="modality"``, hounsfield for CT and percentiles for others.

        Args:
            item: of a data list, see :func:`monai_cl.data.datalist.items.holds_hounsfield`; one that states its own
                ``intensity`` (see `monai_cl.engines.read_list`) has that.
        """
        intensity = item.get("intensity") or (item_intensity(item) if self.intensity == "modality" else self.intensity)
        return self if intensity == self.intensity else replace(self, intensity=intensity)

    @property
    def digests(self) -> tuple[str, ...]:
        """:attr:`digest` of every preparation that :meth:`of` gives."""
        if self.intensity != "modality":
            return (self.digest,)
        return tuple(replace(self, intensity=intensity).digest for intensity in (HOUNSFIELD, "percentiles"))

    @property
    def parameters(self) -> dict[str, Any]:
        """Its fields, without those that earlier versions did not have where they say the same as these versions."""
        fields = asdict(self)
        if self.intensity == "hounsfield":
            del fields["intensity"]
        if self.head_box is None:
            del fields["head_box"], fields["find_head"]
        return fields

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that differ between preparations."""
        content = json.dumps([_REVISION, self.parameters], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Converted:
    """Arrays (X, Y, Z) in RAS: ``image`` int16 (HU, or see `Preparation`), ``label`` uint8 or int16 or None,
    ``affine`` voxel -> mm. ``fingerprint`` is that of the scan as it was read (:func:`scan_fingerprint`)."""

    image: np.ndarray
    label: np.ndarray | None
    affine: np.ndarray
    fingerprint: str


def item_intensity(item: Mapping[str, Any]) -> str:
    """``"hounsfield"`` or ``"percentiles"``, as the modality and the format of an item ask for; see `Preparation`."""
    return "hounsfield" if holds_hounsfield(item) else "percentiles"


def common_intensity(items: Iterable[Mapping[str, Any]]) -> str:
    """The intensity of a preparation that suits all items: ``"modality"`` where they differ; see `Preparation`.

    Args:
        items: of data lists.
    """
    kinds = {item_intensity(item) for item in items} or {"hounsfield"}
    return kinds.pop() if len(kinds) == 1 else "modality"


def convert(item: Mapping[str, Any], preparation: Preparation, *, stored: Converted | None = None) -> Converted:
    """Read and convert the image, and the label if the item has one.

    HU are rounded and clipped to int16 (−32768..32767), which no CT value exceeds but metal and padding of broken
    exports do; nothing else is clipped, the window is the patches' business. Label values are first mapped by
    ``item["label_map"]`` (file value -> id of the list, others 0) and ``item["ignore"]`` (to `IGNORED`), then resampled
    by nearest neighbour.

    Args:
        item: of a data list.
        preparation: how.
        stored: the image as an earlier conversion gave it, whose label does not matter: it is not made again.

    Raises:
        UserError: as :func:`read_volume` and :func:`read_label`; what is no CT in HU (see :func:`hounsfield_fault`);
            a DICOM header that states another modality, or CT where scans are not scaled as CT.
    """
    preparation = preparation.of(item)
    options = {"uneven_slices": preparation.uneven_slices} | reading_options(item)
    labelled = bool(item.get("label")) and preparation.head_box is None
    if stored is None or labelled:
        volume = read_volume(item["image"], **options)
    header = header_modality(item["image"])
    refuse(intensity_fault(preparation.intensity, item.get("modality"), header), item["image"])
    converted = _image(volume, preparation) if stored is None else stored
    if not labelled:
        return converted
    label = to_ras(
        read_label(
            item["label"],
            image=item["image"],
            grid=volume.grid,
            label_map=item.get("label_map"),
            ignore=item.get("ignore"),
            uneven_slices=options["uneven_slices"],
            series_part=options.get("series_part"),
        )
    )
    if preparation.spacing is not None:
        label = resample(label, preparation.spacing, mode="nearest")
    return replace(converted, label=np.ascontiguousarray(label.array))


def _image(image: Volume, preparation: Preparation) -> Converted:
    """The image of a volume as it was read."""
    fingerprint = scan_fingerprint(image)
    if preparation.intensity == HOUNSFIELD:
        refuse(hounsfield_fault(image.array), image.path)
    else:
        array = image.array.astype(np.float32)
        image = replace(image, array=scaled(array, scale_range(array, preparation.intensity, where=image.path)))
    image = to_ras(image)
    if preparation.head_box is not None:
        size, find = preparation.head_box, preparation.find_head
        box = head_box(image.array, image.affine, size=size, find=find, where=image.path)
        image = Volume(*box, image.path)
    if preparation.spacing is not None:
        image = resample(image, preparation.spacing, antialias=preparation.antialias)
    array = np.ascontiguousarray(rounded(image.array))
    return Converted(image=array, label=None, affine=image.affine, fingerprint=fingerprint)
