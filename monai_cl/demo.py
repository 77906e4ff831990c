"""The demonstration: MixCL and WSP on synthetic CT, from a cohort through pre-training to Dice, AUC and a report.

Every step is a command a user could type; each is printed, with its seed, before it runs.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.json_files import read_json
from monai_cl.data.records.results import read_results, run_record, write_results
from monai_cl.errors import UserError, echo
from monai_cl.files import write_atomically
from monai_cl.shipped import bundle_folder


@dataclass(frozen=True)
class DemoSize:
    """The sizes of the demonstration: overrides of the bundles' own keys, nothing else."""

    cases: int = 15  # per data set
    spacing: float = 5.0  # mm
    patch: int = 32
    pretrain_iterations: int = 600
    spleen_iterations: int = 300
    spleen_labels: int = 1  # labelled cases
    organs_iterations: int = 800
    organs_labels: int = 3
    network: dict[str, int] = field(
        default_factory=lambda: {"feature_size": 8, "hidden_size": 48, "mlp_dim": 96, "num_heads": 4}
    )
    preset: str = "hybrid"
    pretrain_learning_rate: float = 1e-3
    finetune_learning_rate: float = 3e-3
    graded: int = 240  # synthetic cirrhosis patients with a grade
    biopsies: int = 120
    slice_iterations: int = 240
    slice_batch: int = 32
    slice_network: dict[str, Any] = field(default_factory=lambda: {"image_size": 160, "width": 0.25, "num_workers": 0})

    def overrides(self) -> list[str]:
        """The options that every bundle gets."""
        spacing, patch = [self.spacing] * 3, [self.patch] * 3
        options = {"spacing": spacing, "patch_size": patch, "num_workers": 0, **self.network}
        return [word for key, value in options.items() for word in (f"--{key}", json.dumps(value))]


