"""What the files of a run's folder are, written there as README.txt, and what to do with a finished run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_cl.files import write_atomically

README = "README.txt"
_FILES = {
    "model.pt": "weights of the best validation so far, or of the end where nothing is validated;\n"
    "    `python -m monai_cl encoder show model.pt` says which network and which input they are for",
    "checkpoint_iteration=N.pt": "all that is needed to continue after N iterations: network, optimiser,\n"
    "    schedule, record. The newest ones are kept; the same command with --resume auto continues from there",
    "results.json": "written at the end: config, data, versions, curves, scores; `python -m monai_cl report .`\n"
    "    makes a page of it",
    "tensorboard": "the curves while it runs, for TensorBoard",
    "overlays": "slices of validated scans with the outlines of the organs",
    "patients.csv": "the probability of each validated patient",
    "roc.png": "their ROC curve",
    "evaluation": "what `evaluate.yaml` has measured with model.pt",
    "checkpoint_iteration=N.pt.damaged": "a checkpoint that could not be read and was set aside",
}
_OF_KIND = {
    "pretraining": ("model.pt", "checkpoint_iteration=N.pt", "results.json", "tensorboard", "evaluation"),
    "segmentation": ("model.pt", "checkpoint_iteration=N.pt", "results.json", "tensorboard", "overlays", "evaluation"),
    "classification": (
        "model.pt",
        "checkpoint_iteration=N.pt",
        "results.json",
        "tensorboard",
        "patients.csv",
        "roc.png",
        "evaluation",
    ),
}
# bundle of a pre-training -> bundle of the training that starts from it, and the key that takes its weights
_GOES_INTO = {
    "mixcl_ct_pretraining": ("spleen_unetr_segmentation", "pretrained_encoder"),
    "wsp_ct_pretraining": ("cirrhosis_classification", "encoder"),
    "clustering_pretraining": ("cirrhosis_classification", "encoder"),
    "meta_label_pretraining": ("semi_supervised_segmentation", "pretrained_encoder"),
    "head_ct_classification": ("head_ct_classification", "pretrained_encoder"),
}


def write_readme(folder: Path, *, kind: str, bundle: str, name: str) -> None:
    """Write what the files of a run's folder are.

    Args:
        folder: of the run.
        kind: ``pretraining``, ``segmentation`` or ``classification``.
        bundle: name of the bundle.
        name: of the run.
    """
    named = [*_OF_KIND.get(kind, _OF_KIND["pretraining"]), "checkpoint_iteration=N.pt.damaged"]
    files = "\n".join(f"{file}\n    {_FILES[file]}" for file in named)
    text = (
        f"A run of the bundle {bundle} ({kind}), {name}. What its files are, once they are there:\n\n{files}\n\n"
        "`python -m monai_cl runs .` says how far it is; with --clean it removes what newer files have replaced.\n"
    )
    write_atomically(folder / README, text.encode("utf-8", "surrogateescape"))


def next_steps(folder: Path, *, kind: str, bundle: str, store: str | None = None, boxes: bool = False) -> list[str]:
    """Commands that use a finished run, with words in capitals, ``YOUR_...``, for paths that nobody here knows.

    Args:
        folder: of the run.
        kind: of the run.
        bundle: name of its bundle.
        store: of its prepared volumes, which the next training uses too; None: one beside the run.
        boxes: whether its scans of the head are boxes already, and no head is looked for in them.
    """
    folder = folder if folder.name not in ("", "..") else Path(os.path.abspath(folder))
    model = shlex.quote(str(folder / "model.pt"))

    as_boxes = " --find_head False" if boxes else ""

    def inside(name: str) -> str:
        return shlex.quote(str(folder / name))

    def run(other: str, config: str, options: str) -> str:
        file = f'"$(python -m monai_cl bundle path {other})/configs/{config}.yaml"'
        return f"python -m monai.bundle run --config_file {file} {options}{as_boxes}"

    if kind != "pretraining":
        steps = [
            run(
                bundle, "inference", f"--checkpoint {model} --dataset_dir YOUR_SCANS --output_dir {inside('inference')}"
            )
        ]
    else:
        target = _GOES_INTO.get(bundle)
        new = shlex.quote(str(folder.with_name(f"{folder.name}_fine_tuned")))
        kept = shlex.quote(store or str(folder.parent / "store"))
        data = f"--{target[1]} {model} --data_list YOUR_LIST.json --dataset_dir YOUR_SCANS" if target else ""
        steps = [run(target[0], "train", f"{data} --store_dir {kept} --output_dir {new}")] if target else []
        steps.append(f"python -m monai_cl embed {model} YOUR_SCANS --output {inside('embeddings.npz')}{as_boxes}")
    return [*steps, f"python -m monai_cl report {shlex.quote(str(folder))} --output {inside('report.html')}"]


def best_score(results: Mapping[str, Any]) -> str | None:
    """The score of the best validation in words, else that of the results themselves, else the last loss.

    Args:
        results: see `monai_cl.data.run_record`.
    """
    best, metrics = results.get("best") or {}, results.get("metrics") or {}
    for key, name in (("mean_dice", "Dice"), ("auc", "AUC")):
        value = best.get(key, metrics.get(key))
        if isinstance(value, int | float):
            return f"{name} {value:.3f}" + (f" at {best['iteration']}" if "iteration" in best else "")
    losses = [value for _, value in (results.get("curves") or {}).get("loss", []) if value is not None]
    return f"loss {losses[-1]:.4g}" if losses else None


def organ_scores(results: Mapping[str, Any]) -> dict[str, float]:
    """Dice of each organ at the best validation, else those of the results themselves, without organs that no scan has.

    Args:
        results: see `monai_cl.data.run_record`.
    """
    iteration = (results.get("best") or {}).get("iteration")
    found = dict((results.get("metrics") or {}).get("dice") or {})
    for name, points in (results.get("curves") or {}).items():
        base, _, organ = name.partition("/")
        if base == "dice" and organ in found:
            found[organ] = dict(points).get(iteration, found[organ])
    return {organ: value for organ, value in found.items() if isinstance(value, int | float)}


def describe_end(folder: Path, results: Mapping[str, Any], *, validation_seconds: float = 0.0) -> str:
    """What a run prints when it is finished: its scores, where its results are, and commands that use it.

    Args:
        folder: of the run.
        results: its record.
        validation_seconds: of ``wall_seconds``, those that were spent in validations.
    """
    score = best_score(results)
    lines = [f"finished after {results.get('iterations')} iterations" + (f", {score}" if score else "")]
    if organs := organ_scores(results):
        lines.append("Dice: " + ", ".join(f"{organ} {value:.3f}" for organ, value in organs.items()))
    if validation_seconds and results["wall_seconds"]:
        share = f"{validation_seconds / results['wall_seconds']:.0%} of it in validations (--val_interval)"
        lines.append(f"took {results['wall_seconds']:.0f} s, {share}")
    lines.append(f"results: {folder / 'results.json'}; what each file is: {folder / README}")
    store = str((results.get("config") or {}).get("store_dir") or "$")
    store_dir = None if store.startswith(("$", "@", "%")) else store
    boxes = (results.get("config") or {}).get("find_head") is False
    steps = next_steps(folder, kind=results["kind"], bundle=results["bundle"] or "", store=store_dir, boxes=boxes)
    return "\n".join([*lines, "next (YOUR_... stands for paths of your own):", *(f"  {step}" for step in steps)])
