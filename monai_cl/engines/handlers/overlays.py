"""Pictures of validation cases: image, truth and prediction, in the original image space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from ignite.engine import Engine, Events
from nibabel.orientations import apply_orientation, io_orientation

from monai_cl.data import read_volume
from monai_cl.data.io.ct_reader import reading_of
from monai_cl.data.io.result_names import file_name
from monai_cl.engines.workflow_types import state_of
from monai_cl.files import write_atomically
from monai_cl.processes import writes


class OverlayPictures:
    """Handler: draws the first ``count`` cases of a validation as PNG; those of the last validation stay.

    A `RunRecorder` that is given this handler names the files in ``results.json`` and shows them in TensorBoard.

    Args:
        draw: `monai_cl.report.overlay_figure`; handed in by the config, so that engines do not depend on the report.
        output_dir: the run's folder; pictures go to its ``overlays``.
        labels: id -> organ name.
        window: HU range of the picture, where the image does not say its own (`monai_cl.data.ScanIntensityd`).
        count: cases drawn; 0 switches the pictures off.
        is_writer: whether this process writes; by default rank 0 does.
    """

    def __init__(
        self,
        *,
        draw: Callable,
        output_dir: str | Path,
        labels: Mapping[int, str],
        window: Sequence[float] = (-150.0, 250.0),
        count: int = 2,
        is_writer: bool | None = None,
    ) -> None:
        self.draw, self.folder = draw, Path(output_dir) / "overlays"
        self.files: list[Path] = []
        self.labels, self.window = dict(labels), tuple(window)
        self.count, self.is_writer = int(count), writes(is_writer)

    def attach(self, engine: Engine) -> None:
        """Register on an evaluator whose post-processing leaves ``pred`` and ``label`` in the original space."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if not self.is_writer or engine.state.iteration > self.count:
            return
        for item, output in zip(state_of(engine).batch, state_of(engine).output):
            source = Path(item["image"].meta["filename_or_obj"])
            volume = read_volume(source, **reading_of(item["image"].meta))
            orientation = io_orientation(volume.affine)
            arrays = [
                apply_orientation(np.asarray(a), orientation)
                for a in (volume.array, output["label"][0].cpu(), output["pred"][0].cpu())
            ]
            spacing = nib.affines.voxel_sizes(volume.affine)[np.argsort(orientation[:, 0])]
            window = tuple(item["image"].meta.get("window", self.window))  # of scans that are not CT their own
            png = self.draw(*arrays, spacing=spacing, labels=self.labels, window=window)
            path = self.folder / f"{file_name(str(item['id']))}.png"
            write_atomically(path, png)
            if path not in self.files:
                self.files.append(path)
