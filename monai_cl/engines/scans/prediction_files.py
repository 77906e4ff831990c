"""Inference on whole scans: from a file to its head box, and what is written of each scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from monai.transforms import Transform

from monai_cl.data import Preparation
from monai_cl.data.boxes.head_boxes import WINDOW
from monai_cl.data.slices.pixels import window_slices
from monai_cl.data.store.conversion import convert
from monai_cl.engines.classification.prediction_files import THRESHOLD, PredictionFiles
from monai_cl.engines.scans.activation_map import volume_activation
from monai_cl.engines.workflow_types import state_of


class LoadHeadBox(Transform):
    """Transform: an item with the path ``image`` becomes its head box, by the code that prepares those of training.

    Args:
        size: (D, H, W) of the box.
        window: (lower, upper) HU.
        find_head: False: the scans are boxes already.
    """

    def __init__(self, *, size: Sequence[int], window: Sequence[float] = WINDOW, find_head: bool = True) -> None:
        depth, height, width = size
        self.preparation = Preparation(
            spacing=None, layout="slices", head_box=(depth, height, width), find_head=find_head
        )
        self.window = (float(window[0]), float(window[1]))

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """image (1, D, H, W) float32 in [0, 1]; z (D,), mm of the slices in the scanner's space; id and file.

        Raises:
            UserError: see `monai_cl.data.store.conversion.convert`: a file that cannot be read, what is not a head CT.
        """
        box = convert(item, self.preparation)
        middle = (np.array(box.image.shape) - 1) / 2
        z = [float(box.affine[2] @ [middle[0], middle[1], k, 1.0]) for k in range(box.image.shape[2])]
        return {
            "image": window_slices(box.image, self.window)[None],
            "z": torch.tensor(z),
            "id": item["id"],
            "file": str(item["image"]),
        }


class ScanPredictionFiles(PredictionFiles):
    """`PredictionFiles` of an evaluator over `LoadHeadBox` whose ``pred`` are the logits of a `ScanClassifier`.

    Beside the probability of class 1 a record has ``findings``, name -> probability, and under ``slices`` those of the
    slices, where the network gives them; slices of the box, feet to head.

    Args:
        finding_names: in the order of the network's outputs.
        **options: of `PredictionFiles`.
    """

    def __init__(self, *, finding_names: Sequence[str] = (), **options: Any) -> None:
        super().__init__(**options)
        self.finding_names = list(finding_names)

    def record(self, engine: Engine) -> dict[str, Any]:
        """What is said of a scan.

        Args:
            engine: the evaluator.
        """
        batch, logits = state_of(engine).batch, state_of(engine).output["pred"]
        probability = {name: value.detach().double().sigmoid()[0].tolist() for name, value in logits.items()}
        whole = probability["target"][0]
        slices = probability.get("slice_findings", [])
        rows = [
            {"slice": number, "z_mm": round(z, 3), "probability": value}
            for number, (z, value) in enumerate(zip(batch["z"][0].tolist(), slices))
        ]
        order = np.argsort(slices, kind="stable")[::-1] if whole >= THRESHOLD else np.argsort(slices, kind="stable")
        return {
            "id": batch["id"][0],
            "file": batch["file"][0],
            "call": self.classes[int(whole >= THRESHOLD)],
            "probability": whole,
            "class": self.classes[1],
            "findings": dict(zip(self.finding_names, probability.get("findings", []))) or None,
            "decisive_slices": [int(number) for number in order[: self.pictures]],
            "slices": rows,
        }

    def picture(self, engine: Engine, scan: Mapping[str, Any]) -> bytes | None:
        """The slices with most of the evidence for the decision.

        Args:
            engine: the evaluator.
            scan: from `record`.
        """
        if not self.pictures or self.draw is None:
            return None
        volume = state_of(engine).output["image"][:1]
        maps = volume_activation(self.network, volume, positive=scan["probability"] >= THRESHOLD)
        chosen = maps.sum((1, 2)).argsort(descending=True, stable=True)[: self.pictures].sort().values.tolist()
        rows = [
            scan["slices"][k] if scan["slices"] else {"slice": k, "probability": scan["probability"]} for k in chosen
        ]
        return self._drawn(volume[0, 0][chosen], maps[chosen], rows, scan)
