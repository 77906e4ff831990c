"""A MixCL step at the paper's size, part by part: network, losses, weight map and draw, optimiser; and windows.

Batch 1 is [V1, V1', V2] of 96³ through a UNETR of feature size 16 and hidden size 768 with heads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from engine.timing import interleave, ratio, spread, without_samples
from monai_cl.engines import MixCLPrepareBatch, accelerate
from monai_cl.losses import MixCLLoss, mixcl_preset
from monai_cl.networks import MixCLNet
from monai_cl.transforms import boundary_weight_map, sample_voxels

SIZES = {
    "paper": {"img_size": 96, "feature_size": 16, "hidden_size": 768, "mlp_dim": 3072, "num_heads": 12},
    "small": {"img_size": 48, "feature_size": 8, "hidden_size": 96, "mlp_dim": 192, "num_heads": 3},
}


def make_batch(size: int, *, batch: int = 1, classes: int = 13) -> dict[str, Any]:
    """A batch of `MixCLPatches` made up of noise and blocks of labels: times do not depend on what patches show."""
    generator = torch.Generator().manual_seed(0)
    found: dict[str, Any] = {"dataset": torch.zeros(batch, dtype=torch.int64), "position": torch.arange(batch)}
    for number in (1, 2):
        blocks = torch.randint(0, classes + 1, (batch, 1, 4, 4, 4), generator=generator).to(torch.float32)
        label = torch.nn.functional.interpolate(blocks, size=(size,) * 3, mode="nearest").to(torch.uint8)
        found[f"image{number}"] = torch.rand((batch, 1, *(size,) * 3), generator=generator)
        found[f"label{number}"] = label
        drawn = [draw(one[0], generator) for one in label]
        length = max(len(v) for v, _ in drawn)
        for place, key in enumerate(("voxels", "voxel_labels")):
            padded = torch.full((batch, length), -1, dtype=torch.int64)
            for row, pair in enumerate(drawn):
                padded[row, : len(pair[place])] = pair[place]
            found[f"{key}{number}"] = padded
    return found


def draw(label: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Weight map and draw of one patch, as the data set does it."""
    level = (slice(1, None, 2),) * 3
    labels = label[level]
    voxels = sample_voxels(labels, boundary_weight_map(label)[level], generator=generator)
    return voxels, labels.flatten()[voxels].long()


def measure(*, size: str = "paper", steps: int = 3, preset: str = "paper", **acceleration: bool) -> dict:
    """Steps on the CPU; the share of losses with sampling in the network's forward + backward.

    Each part is timed by its own: the forward and the backward of the network with a trivial loss (the sum of its
    outputs), then the losses' forward and backward on outputs cut off from the network.
    """
    torch.manual_seed(0)
    weights = mixcl_preset(preset)
    network = accelerate(MixCLNet(**SIZES[size]), **acceleration)
    loss_function = MixCLLoss(**weights)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-4)
    batch = make_batch(SIZES[size]["img_size"])
    inputs, targets = MixCLPrepareBatch(seed=0)(batch, torch.device("cpu"))
    generator = torch.Generator().manual_seed(1)
    parts: dict[str, list[tuple[float, float]]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        wall, processor = time.perf_counter(), time.process_time()
        result = work()
        spent = (time.perf_counter() - wall) * 1e3, (time.process_time() - processor) * 1e3
        parts.setdefault(name, []).append(spent)
        return result

    for _ in range(steps + 1):
        optimizer.zero_grad(set_to_none=True)
        outputs = timed("network forward", lambda: network(inputs))
        leaves = {
            key: [z.detach().requires_grad_() for z in value] if isinstance(value, list) else value.detach()
            for key, value in outputs.items()
        }
        leaves["reconstruction"].requires_grad_()
        loss = timed("losses forward", lambda leaves=leaves: loss_function(leaves, targets))
        timed("losses backward", loss.backward)
        timed("weight map and draw", lambda: [draw(batch[f"label{n}"][0, 0], generator) for n in (1, 2)])
        flat = [*outputs["levels"], outputs["reconstruction"]]
        ends = [*leaves["levels"], leaves["reconstruction"]]
        timed("network backward", lambda flat=flat, ends=ends: torch.autograd.backward(flat, [e.grad for e in ends]))
        timed("optimiser", optimizer.step)
    times = {
        name: {"wall_ms": spread([w for w, _ in v[1:]]), "processor_ms": spread([p for _, p in v[1:]])}
        for name, v in parts.items()
    }

    def share(kind: str) -> float:
        spent = {name: found[kind]["median"] for name, found in times.items()}
        losses = spent["losses forward"] + spent["losses backward"] + spent["weight map and draw"]
        return round(losses / (spent["network forward"] + spent["network backward"]), 4)

    return {
        "what": f"preset {preset}, size {size}, float32, CPU, {torch.get_num_threads()} thread(s), {acceleration}",
        "times": times,
        "losses with sampling over network forward + backward": {k: share(f"{k}_ms") for k in ("wall", "processor")},
    }


def measure_options(*, size: str = "paper", rounds: int = 2) -> dict:
    """Forward and backward of the same network in each of the ways config keys can switch, interleaved."""
    inputs = torch.rand(3, 1, *(SIZES[size]["img_size"],) * 3)

    def contestant(**options: bool) -> Callable[[int], None]:
        torch.manual_seed(0)
        network = accelerate(MixCLNet(**SIZES[size]), **options)

        def once(_: int) -> None:
            network.zero_grad(set_to_none=True)
            outputs = network(inputs)
            torch.stack([z.square().mean() for z in [*outputs["levels"], outputs["reconstruction"]]]).sum().backward()

        return once

    contestants = {
        "plain": contestant(),
        "fused attention": contestant(fused_attention=True),
        "channels last": contestant(channels_last=True),
    }
    times = interleave(contestants, rounds=rounds)
    return {
        "what": f"forward + backward, size {size}, float32, CPU",
        "times": without_samples(times),
        "ratios": {f"{name} against plain": ratio(times, "plain", name) for name in list(contestants)[1:]},
    }


def measure_windows(*, size: str = "paper", rounds: int = 2) -> dict:
    """Sliding-window inference of a segmentation UNETR over 144³ voxels, by windows at once and by the attention."""
    from monai.inferers import sliding_window_inference
    from monai.networks.nets import UNETR

    options = dict(SIZES[size])
    edge = options["img_size"] * 3 // 2
    image = torch.rand(1, 1, edge, edge, edge)

    def contestant(at_once: int, **acceleration: bool) -> Callable[[int], Tensor]:
        torch.manual_seed(0)
        network = accelerate(UNETR(in_channels=1, out_channels=14, **options).eval(), **acceleration)

        @torch.inference_mode()
        def once(_: int) -> Tensor:
            return sliding_window_inference(
                image, (options["img_size"],) * 3, at_once, network, overlap=0.5, mode="gaussian"
            )

        return once

    contestants = {
        "1 window at once": contestant(1),
        "4 windows at once": contestant(4),
        "1 window at once, fused attention": contestant(1, fused_attention=True),
    }
    times = interleave(contestants, rounds=rounds, warmup=0)
    return {"what": f"{edge}³ voxels, 8 windows, 14 classes, float32, CPU", "times": without_samples(times)}
