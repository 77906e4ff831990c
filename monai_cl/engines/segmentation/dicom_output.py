"""Inference's label maps as DICOM SEG beside their NIfTI, for scans that are DICOM series."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform

from monai_cl.data import write_dicom_seg
from monai_cl.data.dicom.kept_series import release
from monai_cl.engines.segmentation.result_files import ResultFiles


class SaveDicomSegd(MapTransform):
    """Save a label map in its image's own space as ``<name>_<postfix>.dcm`` with the series it belongs to.

    To be placed after the transforms that invert and binarise a prediction.

    Args:
        keys: of label maps (1, X, Y, Z) with metadata: affine, and ``filename_or_obj``, the series' folder.
        organs: names of the values 1, 2, …
        output_dir: folder for the files.
        output_postfix: of their names.
        results: names the files, in place of ``output_dir`` and ``output_postfix``.
        model: name of the model, recorded as the algorithm.

    Raises:
        UserError: when called: highdicom is not installed, or the scan is not a DICOM series.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        organs: Sequence[str],
        output_dir: str | Path = ".",
        output_postfix: str = "seg",
        results: ResultFiles | None = None,
        model: str = "monai_cl",
    ) -> None:
        super().__init__(keys)
        self.organs = list(organs)
        self.results = results or ResultFiles(output_dir, postfix=output_postfix)
        self.model = model

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        for key in self.key_iterator(data):
            prediction = data[key]
            source = str(prediction.meta["filename_or_obj"])
            labels = np.asarray(prediction.cpu())[0].round().astype(np.int64)
            series_part = str(prediction.meta.get("series_part") or "") or None
            write_dicom_seg(
                self.results.path(source, ".dcm"),
                labels,
                np.asarray(prediction.affine.cpu()),
                source=source,
                series_part=series_part,
                organs=self.organs,
                model=self.model,
                description=f"Segmentation by {self.model}",
            )
            release(source, None, series_part)
        return dict(data)
