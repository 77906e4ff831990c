"""What a pre-trained encoder of slices predicts for unseen patients: depth, against random initialisation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from monai_cl.data import CTSlices, write_features
from monai_cl.engines.distributed.collectives import require_single_process
from monai_cl.engines.distributed.wrapping import unwrap_ddp
from monai_cl.engines.evaluation import load_network, write_measures
from monai_cl.engines.handlers.collapse import mean_cosine
from monai_cl.engines.handlers.measures import effective_rank
from monai_cl.engines.probe.depth import probe_depth
from monai_cl.engines.probe.extraction import extract_features
from monai_cl.engines.slices.codes import code_information
from monai_cl.errors import UserError


def evaluate_slices(
    network: nn.Module,
    slices: CTSlices,
    *,
    checkpoint: str | Path,
    device: torch.device,
    output_dir: str | Path,
    data_list: Mapping[str, Any],
    seed: int,
    bundle: str = "wsp_ct_pretraining",
    about: Mapping[str, Any] | None = None,
    folds: int = 5,
    batch_size: int = 64,
    workers: int = 0,
) -> dict[str, float]:
    """R² of depth by ridge regression on unseen patients, mean cosine and effective rank, before and after training.

    Of single images there is no depth; of a clustering there is the mutual information of its codes, see
    `code_information`.

    Writes ``results.json`` (kind pretraining), ``features.npz`` of the trained encoder and ``features_random.npz`` of
    its random initialisation, for ``python -m monai_cl probe``.

    Args:
        network: as it was initialised; the checkpoint is loaded into it.
        slices: of patients not used in training.
        checkpoint: ``model.pt`` of the training.
        device: where the network runs.
        output_dir: folder for the files.
        data_list: what `describe_slices` says of the slices; recorded.
        seed: seed of the random initialisation, recorded; also that of the depth probe's folds.
        bundle: whose training is evaluated; recorded.
        about: description stored in the feature files, see `SliceFeatures`.
        folds: of patients, fewer where there are fewer patients.
        batch_size: slices of one forward pass.
        workers: processes that load slices; 0: this process loads them.

    Returns:
        Name -> value.

    Raises:
        UserError: a checkpoint of another network, fewer than two patients.
    """
    require_single_process("this evaluation")
    started, output_dir = time.monotonic(), Path(output_dir)
    patients = {volume.patient for volume in slices.volumes}
    if len(patients) < 2:
        raise UserError(
            data_list["path"],
            expected="two patients or more, to predict depth in one from the other",
            found=len(patients),
            remedy="add patients to the split, or choose another with --split",
        )
    # single images have no depth
    several = np.concatenate([np.full(len(v.slices), np.ptp(v.depths) > 0) for v in slices.volumes])
    deep = len({volume.patient for volume in slices.volumes if np.ptp(volume.depths) > 0})
    measures: dict[str, float] = {}
    for state in ("random", "trained"):
        if state == "trained":
            load_network(network, checkpoint)
        suffix = "" if state == "trained" else "_random"
        note = dict(about or {})
        if state == "random":  # none of the settings the encoder was trained with
            note = {"method": "random", "seed": seed} | {k: note[k] for k in ("backbone", "cohort") if k in note}
        features = extract_features(
            network, slices, device=device, batch_size=batch_size, workers=workers, about=note, progress=True
        )
        write_features(output_dir / f"features{suffix}.npz", features)
        rows = torch.from_numpy(features.features)
        if deep > 1:
            known = replace(features, depth=np.where(several, features.depth, np.nan))
            depth = probe_depth(known, fold_count=min(folds, deep), seed=seed)
            measures |= {f"depth_r2{suffix}": depth.mean, f"depth_r2_std{suffix}": depth.std}
        found = code_information(unwrap_ddp(network), features.features, slices)
        measures |= {f"{name}{suffix}": value for name, value in found.items()} | {
            f"mean_cosine{suffix}": float(mean_cosine(rows)),
            f"effective_rank{suffix}": float(effective_rank(rows)),
        }
    record: dict[str, Any] = {
        "bundle": bundle,
        "seed": seed,
        "device": device,
        "data_list": data_list,
        "initialisation": checkpoint,
    }
    write_measures(measures, output_dir=output_dir, started=started, **record)
    return measures
