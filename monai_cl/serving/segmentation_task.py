"""Segmentation of a scan for a viewer, and the same with dropout for its uncertainty."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import AsDiscreted, Invertd, SaveImaged
from monailabel.tasks.infer.bundle import BundleInferTask

from monai_cl.data.io.formats import NIFTI
from monai_cl.data.io.nifti_output import write_volume
from monai_cl.data.io.reading import Volume
from monai_cl.data.io.rectify import sheared_message
from monai_cl.errors import UserError

logger = logging.getLogger(__name__)


class SegmentationTask(BundleInferTask):
    """A bundle's ``inference.yaml``: a label map in the scan's own space. Weights that do not fit are an error."""

    def __init__(self, path: str, conf: Mapping[str, str]) -> None:
        super().__init__(path, conf, load_strict=True)

    def writer(self, data: dict[str, Any], extension: str | None = None, dtype: Any = None) -> tuple[Any, Any]:
        """As MONAI Label's, as integers unless the client asks otherwise; NIfTI is written by :func:`write_volume`.

        MONAI Label's own writer drops the shear of a tilted gantry.
        """
        dtype = dtype or data.get("result_dtype") or np.uint8
        file, answer = super().writer(data, extension=extension, dtype=dtype)
        if file is not None and str(file).lower().endswith(NIFTI.endings):
            label, image = data[self.output_label_key], data.get("image_meta_dict") or {}
            affine = np.asarray(label.affine if isinstance(label, MetaTensor) else image["affine"], dtype=float)
            volume = Volume(np.asarray(label).astype(dtype), affine)
            remedy = "`python -m monai_cl convert --rectify` writes such a scan at right angles"
            if said := sheared_message(data.get("image_path"), affine, remedy=remedy):
                logger.warning(said)
            if volume.array.ndim == 3:
                write_volume(file, volume)
        return file, answer


# ending of a config's network -> its option; the second in the apps of earlier versions
_DROPOUT = {"segmentation_network": "dropout", "UNETR": "dropout_rate"}


class DropoutTask(BundleInferTask):
    """One pass of a segmentation with dropout switched on: class probabilities (C, H, W, D) on the network's grid.

    MONAI Label sets ``dropout`` of the network, whatever its network calls it. And MONAI Label leaves the last step,
    argmax, in place, whose label numbers are not probabilities, so that their entropy is meaningless.

    Args:
        rate: of the dropout; of a UNETR in its transformer.

    Raises:
        UserError: a rate outside (0, 1), or a network without this option.
    """

    def __init__(self, path: str, conf: Mapping[str, str], *, rate: float = 0.2) -> None:
        if not 0 < rate < 1:
            raise UserError("uncertainty_dropout", expected="a rate above 0 and below 1", found=rate)
        self.rate = rate
        super().__init__(
            path,
            conf,
            load_strict=True,
            add_post_restore=False,
            train_mode=True,
            skip_writer=True,
            post_filter=[AsDiscreted, Invertd, SaveImaged],
        )

    def _load_bundle_config(self, path: str, config: str) -> ConfigParser:
        parser = super()._load_bundle_config(path, config)
        network = parser["network_def"]
        target = str(network.get("_target_", ""))
        option = next((option for ending, option in _DROPOUT.items() if target.endswith(ending)), None)
        if option is None:
            raise UserError(config, expected=f"{' or '.join(_DROPOUT)}, whose dropout is known", found=target)
        network[option] = self.rate
        return parser
