"""What do unlabelled scans add to one or four labelled ones? Table 3 of Peng et al. (NeurIPS 2021), on synthetic cine.

A small 2-D U-Net learns ventricles and myocardium of the cine's training patients from so many labelled scans and, by
method, all others. Dice is that of the last iteration, in 3-D, per scan of the test patients.

    python benchmarks/few_labels.py run --output runs/few_labels     # continues where it was killed
    python benchmarks/few_labels.py table --output runs/few_labels

``all`` is supervision by every training scan. ``contrastive`` is pre-training by position and fine-tuning;
``self_paced`` pre-training and second stage by position, patient and phase. Differences are paired by scan, of means
over the seeds.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigWorkflow
from provenance import provenance

from monai_cl.data import read_results, write_cine_cohort
from monai_cl.report.statistics import paired_difference
from monai_cl.shipped import shipped_folder

PRETRAINING, SEGMENTATION = "meta_label_pretraining", "semi_supervised_segmentation"
# method -> its pre-training, its second stage
METHODS = {
    "supervised": (None, "supervised"),
    "entropy": (None, "entropy"),
    "mixup": (None, "mixup"),
    "mean_teacher": (None, "mean_teacher"),
    "discrete_mi": (None, "discrete_mi"),
    "contrastive": ("contrastive", "supervised"),
    "self_paced": ("self_paced", "self_paced"),
}
RESULTS = "few_labels.jsonl"


def workflow(bundle: str, names: list[str], options: dict[str, Any]) -> None:
    """A bundle's run in this process."""
    folder = shipped_folder("bundles") / bundle / "configs"
    files = [str(folder / f"{name}.yaml") for name in names]
    made = ConfigWorkflow(config_file=files, workflow_type="train", logging_file=False, **options)
    made.initialize()
    made.run()
    made.finalize()


def common(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Options of every run."""
    return {
        "dataset_dir": str(args.output / "cine"),
        "store_dir": str(args.output / "store"),
        "features": args.features,
        "image_size": args.size,
        "seed": seed,
        "num_workers": 0,
        "learning_rate": args.learning_rate,
        "device": torch.device("cpu"),
    }


def pretrained(args: argparse.Namespace, method: str, seed: int) -> Path:
    """The encoder of a pre-training, made once."""
    folder = args.output / f"pretraining-{method}-{seed}"
    if not (folder / "model.pt").is_file():
        steps = {"iterations": args.pretrain_steps, "epoch_length": args.pretrain_steps // args.epochs}
        workflow(PRETRAINING, ["train"], {**common(args, seed), **steps, "method": method, "output_dir": str(folder)})
    return folder / "model.pt"


def measure(args: argparse.Namespace, method: str, labelled: int, seed: int) -> dict[str, Any]:
    """Train and evaluate; the record of one line."""
    began = time.monotonic()
    first, second = METHODS["supervised" if method == "all" else method]
    folder = args.output / f"{method}-{labelled}-{seed}"
    options = {**common(args, seed), "method": second, "output_dir": str(folder), "labelled_scans": labelled}
    options |= {"dice_weight": 1.0, "labelled_batch": args.labelled_batch, "overlay_cases": 0}
    steps = {"iterations": args.steps, "epoch_length": args.steps // args.epochs, "val_interval": args.epochs}
    if first is not None:
        options["pretrained_encoder"] = str(pretrained(args, first, seed))
    if not (folder / "results.json").is_file():
        workflow(SEGMENTATION, ["train"], {**options, **steps})
    last = {"checkpoint": str(folder / f"checkpoint_iteration={args.steps}.pt"), "split": "test"}
    workflow(SEGMENTATION, ["train", "evaluate"], {**options, **last})
    metrics = read_results(folder / "evaluation")["metrics"]
    per_case = {
        case["id"]: float(np.mean([value for value in case["dice"].values() if value is not None]))
        for case in metrics["per_case"]
    }
    return {
        "method": method,
        "labelled": labelled,
        "seed": seed,
        "dice": metrics["mean_dice"],
        "per_class": metrics["dice"],
        "per_case": per_case,
        "options": {key: str(value) for key, value in {**options, **steps}.items() if "dir" not in key},
        "seconds": time.monotonic() - began,
        **provenance(),
    }


def run(args: argparse.Namespace) -> None:
    """Every run that is not in the results yet."""
    logging.disable(logging.INFO)
    args.output.mkdir(parents=True, exist_ok=True)
    if not (args.output / "cine").exists():
        write_cine_cohort(args.output / "cine", patients=args.patients, validation=2, test=args.test, seed=2026)
    file = args.output / RESULTS
    done = {(row["method"], row["labelled"], row["seed"]) for row in rows(file)}
    scans = 2 * args.patients
    jobs = [("all", scans, seed) for seed in args.seeds]
    jobs += [(method, count, seed) for seed in args.seeds for count in args.labelled for method in args.methods]
    for job in jobs:
        if job not in done:
            record = measure(args, *job)
            with file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")
            print(*job, round(record["dice"], 4), f"{record['seconds']:.0f} s", flush=True)


def rows(file: Path) -> list[dict[str, Any]]:
    """The records of a file; none where there is no file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def table(args: argparse.Namespace) -> None:
    """Mean Dice, and self-paced minus each other method."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows(args.output / RESULTS):
        groups.setdefault((row["method"], row["labelled"]), []).append(row)
    print("| method | labelled scans | seeds | Dice | self-paced minus it [95 %] |\n| --- | --- | --- | --- | --- |")
    for (method, count), found in groups.items():
        dice = [row["dice"] for row in found]
        spread = f" ± {np.std(dice, ddof=1):.3f}" if len(dice) > 1 else ""
        gain, ours = "", groups.get(("self_paced", count))
        if ours and method not in ("self_paced", "all"):
            both = {row["seed"] for row in found} & {row["seed"] for row in ours}
            difference = paired_difference(mean_by_case(found, both), mean_by_case(ours, both))
            interval = "" if difference.low is None else f" [{difference.low:+.3f}, {difference.high:+.3f}]"
            gain = difference.note if difference.mean is None else f"{difference.mean:+.3f}{interval}"
        print(f"| {method} | {count} | {len(dice)} | {np.mean(dice):.3f}{spread} | {gain} |")


def mean_by_case(found: list[dict[str, Any]], seeds: set[int]) -> dict[str, float]:
    """Each scan's Dice, the mean over the seeds."""
    chosen = [row["per_case"] for row in found if row["seed"] in seeds]
    return {case: float(np.mean([one[case] for one in chosen])) for case in chosen[0]} if chosen else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--labelled", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--patients", type=int, default=40, help="training patients, two scans each")
    parser.add_argument("--test", type=int, default=15, help="test patients")
    parser.add_argument("--size", type=int, default=96, help="pixels per side")
    parser.add_argument("--features", nargs=6, type=int, default=[8, 16, 32, 64, 128, 8])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--pretrain_steps", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=20, help="the pace changes from epoch to epoch")
    parser.add_argument("--learning_rate", type=float, default=0.001)
    parser.add_argument("--labelled_batch", type=int, default=5)
    args = parser.parse_args()
    {"run": run, "table": table}[args.what](args)


if __name__ == "__main__":
    main()
