"""Does an optimiser step of MixCL at the paper's size fit a CPU machine: seconds and peak memory.

Batch 1 is a stack of three patches of 96³ (V1, V1', V2) through a UNETR of feature size 16 and hidden size 768, with
AdamW, at 1.5 × 1.5 × 2.0 mm. A fresh process is measured, whose peak resident memory the system reports.

    python benchmarks/paper_size_step.py                  # the step itself, part by part
    python benchmarks/paper_size_step.py --what bundle    # a run of the bundle: with its diagnostics and checkpoint
    python benchmarks/paper_size_step.py --preset hybrid --steps 2 --threads 4 --output step.json

Peak memory does not depend on what the patches show, so synthetic volumes serve.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from provenance import provenance, write_record

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "mixcl_ct_pretraining" / "configs" / "train.yaml"
SPACING = (1.5, 1.5, 2.0)  # mm
ORGANS = 4


def write_cases(folder: Path, *, cases: int = 2, shape: tuple[int, int, int] = (160, 140, 120)) -> Path:
    """Bodies with four balls as organs, and their data list; returns the list."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    items = []
    for case in range(cases):
        rng = np.random.default_rng(case)
        label = np.zeros(shape, np.uint8)
        for organ in range(1, ORGANS + 1):
            centre = rng.uniform(-0.5, 0.5, (3, 1, 1, 1))
            label[((grid - centre) ** 2).sum(0) < rng.uniform(0.15, 0.3) ** 2] = organ
        body = (grid[0] / 0.9) ** 2 + (grid[1] / 0.8) ** 2 < 1
        image = np.where(body, 20 + 30 * label + rng.normal(0, 15, shape), -1000).astype(np.int16)
        affine = np.diag([*SPACING, 1.0])
        files = {"image": f"image{case}.nii.gz", "label": f"label{case}.nii.gz"}
        nib.save(nib.Nifti1Image(image, affine), folder / files["image"])
        nib.save(nib.Nifti1Image(label, affine), folder / files["label"])
        items.append(files)
    labels = {"0": "background"} | {str(n): f"ball {n}" for n in range(1, ORGANS + 1)}
    path = folder / "list.json"
    path.write_text(json.dumps({"name": "synthetic balls", "labels": labels, "training": items}))
    return path


def peak_gib(who: int = resource.RUSAGE_SELF) -> float:
    """Peak resident memory so far, GiB (the system counts KiB; macOS bytes)."""
    return resource.getrusage(who).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def measure_step(data_list: Path, *, preset: str, steps: int, batch_size: int, activation_checkpointing: bool) -> dict:
    """Optimiser steps, part by part, in this process."""
    import torch
    from torch.utils.data import DataLoader

    from monai_cl.data import PositionSampler
    from monai_cl.engines import MixCLPrepareBatch, accelerate, class_counts, identity_levels, mixcl_patches, read_list
    from monai_cl.losses import MixCLLoss, mixcl_preset
    from monai_cl.networks import MixCLNet

    lists, weights = read_list(data_list), mixcl_preset(preset)
    classes = class_counts(lists) if weights["supervised_weight"] else []
    torch.manual_seed(0)
    begin = time.perf_counter(), time.process_time()
    network = MixCLNet(
        levels=identity_levels(weights["identity_levels"], weights["identity_weight"]),
        label_level=weights["label_level"] if weights["label_weight"] else None,
        reconstruct=weights["reconstruction_weight"] > 0,
        classes=classes,
    )
    accelerate(network, activation_checkpointing=activation_checkpointing)
    loss_function = MixCLLoss(**weights, class_counts=classes or None)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=1e-5)
    patches = mixcl_patches(lists, store=data_list.parent / "store", spacing=SPACING)
    sampler = PositionSampler(batch_size=batch_size)
    batches, views = iter(DataLoader(patches, batch_size=batch_size, sampler=sampler)), MixCLPrepareBatch(seed=0)
    parts: list[dict] = []

    def done(what: str) -> None:
        nonlocal begin
        end = time.perf_counter(), time.process_time()
        # processor seconds tell a slow step from a busy machine
        seconds = dict(zip(("seconds", "processor_seconds"), (round(b - a, 2) for a, b in zip(begin, end))))
        parts[-1][what] = {**seconds, "peak_gib": round(peak_gib(), 2)}
        begin = time.perf_counter(), time.process_time()

    parts.append({})
    done("network and store")
    for _ in range(steps):
        parts.append({})
        optimizer.zero_grad(set_to_none=True)  # before the forward, as MONAI's trainer does
        inputs, targets = views(next(batches), torch.device("cpu"))
        done("batch")
        outputs = network(inputs)
        done("forward")
        loss = loss_function(outputs, targets)
        done("loss")
        loss.backward()
        done("backward")
        del outputs
        optimizer.step()
        done("optimiser")
        parts[-1]["loss value"] = float(loss.detach())
    return {
        "input": list(inputs.shape),
        "parameters": sum(p.numel() for p in network.parameters()),
        "trained parameters": sum(p.numel() for p in trained),
        "start": parts[0],
        "steps": parts[1:],
        **{
            f"{kind} a step": [round(sum(p[kind] for p in s.values() if isinstance(p, dict)), 2) for s in parts[1:]]
            for kind in ("seconds", "processor_seconds")
        },
        "peak_gib": round(peak_gib(), 2),
    }


