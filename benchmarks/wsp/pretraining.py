"""Pre-training by one method, and the frozen features it gives."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange

from monai_cl.data import PatientSampler
from monai_cl.data.slices.features import SliceFeatures, write_features
from monai_cl.engines import MethodParts, cosine_schedule, effective_rank
from monai_cl.engines.handlers.collapse import mean_cosine
from monai_cl.losses import MethodLoss
from monai_cl.networks import data_dependent_init, slice_encoder
from wsp.arrays import CirrhosisSlices
from wsp.study import BUNDLE, Job, Study, cohort, images


def parts_of(study: Study, job: Job) -> MethodParts:
    """Loss, network and views of a job's method; of an untrained network, those of any."""
    given = {
        "encoder": slice_encoder(width=study.width, image_size=study.size, head=()),
        "head_norm": study.head_norm and job.method != "random",
        "iterations": study.steps,
        "momentum": study.momentum,
        "clustering": {
            "prototypes": 64,
            "epsilon": 0.03,
            "iterations": 3,
            "queue_length": max(64, study.batch),
            "queue_start": study.steps // 5,
            "freeze_iterations": study.steps * 8 // 100,
            "crops": None,
        },
        "sigma": job.sigma,
        "temperature": job.temperature,
        "seed": job.seed,
        "views": study.views,
    }
    return MethodParts("wsp" if job.method == "random" else job.method, bundle_root=BUNDLE, given=given)


def pretrain(study: Study, slices: CirrhosisSlices, job: Job) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The network after pre-training, and what the run showed of itself."""
    torch.manual_seed(job.seed)  # weights of one seed are the same for every method
    parts = parts_of(study, job)
    net = parts["network_def"].to(memory_format=torch.channels_last)
    first = np.random.default_rng([study.cohort_seed, job.seed]).choice(len(slices), 128, replace=False)
    data_dependent_init(net, images(slices, first))
    log: dict[str, Any] = {"curve": []}
    if job.method == "random":
        return net, log
    loss_function, views = MethodLoss(parts["criterion"]), parts["make_views"]
    weights = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=study.learning_rate, weight_decay=study.weight_decay)
    schedule = cosine_schedule(optimizer, iterations=study.steps, warmup=study.warmup)
    sampler = PatientSampler(slices.patients.tolist(), slices.grades.tolist(), batch_size=study.batch, seed=job.seed)
    started = time.process_time()
    for step in range(study.steps):
        rows = np.array(sampler.batch(step))
        positions = range(step * study.batch, (step + 1) * study.batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=study.bf16):
            outputs = net(views(images(slices, rows), positions))
        targets = {"label": torch.from_numpy(slices.grades[rows]), "depth": torch.from_numpy(slices.depths[rows])}
        loss = loss_function(outputs, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if hasattr(net, "after_step"):
            net.after_step()
        if (step + 1) % 25 == 0:
            rows_of = [rearrange(outputs[key].detach(), "n v f -> (n v) f") for key in ("embedding", "representation")]
            measures = [loss.detach(), mean_cosine(rows_of[0]), *(effective_rank(rows) for rows in rows_of)]
            log["curve"].append([step + 1, *map(float, measures)])
    log["seconds"] = time.process_time() - started
    return net, log


@torch.inference_mode()
def features_of(study: Study, net: torch.nn.Module, slices: CirrhosisSlices, job: Job) -> SliceFeatures:
    """Frozen representations of every slice of the patients with histology, in float32."""
    net.eval()
    found = [net.represent(images(slices, np.arange(i, min(i + 128, len(slices))))) for i in range(0, len(slices), 128)]
    names = [f"p{patient:04d}" for patient in slices.patients]
    return SliceFeatures(
        torch.cat(found).numpy(),
        patient=names,
        label=slices.histology.tolist(),
        depth=slices.depths.tolist(),
        slice=[f"{name}:{place:05d}" for place, name in enumerate(names)],
        about={key: value for key, value in asdict(job).items()},
    )


def run(folder: Path, study: Study, jobs: list[Job]) -> None:
    """Pre-train and keep the features; what is there is not computed again."""
    (folder / "study.json").write_text(json.dumps(asdict(study), indent=1) + "\n")
    (folder / "features").mkdir(exist_ok=True)
    training = held_out = None
    for job in jobs:
        path = folder / "features" / f"{job.name}.npz"
        if path.exists():
            continue
        if training is None:
            training, held_out = cohort(folder, study, "grades"), cohort(folder, study, "histology")
        net, log = pretrain(study, training, job)
        write_features(path, features_of(study, net, held_out, job))
        with open(folder / "pretraining.jsonl", "a", encoding="utf-8") as stream:
            stream.write(json.dumps({**asdict(job), **log}) + "\n")
        last = log["curve"][-1] if log["curve"] else []
        print(job.name, *(f"{value:.3f}" for value in last), f"{log.get('seconds', 0):.0f} s", flush=True)