class Demo:
    """Runs the demonstration in a folder; a step whose results exist is not run again.

    ``demo.json`` in the folder holds the seed and the size that they were made with; others are refused.
    """

    def __init__(self, output: str | Path, *, seed: int, size: DemoSize) -> None:
        self.output, self.seed, self.size = Path(output).resolve(), int(seed), size

    def run(self) -> dict[str, Any]:
        """Run all steps; returns what is written to ``results.json``."""
        started = time.monotonic()
        self._claim()
        (self.output / "logs").mkdir(parents=True, exist_ok=True)
        cohort = self.output / "cohort"
        if not cohort.is_dir():
            self._command(
                "phantom",
                *("phantom", "--output", str(cohort), "--cases", str(self.size.cases), "--seed", str(self.seed)),
                *("--spacing", str(self.size.spacing), "--workers", str(_cores())),
            )
        pretraining = self.output / "pretraining"
        if not (pretraining / "results.json").is_file():
            options = ["--preset", self.size.preset, "--iterations", str(self.size.pretrain_iterations)]
            options += ["--learning_rate", str(self.size.pretrain_learning_rate)]
            self._bundle("mixcl_ct_pretraining", pretraining, cohort, "pretraining.json", _cores(), *options)
        encoder = self.output / "encoder.pt"
        if not encoder.is_file():
            self._command("export_encoder", "export_encoder", str(pretraining / "model.pt"), "--output", str(encoder))
        size = self.size
        targets = (
            ("spleen_unetr_segmentation", "spleen.json", "spleen", size.spleen_labels, size.spleen_iterations),
            ("btcv_unetr_segmentation", "target.json", "organs", size.organs_labels, size.organs_iterations),
        )
        jobs = [(*target, start) for target in targets for start in ("scratch", "pretrained")]
        folders = [self.output / f"{name}-{start}" for _, _, name, _, _, start in jobs]
        # one core per run, runs side by side: small networks gain nothing from two cores
        with ThreadPoolExecutor(max_workers=_cores()) as pool:
            for done in [pool.submit(self._finetune, *job, encoder, cohort) for job in jobs]:
                done.result()
        slice_runs = self._slices()
        report = str(self.output / "report.html")
        self._command("report", "report", str(pretraining), *map(str, folders + slice_runs), "--output", report)
        return self._summary(folders, slice_runs[1:], time.monotonic() - started)

    def _claim(self) -> None:
        """Record what runs in the folder, or check it against the existing record.

        Raises:
            UserError: another seed or size, or steps without a description.
        """
        path = self.output / "demo.json"
        settings = json.loads(json.dumps({"seed": self.seed, **asdict(self.size)}))
        remedy = "name another folder with --output"
        if not path.exists():
            if any(self.output.glob("*/results.json")) or (self.output / "cohort").exists():
                raise UserError(
                    path, expected="the seed and the size of the steps in this folder", found="none", remedy=remedy
                )
            write_atomically(path, (json.dumps(settings, indent=1) + "\n").encode())
            return
        recorded = read_json(path, what="demonstration")
        if not isinstance(recorded, dict) or recorded.keys() != settings.keys():
            raise UserError(path, expected="the seed and the size of a demonstration", found="others", remedy=remedy)
        differing = [key for key in settings if recorded[key] != settings[key]]
        if differing:
            listed = [", ".join(f"{key} {content[key]}" for key in differing) for content in (settings, recorded)]
            raise UserError(path, expected=listed[0], found=listed[1], remedy=remedy)

    def _slices(self) -> list[Path]:
        """WSP on the synthetic cirrhosis cohort: pre-training, then a probe on its encoder and on an untrained one."""
        size, cohort = self.size, self.output / "cirrhosis"
        if not cohort.is_dir():
            self._command(
                "cirrhosis",
                *("cirrhosis", "--output", str(cohort), "--patients", str(size.graded), "--seed", str(self.seed)),
                *("--biopsies", str(size.biopsies), "--size", "160", "--workers", str(_cores())),
            )
        network = [word for key, value in size.slice_network.items() for word in (f"--{key}", str(value))]
        pretraining = self.output / "slices-wsp"
        if not (pretraining / "results.json").is_file():
            views = '{"probability":0.05,"crop_area":[0.8,1.0],"crop_ratio":[0.95,1.05],"shift":0.05,"angle":10}'
            options = ["--iterations", str(size.slice_iterations), "--epoch_length", str(size.slice_iterations)]
            options += ["--batch_size", str(size.slice_batch), "--learning_rate", "0.001", "--views", views]
            options += ["--head_norm", "True", "--standardise_start", "True"]
            self._slice_bundle("wsp_ct_pretraining", pretraining, cohort, "cirrhosis_grades.json", *network, *options)
        runs = [pretraining]
        for name, encoder in (("random", None), ("wsp", pretraining / "model.pt")):
            runs.append(self.output / f"cirrhosis-{name}")
            if not (runs[-1] / "results.json").is_file():
                encoder_option = [] if encoder is None else ["--encoder", str(encoder)]
                self._slice_bundle(
                    "cirrhosis_classification", runs[-1], cohort, "cirrhosis_histology.json", *network, *encoder_option
                )
        return runs

    def _slice_bundle(self, bundle: str, folder: Path, cohort: Path, data_list: str, *options: str) -> None:
        self._train(bundle, folder, cohort, data_list, _cores(), "--store_dir", str(self.output / "slices"), *options)

    def _finetune(
        self,
        bundle: str,
        data_list: str,
        name: str,
        labels: int,
        iterations: int,
        start: str,
        encoder: Path,
        cohort: Path,
    ) -> None:
        folder = self.output / f"{name}-{start}"
        if (folder / "results.json").is_file():
            return
        training_part = self.size.cases - -(-self.size.cases // 5)
        options = ["--fold", "0", "--label_fraction", f"{(labels - 0.5) / training_part:.4f}"]
        options += ["--iterations", str(iterations), "--epoch_length", str(iterations)]
        options += ["--learning_rate", str(self.size.finetune_learning_rate)]
        # flips and quarter turns put the liver where the spleen is, which a few hundred steps cannot learn
        options += ["--augmentation_probability", "0.0"]
        if start == "pretrained":
            options += ["--pretrained_encoder", str(encoder)]
        self._bundle(bundle, folder, cohort, data_list, 1, *options)

    def _bundle(self, bundle: str, folder: Path, cohort: Path, data_list: str, threads: int, *options: str) -> None:
        overrides = ("--store_dir", str(self.output / "store"), *self.size.overrides())
        self._train(bundle, folder, cohort, data_list, threads, *overrides, *options)

    def _train(self, bundle: str, folder: Path, cohort: Path, data_list: str, threads: int, *options: str) -> None:
        words = [
            sys.executable,
            "-m",
            "monai.bundle",
            "run",
            "--config_file",
            str(bundle_folder(bundle) / "configs/train.yaml"),
        ]
        words += ["--dataset_dir", str(cohort), "--data_list", str(cohort / data_list), "--output_dir", str(folder)]
        words += ["--seed", str(self.seed), *options]
        self._execute(folder.name, words, threads)

    def _command(self, name: str, *words: str) -> None:
        self._execute(name, [sys.executable, "-m", "monai_cl", *words], _cores())

    def _execute(self, name: str, words: list[str], threads: int) -> None:
        log = self.output / "logs" / f"{name}.log"
        echo(f"[{name}] seed {self.seed}: {shlex.join(words)}")
        started = time.monotonic()
        with open(log, "w", encoding="utf-8") as stream:
            status = subprocess.call(
                words, stdout=stream, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": str(threads)}
            )
        if status:
            tail = log.read_text(encoding="utf-8").strip().splitlines()[-1:] or ["no output"]
            raise UserError(f"step {name} ended with status {status}: {tail[0]} (whole log: {log})")
        echo(f"[{name}] done in {time.monotonic() - started:.0f} s")

    def _summary(self, runs: list[Path], classified: list[Path], seconds: float) -> dict[str, Any]:
        rows = []
        for folder in runs:
            results = read_results(folder)
            rows.append(
                {
                    "name": folder.name,
                    "initialisation": results["initialisation"],
                    "training_cases": results["data_list"]["training_cases"],
                    "test_cases": len(results["metrics"]["per_case"]),
                    "mean_dice": results["metrics"]["mean_dice"],
                    "dice": results["metrics"]["dice"],
                }
            )
        record = run_record(
            kind="demo",
            name="demo (synthetic CT)",
            seed=self.seed,
            data_list={"path": str(self.output / "cohort"), "synthetic": True},
            wall_seconds=seconds,
        )
        record["runs"] = rows
        record["classification"] = [
            {
                "name": folder.name,
                "initialisation": "random" if folder.name.endswith("random") else "wsp",
                **{key: metrics[key] for key in ("auc", "auc_std", "auc_interval", "balanced_accuracy", "patients")},
            }
            for folder in classified
            for metrics in [read_results(folder)["metrics"]]
        ]
        write_results(self.output / "results.json", record)
        return record


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
