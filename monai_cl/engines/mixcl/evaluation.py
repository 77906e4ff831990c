"""The loss terms and diagnostics of a pre-trained network on held-out patches, without gradients."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from monai_cl.engines.distributed.collectives import require_single_process
from monai_cl.engines.evaluation import write_measures

if TYPE_CHECKING:
    from monai_cl.losses import MixCLLoss


@torch.no_grad()
def evaluate_mixcl(
    network: nn.Module,
    loss: MixCLLoss,
    dataset: Dataset,
    prepare_batch: Callable,
    *,
    patches: int,
    device: torch.device,
    output_dir: str | Path,
    data_list: Mapping[str, Any],
    seed: int,
    initialisation: str,
) -> dict[str, float]:
    """Average `MixCLLoss`'s terms and diagnostics over pairs of patches; writes ``results.json`` of kind pretraining.

    Args:
        network: the `MixCLNet` with the weights to evaluate.
        loss: the `MixCLLoss` it was trained with.
        dataset: `MixCLPatches`; its positions 0 … patches − 1 are taken.
        prepare_batch: `MixCLPrepareBatch`.
        patches: pairs of patches, at least 1.
        device: where the network runs.
        output_dir: folder of ``results.json``.
        data_list: what `describe` says of the patches' list; recorded.
        seed: of the patches; recorded.
        initialisation: file of the weights that are evaluated; recorded.

    Returns:
        Name -> mean; a diagnostic that a patch does not have is left out of its mean.
    """
    if patches < 1:
        raise ValueError(f"patches must be >= 1, got {patches}")
    require_single_process("this evaluation")
    started = time.monotonic()
    sums: dict[str, list[float]] = {}
    network.eval()
    batches = DataLoader(torch.utils.data.Subset(dataset, range(patches)), batch_size=1)
    for batch in tqdm(batches, desc="evaluation", unit="pair"):
        inputs, targets = prepare_batch(batch, device)
        total = loss(network(inputs), targets)
        for name, value in {"loss": total, **loss.terms, **loss.diagnostics}.items():
            sums.setdefault(name, []).append(float(value))
    means = {name: sum(values) / len(values) for name, values in sums.items()}
    about: dict[str, Any] = {"bundle": "mixcl_ct_pretraining", "seed": seed, "device": device, "data_list": data_list}
    about |= {"initialisation": initialisation, "more": {"patches": patches}}
    write_measures(means, output_dir=output_dir, started=started, **about)
    return means
