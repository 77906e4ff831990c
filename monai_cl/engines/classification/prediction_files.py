"""The output of inference for every scan: probability, probability of every slice, pictures of the decisive slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from monai_cl.data.io.result_records import read_record, scan_identity, write_record
from monai_cl.data.records.csv_rows import csv_text
from monai_cl.engines.classification.activation_maps import class_activation
from monai_cl.engines.classification.patient_auc import slice_probabilities
from monai_cl.engines.workflow_types import state_of
from monai_cl.errors import echo
from monai_cl.files import write_atomically

THRESHOLD = 0.5


def decisive_slices(probability: np.ndarray, *, count: int) -> np.ndarray:
    """The slices that support the scan's class most, the most decisive first: highest, or lowest, probabilities."""
    order = np.argsort(probability, kind="stable")
    return (order[::-1] if probability.mean() >= THRESHOLD else order)[:count]


def scan_record(
    batch: Mapping[str, Any], logits: torch.Tensor, *, classes: Sequence[str], decisive: int
) -> dict[str, Any]:
    """The result of a scan after inference, as JSON can hold it.

    Args:
        batch: one scan of `LoadSlices`, collated: ``slice``, ``z`` and ``depth`` (1, S), ``id``, ``file``, ``mask``.
        logits: (1, S, 1).
        classes: names of class 0 and 1.
        decisive: how many slices to name as the most decisive ones.
    """
    probability = slice_probabilities(logits)
    mean = float(probability.mean())
    columns = (batch[key][0].tolist() for key in ("slice", "z", "depth"))
    rows = [
        {"slice": number, "z_mm": round(z, 3), "depth": round(depth, 6), "probability": float(p)}
        for number, z, depth, p in zip(*columns, probability)
    ]
    return {
        "id": batch["id"][0],
        "file": batch["file"][0],
        "liver_mask": batch["mask"][0] or None,
        "call": classes[int(mean >= THRESHOLD)],
        "probability": mean,
        "class": classes[1],
        "decisive_slices": [rows[i]["slice"] for i in decisive_slices(probability, count=decisive)],
        "slices": rows,
    }


def _predictions_in(folder: Path) -> list[dict[str, Any]]:
    """The records of earlier runs, in the order of their ids."""
    needed = {"id", "file", "probability", "call", "slices", "checkpoint"}
    records = [read_record(file) for file in sorted(folder.glob("*.json"))]
    return [record for record in records if record is not None and needed <= record.keys()]


class PredictionFiles:
    """Handler of an evaluator over `LoadSlices` whose ``pred`` are a classifier's logits (1, S, 1).

    Writes ``<id>.json``, which also says whose it is (`write_record`), and ``<id>_gradcam.png`` of every scan,
    ``predictions.csv`` (one row per scan) and ``slices.csv`` (one row per slice), each as soon as a scan is done: a
    damaged scan later loses nothing. The tables keep the scans of earlier runs whose ``<id>.json`` are in the folder.

    Args:
        network: the classifier.
        output_dir: folder for the files.
        classes: names of class 0 and 1.
        checkpoint: of the classifier; recorded.
        draw: `monai_cl.report.class_activation_figure`; handed in, so that engines do not depend on the report.
        pictures: decisive slices in a picture; 0: no pictures.
        layer: see `class_activation`.
        series_part: the acquisition that is taken of each series; recorded.
    """

    def __init__(
        self,
        *,
        network: Any,
        output_dir: str | Path,
        classes: Sequence[str] = ("class 0", "class 1"),
        checkpoint: str | Path | None = None,
        draw: Callable[..., bytes] | None = None,
        pictures: int = 4,
        layer: str | None = None,
        series_part: str | None = None,
    ) -> None:
        if len(classes) != 2:
            raise ValueError(f"classes must name class 0 and 1, got {list(classes)}")
        if pictures < 0:
            raise ValueError(f"pictures must be >= 0, got {pictures}")
        self.network, self.output_dir, self.classes = network, Path(output_dir), tuple(map(str, classes))
        self.checkpoint, self.draw, self.pictures, self.layer = checkpoint, draw, int(pictures), layer
        self.series_part = series_part
        self.scans: list[dict[str, Any]] | None = None

    def attach(self, engine: Engine) -> None:
        """Register on an evaluator."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._scan)

    def record(self, engine: Engine) -> dict[str, Any]:
        """What is said of the scan that an evaluator has just processed, see `scan_record`.

        Args:
            engine: the evaluator.
        """
        logits = state_of(engine).output["pred"]
        return scan_record(state_of(engine).batch, logits, classes=self.classes, decisive=self.pictures)

    def picture(self, engine: Engine, scan: Mapping[str, Any]) -> bytes | None:
        """The picture of the decisive slices; None where there is none of them.

        Args:
            engine: the evaluator.
            scan: from `record`.
        """
        chosen = decisive_slices(slice_probabilities(state_of(engine).output["pred"]), count=self.pictures)
        if not len(chosen) or self.draw is None:
            return None
        images = state_of(engine).output["image"][0][chosen.tolist()]
        rows = [scan["slices"][i] for i in chosen]
        maps = class_activation(self.network, images, positive=scan["probability"] >= THRESHOLD, layer=self.layer)
        return self._drawn(images[:, images.shape[1] // 2], maps, rows, scan)

    def _drawn(self, images: Any, maps: Any, rows: Sequence[Mapping[str, Any]], scan: Mapping[str, Any]) -> bytes:
        """Slices (n, H, W) and their maps as a picture, with the probabilities of ``rows``."""
        assert self.draw is not None
        titles = [f"slice {row['slice']}: {row['probability']:.2f}" for row in rows]
        mean, call = scan["probability"], scan["call"]
        title = f"probability of {self.classes[1]} {mean:.2f}; evidence for {call}"
        return self.draw(images.cpu().numpy(), maps.cpu().numpy(), titles=titles, title=title)

    def _scan(self, engine: Engine) -> None:
        scan = {
            **self.record(engine),
            "checkpoint": None if self.checkpoint is None else str(self.checkpoint),
            "picture": None,
        }
        content = self.picture(engine, scan)
        if content is not None:
            scan["picture"] = f"{scan['id']}_gradcam.png"
            write_atomically(self.output_dir / scan["picture"], content)
        if self.scans is None:
            self.scans = _predictions_in(self.output_dir)
        self.scans = [one for one in self.scans if one["id"] != scan["id"]] + [scan]
        identity = scan_identity(scan["file"], series_part=self.series_part)
        pictures = [self.output_dir / scan["picture"]] if scan["picture"] else []
        write_record(self.output_dir / f"{scan['id']}.json", identity, pictures, more=scan)
        self._tables()
        probability, count = scan["probability"], len(scan["slices"])
        echo(f"{scan['id']}: probability of {self.classes[1]} {probability:.3f}, {count} slices")

    def _tables(self) -> None:
        scans = [
            {
                "id": scan["id"],
                "file": scan["file"],
                "probability": float(scan["probability"]),
                "call": scan["call"],
                "n_slices": len(scan["slices"]),
                **{name: float(value) for name, value in (scan.get("findings") or {}).items()},
                "checkpoint": scan["checkpoint"],
            }
            for scan in self.scans or ()
        ]
        slices = [
            {"id": scan["id"], **row, "probability": float(row["probability"])}
            for scan in self.scans or ()
            for row in scan["slices"]
        ]
        for name, rows in (("predictions.csv", scans), ("slices.csv", slices)):
            if rows:
                columns = list(dict.fromkeys(column for row in rows for column in row))
                write_atomically(self.output_dir / name, csv_text(columns, rows).encode("utf-8"))
