"""The liver mask of a scan to classify: none, a file, a file of a folder, or made by a segmentation bundle."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Transform

from monai_cl.data.datalist.items import reading_options
from monai_cl.data.io.formats import FILE_ENDINGS
from monai_cl.data.io.result_names import result_names
from monai_cl.engines.segmentation.bundle import is_bundle, segment_with_bundle
from monai_cl.engines.segmentation.inference_data import existing_volumes
from monai_cl.engines.segmentation.result_files import ResultFiles
from monai_cl.errors import UserError

logger = logging.getLogger(__name__)


def scan_items(
    volumes: str | Sequence[str],
    *,
    series_part: str | None = None,
    uneven_slices: str = "error",
    output_dir: str | Path | None = None,
    overwrite: bool | str = False,
) -> list[dict[str, str]]:
    """Items of existing scans, each with a unique ``id`` (see `result_names`); one that is given twice is one item.

    Args:
        volumes: files or DICOM series folders; one may be given without a list.
        series_part: the acquisition to take of each series that holds several.
        uneven_slices: ``"error"`` or ``"interpolate"``, of DICOM series.
        output_dir: where `PredictionFiles` will write; None: nothing is known of it.
        overwrite: whether results of other scans, and edited ones, may be replaced there.

    Raises:
        UserError: no scan, a missing one, or a result that may not be replaced.
    """
    paths = existing_volumes(volumes)
    if output_dir is not None:
        # <id>.json is the record and the result
        pictures = ["_gradcam.png"]
        files = ResultFiles(output_dir, postfix="", endings=pictures, series_part=series_part, overwrite=overwrite)
        files.start(paths)
    named = result_names(paths, series_part=series_part)
    options = reading_options({"series_part": series_part, "uneven_slices": uneven_slices})
    return [{"image": path, "id": name, "patient": name, **options} for path, name in named.items()]


class FindLiverMask(Transform):
    """Transform: adds to an item with ``image`` and ``id`` the path ``label`` of its mask and the ``label_map``.

    Args:
        liver_mask: None; the mask file of the only scan; a folder of masks named as the scans (``<id>.nii.gz`` or
            ``<id>_seg.nii.gz``); a folder of a segmentation bundle, or a mapping with that folder as ``bundle`` and
            overrides of its ``inference.yaml`` (``checkpoint``, …), which is then run on every scan.
        liver_label: value of the liver in the masks; None: masks hold nothing else, or the bundle says it.
        volumes: all scans of the run, to check that one mask comes with one scan.
        output_dir: masks that a bundle makes go to ``masks`` in it.
        device: where a bundle runs.
        organ: by whose masks the model's training chose slices, where its list had them, see `from_model`; where
            ``liver_mask`` is None, the log says that this is not done here.

    Raises:
        UserError: a mask that is missing, one file for several scans, a folder that is not a bundle.
    """

    def __init__(
        self,
        liver_mask: str | Path | Mapping[str, Any] | None,
        *,
        liver_label: int | None = None,
        volumes: str | Sequence[str] = (),
        output_dir: str | Path = ".",
        device: torch.device | str = "cpu",
        organ: str | None = None,
    ) -> None:
        if organ and not liver_mask:
            logger.warning(
                "no --liver_mask: slices are chosen from the whole volume; the model was trained on slices chosen by "
                "the mask of the %s, where its data list had one",
                organ,
            )
        self.liver_label, self.output_dir, self.device = liver_label, Path(output_dir), device
        self.bundle: dict[str, Any] = {}
        self.masks: Path | None = None
        if isinstance(liver_mask, Mapping):
            if "bundle" not in liver_mask:
                raise UserError(
                    "liver_mask", expected="the folder of a segmentation bundle as 'bundle'", found=liver_mask
                )
            self.bundle = dict(liver_mask)
        elif liver_mask and is_bundle(liver_mask):
            self.bundle = {"bundle": str(liver_mask)}
        elif liver_mask:
            self.masks = Path(str(liver_mask))
            if not self.masks.exists():
                raise UserError(
                    liver_mask, expected="a liver mask or a folder", found="none", remedy="correct --liver_mask"
                )
            count = 1 if isinstance(volumes, str) else len(volumes)
            if not self.masks.is_dir() and count > 1:
                raise UserError(
                    liver_mask,
                    expected="one scan for one mask",
                    found=count,
                    remedy="give a folder of masks named as the scans",
                )

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        if self.bundle:
            overrides = {key: value for key, value in self.bundle.items() if key != "bundle"}
            read = {key: value for key, value in reading_options(item).items() if value != "error"}
            overrides = read | overrides  # a bundle of earlier versions has no such keys, and says so
            folder = self.output_dir / "masks" / item["id"]
            label: int | None
            mask, written = segment_with_bundle(
                self.bundle["bundle"], item["image"], folder, device=self.device, overrides=overrides
            )
            label = written if self.liver_label is None else self.liver_label
        elif self.masks is not None:
            mask, label = self._of(item, self.masks), self.liver_label
        else:
            return dict(item)
        kept = {key: value for key, value in item.items() if key != "ignore"}  # it is of the label in the list
        return {**kept, "label": str(mask), "label_map": None if label is None else {int(label): 1}}

    def _of(self, item: Mapping[str, Any], masks: Path) -> Path:
        return mask_of(item, masks) if masks.is_dir() else masks


def mask_of(item: Mapping[str, Any], folder: Path) -> Path:
    """The mask of a scan in a folder of masks named as the scans.

    Args:
        item: with ``image`` and ``id``.
        folder: with ``<id>.nii.gz`` or ``<id>_seg.nii.gz``, or another ending.

    Raises:
        UserError: none, or several.
    """
    names = [f"{item['id']}{postfix}{ending}" for ending in FILE_ENDINGS for postfix in ("", "_seg")]
    files = [folder / name for name in names if (folder / name).is_file()]
    if len(files) != 1:
        raise UserError(
            item["image"],
            expected=f"its mask in {folder} as {item['id']}.nii.gz or {item['id']}_seg.nii.gz",
            found=len(files) or "none",
            remedy="give the mask the name of its scan",
        )
    return files[0]
