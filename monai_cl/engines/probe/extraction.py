"""Frozen features of slices: one pass of an encoder in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from monai_cl.data.io.result_records import scan_identity
from monai_cl.data.slices.features import UNKNOWN, SliceFeatures, read_features, write_features
from monai_cl.data.slices.pixels import collate_slices
from monai_cl.engines.workflow_types import state_of
from monai_cl.errors import UserError, echo
from monai_cl.jobs import shown
from monai_cl.networks.modes import evaluation_mode
from monai_cl.switches import is_switched_on


def extract_features(
    encoder: nn.Module,
    slices: Dataset | Iterable[Mapping[str, Any]],
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 64,
    workers: int = 0,
    about: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> SliceFeatures:
    """Features of every slice, in the order given; the encoder keeps its modes.

    Args:
        encoder: gives (B, F) for images (B, C, H, W); where it has a method ``represent``, that is called.
        slices: a data set of slices such as `monai_cl.data.CTSlices`, or batches of it (a `DataLoader`). Used keys:
            ``image``, ``patient``, and where present ``label``, ``depth``, ``id`` and ``slice``.
        device: where the encoder is moved to and images are sent.
        batch_size: slices of one forward pass, where ``slices`` is a data set.
        workers: processes that load a data set's slices; 0: this process loads them.
        about: see `SliceFeatures`.
        progress: show a progress bar.

    Raises:
        ValueError: the encoder gives another shape.
        UserError: no slice at all, or features that are not finite (an encoder that diverged).
    """
    batches: Iterable[Mapping[str, Any]]
    if isinstance(slices, Dataset):
        batches = DataLoader(
            slices, batch_size=batch_size, shuffle=False, num_workers=workers, collate_fn=collate_slices
        )
    else:
        batches = slices
    batches = shown(batches, "Features" if progress else None, unit="batch")
    encoder = encoder.to(device)
    represent = getattr(encoder, "represent", encoder)
    rows: dict[str, list] = {name: [] for name in ("features", "patient", "label", "depth", "slice")}
    with evaluation_mode(encoder), torch.inference_mode():
        for batch in batches:
            images = batch["image"].to(device, non_blocking=True)
            features = represent(images)
            if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(images):
                shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
                raise ValueError(f"an encoder must give ({len(images)}, F) for {len(images)} slices, got {shape}")
            rows["features"].append(features.float().cpu().numpy())
            _collect(rows, batch, len(images))
    if not rows["features"]:
        raise UserError("features", expected="at least one slice", found="none")
    features = np.concatenate(rows.pop("features"))
    columns: dict[str, Any] = {name: np.array(values, dtype=object) for name, values in rows.items()}
    return SliceFeatures(features, **columns, about=about or {})


def _collect(rows: dict[str, list], batch: Mapping[str, Any], n: int) -> None:
    """Add a batch's columns, with a default where there is none."""
    before = len(rows["patient"])

    def column(name: str, default: Any) -> list:
        values = batch.get(name)
        if values is None:
            return [default] * n
        return values.tolist() if isinstance(values, Tensor) else list(values)

    rows["patient"] += column("patient", "")
    rows["label"] += column("label", UNKNOWN)
    rows["depth"] += column("depth", float("nan"))
    # numbered where nothing distinguishes them
    ids, numbers = column("id", ""), column("slice", None)
    for offset, (name, number) in enumerate(zip(ids, numbers)):
        rows["slice"].append(f"{name}:{before + offset if number is None else number}")


class FeatureFile:
    """Handler of an evaluator over series of slices whose ``pred`` are representations (1, S, F).

    Args:
        path: the ``.npz`` file, see `monai_cl.data.write_features`.
        about: what made the features; the file also says of which scans they are (:func:`scan_identity`).
        series_part: the acquisition that is taken of each series; recorded.
        overwrite: replace a file with features of other scans.

    Raises:
        UserError: when the run starts: features of other scans are in the file.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        about: Mapping[str, Any] | None = None,
        series_part: str | None = None,
        overwrite: bool | str = False,
    ) -> None:
        self.path, self.about, self.series_part = Path(path), dict(about or {}), series_part
        self.overwrite = is_switched_on("overwrite", overwrite)
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._scans: dict[str, dict[str, str | None]] = {}

    def attach(self, engine: Engine) -> None:
        """Register on an evaluator over a dataset of items with ``id`` and ``image``."""
        engine.add_event_handler(Events.STARTED, self._check)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _check(self, engine: Engine) -> None:
        if self.overwrite or not self.path.exists():
            return
        here = {str(item["id"]): item["image"] for item in state_of(engine).dataloader.dataset.data}
        there = read_features(self.path).about.get("scans") or {"scans that it does not name": {}}
        for name, scan in there.items():
            own = scan_identity(here[name], series_part=self.series_part) if name in here else {}
            if any(own.get(key) != scan.get(key, "") for key in ("sha256", "series_part")):
                raise UserError(
                    self.path,
                    expected="no features, or those of the scans of this run",
                    found=f"those of {name}",
                    remedy="name another output_dir, or pass --overwrite True to replace them",
                )

    def _collect(self, engine: Engine) -> None:
        batch, features = state_of(engine).batch, state_of(engine).output["pred"][0].float().cpu().numpy()
        n = len(features)
        self._scans[batch["id"][0]] = scan_identity(batch["file"][0], series_part=self.series_part)
        names = np.array([f"{batch['id'][0]}:{number}" for number in batch["slice"][0].tolist()])
        patient, label = np.full(n, batch["patient"][0]), np.full(n, int(batch["label"][0]))
        self._parts.append((features, patient, label, batch["depth"][0].numpy(), names))

    def _write(self, engine: Engine) -> None:
        about = {**self.about, "scans": self._scans}
        names = ("features", "patient", "label", "depth", "slice")
        columns: dict[str, Any] = dict(zip(names, map(np.concatenate, zip(*self._parts))))
        features = SliceFeatures(**columns, about=about)
        write_features(self.path, features)
        echo(f"{len(features)} slices of {len(set(features.patient.tolist()))} patients: {self.path}")
