"""Frozen features of scans, collected while an evaluator runs and written at its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from monai_cl.data import SliceFeatures, write_features


class FeatureFile:
    """Handler of an evaluator over series of slices whose ``pred`` are representations (1, S, F).

    Args:
        path: the ``.npz`` file, see `monai_cl.data.write_features`.
        about: what made the features.
    """

    def __init__(self, path: str | Path, *, about: Mapping[str, Any] | None = None) -> None:
        self.path, self.about = Path(path), dict(about or {})
        self._parts: list[tuple[np.ndarray, ...]] = []

    def attach(self, engine: Engine) -> None:
        """Register on an evaluator."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _collect(self, engine: Engine) -> None:
        batch, features = engine.state.batch, engine.state.output["pred"][0].float().cpu().numpy()
        n = len(features)
        names = np.array([f"{batch['id'][0]}:{number}" for number in batch["slice"][0].tolist()])
        patient, label = np.full(n, batch["patient"][0]), np.full(n, int(batch["label"][0]))
        self._parts.append((features, patient, label, batch["depth"][0].numpy(), names))

    def _write(self, engine: Engine) -> None:
        features = SliceFeatures(*(np.concatenate(column) for column in zip(*self._parts)), about=self.about)
        write_features(self.path, features)
        print(f"{len(features)} slices of {len(set(features.patient.tolist()))} patients: {self.path}")