def measure_bundle(
    data_list: Path, *, preset: str, steps: int, batch_size: int, activation_checkpointing: bool, threads: int
) -> dict:
    """``python -m monai.bundle run`` of the pre-training bundle with the paper's size, which is its default."""
    folder = data_list.parent
    words = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(BUNDLE)]
    words += ["--dataset_dir", str(folder), "--data_list", str(data_list), "--store_dir", str(folder / "store")]
    words += ["--output_dir", str(folder / "run"), "--preset", preset, "--batch_size", str(batch_size)]
    words += ["--iterations", str(steps), "--epoch_length", str(steps), "--num_workers", "0", "--prepare_workers", "1"]
    words += ["--activation_checkpointing", str(activation_checkpointing)]
    begin = time.perf_counter()
    done = subprocess.run(
        words,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    seconds = time.perf_counter() - begin
    if done.returncode:
        sys.exit(f"the bundle ended with status {done.returncode}:\n{done.stdout[-3000:]}")
    results = json.loads((folder / "run" / "results.json").read_text(encoding="utf-8"))
    return {
        "seconds with start and checkpoint": round(seconds, 1),
        "seconds of training": round(results["wall_seconds"], 1),
        "peak_gib": round(peak_gib(resource.RUSAGE_CHILDREN), 2),
        "checkpoint_gib": round(sum(f.stat().st_size for f in (folder / "run").glob("*.pt")) / 2**30, 2),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", choices=("step", "bundle"), default="step")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--activation-checkpointing", action="store_true")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, help="JSON file; printed in any case")
    parser.add_argument("--list", type=Path, help=argparse.SUPPRESS)  # given to the fresh process
    options = parser.parse_args()
    names = ("preset", "steps", "batch_size", "activation_checkpointing")
    what = {name: getattr(options, name) for name in names}
    if options.list is not None:
        import torch

        torch.set_num_threads(options.threads)
        print(json.dumps(measure_step(options.list, **what)))
        return
    with tempfile.TemporaryDirectory() as folder:
        data_list = write_cases(Path(folder))
        if options.what == "bundle":
            measured = measure_bundle(data_list, **what, threads=options.threads)
        else:
            words = [sys.executable, __file__, *sys.argv[1:], "--list", str(data_list)]
            child = subprocess.run(words, stdout=subprocess.PIPE, encoding="utf-8", check=True)
            measured = json.loads(child.stdout.splitlines()[-1])
    record = {
        "what": f"{options.what} at the paper's size on CPU",
        **what,
        "threads": options.threads,
        **measured,
        **provenance(),
    }
    write_record(record, options.output)


if __name__ == "__main__":
    main()
