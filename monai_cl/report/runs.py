"""The runs of a report: found on disk, named unambiguously."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from monai_cl.data.records.results import FILE_NAME, read_results
from monai_cl.errors import UserError

SCRATCH = "scratch"
# words in a data list's name or source that mark computed images
_SYNTHETIC = ("synthetic", "phantom", "simulated")


@dataclass(frozen=True)
class Run:
    """One ``results.json`` and the place it lies in."""

    path: Path
    results: dict[str, Any]

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def kind(self) -> str:
        return self.results["kind"]

    @property
    def name(self) -> str:
        return self.results["name"]

    @property
    def seed(self) -> int:
        return self.results["seed"]

    @property
    def title(self) -> str:
        """Name and seed."""
        return self.name if self.name.endswith(f"seed {self.seed}") else f"{self.name}, seed {self.seed}"

    @property
    def initialisation(self) -> str:
        return self.results["initialisation"]

    @property
    def is_pretrained(self) -> bool:
        """Whether tensors of an encoder were loaded: as counted in the record.

        Earlier versions did not count, and loaded none where another ``network_def`` was given.
        """
        if "encoder" in self.results:
            encoder = self.results["encoder"]
            return encoder is not None and sum(encoder["tensors"].values()) > 0
        network = self.results["config"].get("network_def")
        replaced = isinstance(network, Mapping) and "pretrained_encoder" not in network
        return self.initialisation != SCRATCH and not (self.kind == "segmentation" and replaced)

    @property
    def data_list(self) -> dict[str, Any]:
        return self.results["data_list"]

    @property
    def fold(self) -> int | None:
        return self.data_list.get("fold")

    @property
    def label_fraction(self) -> float:
        fraction = self.data_list.get("label_fraction")
        return 1.0 if fraction is None else float(fraction)

    @property
    def labelled(self) -> tuple[int, int | None]:
        """Scans whose labels were trained with, and how many of the training part have one (None: not recorded)."""
        used = self.data_list.get("labelled_scans", len(self.data_list.get("training_cases") or ()))
        return used, self.data_list.get("available_labels", self.data_list.get("scans"))

    @property
    def data_name(self) -> str:
        return str(self.data_list.get("name") or posix(self.data_list.get("path") or "unnamed data list").stem)

    @property
    def data_key(self) -> tuple[str, float]:
        """What must agree for two runs to be comparable: content of the list and share of its labels."""
        return str(self.data_list.get("sha256") or self.data_list.get("path")), self.label_fraction

    @property
    def per_case(self) -> list[dict[str, Any]]:
        return (self.results.get("metrics") or {}).get("per_case") or []

    @property
    def is_synthetic(self) -> bool:
        if self.data_list.get("synthetic") is True:
            return True
        words = " ".join(str(self.data_list.get(key) or "") for key in ("name", "source"))
        words += f" {posix(self.data_list.get('path') or '').name} {' '.join(self.data_list.get('datasets') or ())}"
        return any(word in words.lower() for word in _SYNTHETIC)


def find_runs(*paths: str | os.PathLike) -> list[Run]:
    """Read the runs named by ``paths``: result files, folders of runs, or folders with runs somewhere below.

    Args:
        *paths: result files, or folders of runs, or folders that hold runs at any depth.

    Returns:
        pre-training runs, then segmentations from scratch, then the others, then classifications.

    Raises:
        UserError: when none is given, a path holds no results, or results cannot be read.
    """
    if not paths:
        raise UserError("expected at least one run folder (with a results.json), found none")
    files: dict[Path, Path] = {}
    for path in map(Path, paths):
        for file in _result_files(path):
            files.setdefault(file.resolve(), file)
    runs = [Run(path=file, results=read_results(file)) for file in files.values()]
    # runs come in the given order, but pre-training first and scratch before what it is compared with
    return sorted(
        runs, key=lambda run: (run.kind != "pretraining", run.kind == "classification", run.initialisation != SCRATCH)
    )


def _result_files(path: Path) -> list[Path]:
    file = path / FILE_NAME if path.is_dir() else path
    if (file.is_file() or not path.is_dir()) and read_results(file)["kind"] != "demo":
        return [file]
    # a folder of runs, or a demonstration: its own file sums up the runs below it
    below = {other: read_results(other) for other in sorted(file.parent.rglob(FILE_NAME)) if other != file}
    files = [other for other, results in below.items() if results["kind"] != "demo"]
    # folders of a study are named by hashes
    files.sort(key=lambda other: (below[other]["name"], below[other]["seed"]))
    if not files:
        raise UserError(
            path, expected=f"{FILE_NAME} of a run in it or below it", found="none", remedy="give a run's folder"
        )
    return files


def posix(path: str) -> PurePosixPath:
    """A path written on any system (a report may be made elsewhere than the run)."""
    return PurePosixPath(str(path).replace("\\", "/"))
