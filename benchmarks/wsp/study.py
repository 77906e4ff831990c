"""What is the same for every method, what distinguishes one pre-training from another, and the cohort."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange

from monai_cl.engines.launch.method_parts import method_files
from monai_cl.report.method_tables import METHODS as LABELS
from monai_cl.shipped import shipped_folder
from wsp.arrays import CirrhosisSlices, cirrhosis_slices

BUNDLE = shipped_folder("bundles") / "wsp_ct_pretraining"
FILES = {name: file for name, file in method_files(BUNDLE).items() if name != "supervised"}
NAMES = {name: LABELS.get(name, name) for name in sorted(FILES, key=[*LABELS, *FILES].index)}
METHODS = ("random", *NAMES)
SIGMAS = (0.01, 0.1, 0.2, 0.5)
TEMPERATURES = (0.05, 0.1, 0.5)


@dataclass(frozen=True)
class Study:
    """Everything that is the same for all methods."""

    size: int = 156  # pixels per side
    width: float = 0.5  # of TinyNet
    patients: int = 1000  # with a grade
    biopsies: int = 500  # with histology
    cohort_seed: int = 2026
    batch: int = 64  # patients, one slice each, two views
    steps: int = 320
    warmup: int = 20
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    head_norm: bool = True  # batch norm in the head: leaves the plateau at once, see docs/results.md
    momentum: float = 0.97  # of a momentum target at the first step: .996 hardly moves in a few hundred
    probability: float = 0.05  # of each of the five views, and their ranges: with the paper's, hundreds of steps teach
    crop_area: float = 0.8  # not even cross-entropy to predict the grades
    shift: float = 0.05
    angle: float = 10.0
    bf16: bool = True  # convolutions; standardisation, head and loss are float32

    @property
    def views(self) -> dict[str, Any]:
        """Options of `SliceViews`."""
        ranges = {"crop_area": (self.crop_area, 1.0), "crop_ratio": (0.95, 1.05)}
        return {"probability": self.probability, "shift": self.shift, "angle": self.angle, **ranges}


@dataclass(frozen=True)
class Job:
    """One pre-training."""

    method: str
    seed: int
    sigma: float = 0.1
    temperature: float = 0.1

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"{self.method}-sigma{self.sigma:g}-tau{self.temperature:g}-{self.seed}"


def own_temperature(method: str, temperature: float) -> dict[str, float]:
    """The temperature, for a method that has one."""
    has_one = method in FILES and "@temperature" in FILES[method].read_text(encoding="utf-8")
    return {"temperature": temperature} if has_one else {}


def cohort(folder: Path, study: Study, name: str) -> CirrhosisSlices:
    """Slices of the cohort "grades" or "histology", made once."""
    path = folder / f"{name}.npz"
    if not path.exists():
        count = study.patients if name == "grades" else study.biopsies
        slices = cirrhosis_slices(study.cohort_seed, count, cohort=name, size=study.size, progress=True)
        slices.save(path)
    return CirrhosisSlices.load(path)


def images(slices: CirrhosisSlices, rows: np.ndarray) -> torch.Tensor:
    """(n, 1, H, W) in [0, 1]."""
    return rearrange(torch.from_numpy(slices.images[rows]).float().div_(255), "n h w -> n 1 h w")
