"""A MixCL step on one GPU: stock MONAI loop against ours, time and peak memory at batch 1 to 8, one call of minutes.

    python benchmarks/gpu_step.py --output benchmarks/results/gpu_step.json
    python benchmarks/gpu_step.py --device cpu --size small --batches 1 --steps 1     # does it run?

Everybody has the same network with the same weights, the same patches and, in one table, the same precision:

- `stock`: three forwards of V1, V1' and V2, attention that keeps its matrix, AdamW a parameter at a time, float32;
  views by MONAI's transforms, sample by sample on the GPU.
- `stock, bf16`: the same under autocast.
- `ours, float32` and `ours, bf16`: one forward of the stacked views, fused attention, fused AdamW, views of the whole
  batch on the GPU.
- `ours, bf16, channels last` and `ours, bf16, compiled`: with those keys of the bundle switched on.

Steps are timed with the device synchronised, loading left out (`engine_speed.py` is about loading). A row that does not
fit the memory says so. `losses` is the share of the losses in a step of `ours`; `first loss` is that of the untrained
network on the same views for everybody, so that rows of one precision must agree.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from engine.step import SIZES, make_batch
from engine.timing import spread
from engine.views import monai as monai_views
from provenance import provenance

from monai_cl.engines import MixCLPrepareBatch, accelerate
from monai_cl.files import write_atomically
from monai_cl.losses import MixCLLoss, mixcl_preset
from monai_cl.networks import MixCLNet

WAYS: dict[str, dict[str, Any]] = {
    "stock": {"stock": True, "bf16": False},
    "stock, bf16": {"stock": True, "bf16": True},
    "ours, float32": {"bf16": False},
    "ours, bf16": {"bf16": True},
    "ours, bf16, channels last": {"bf16": True, "channels_last": True},
    "ours, bf16, compiled": {"bf16": True, "compiled": True},
}


class Step:
    """One way to take a step, on batches of one size."""

    def __init__(self, device: torch.device, size: str, batch: int, *, stock: bool = False, bf16: bool, **more: bool):
        torch.manual_seed(0)  # the same weights whatever the way
        network = MixCLNet(**SIZES[size]).to(device)
        self.network = network if stock else accelerate(network, fused_attention=True, **more)
        self.loss = MixCLLoss(**mixcl_preset("paper"))
        trained = [p for p in network.parameters() if p.requires_grad]
        fused = device.type == "cuda" and not stock
        self.optimizer = torch.optim.AdamW(
            trained, lr=1e-4, weight_decay=1e-5, fused=fused or None, foreach=False if stock else None
        )
        self.device, self.stock = device, stock
        self.autocast = (lambda: torch.autocast(device.type, torch.bfloat16)) if bf16 else contextlib.nullcontext
        self.batch = make_batch(SIZES[size]["img_size"], batch=batch)
        self.prepare, self.view = MixCLPrepareBatch(seed=0), monai_views(0.2)

    def forward(self, *, own_views: bool = True) -> tuple[Any, dict]:
        """Views, network, outputs as the loss takes them; without ``own_views`` stock gets the views of ours."""
        inputs, targets = self.prepare(self.batch, self.device)
        if not self.stock:
            with self.autocast():
                return self.network(inputs), targets
        views = inputs.chunk(3)
        if own_views:
            patches = [self.batch[key].to(self.device) for key in ("image1", "image1", "image2")]
            views = [torch.stack([self.view(one).as_subclass(torch.Tensor) for one in patch]) for patch in patches]
        outputs = []
        for view in views:
            with self.autocast():
                outputs.append(self._alone(view))
        levels = [torch.cat([out["levels"][level] for out in outputs]) for level in range(5)]
        return {"levels": levels, "reconstruction": torch.cat([out["reconstruction"] for out in outputs])}, targets

    def _alone(self, view: torch.Tensor) -> dict:
        """One view through the network, which wants three: the same modules, called one by one."""
        network, unetr = self.network, self.network.unetr
        features = network.encode(view)
        levels = [network.projectors[str(level)](z) for level, z in enumerate(features)]
        decoded = features[4]
        for block, skip in zip((unetr.decoder5, unetr.decoder4, unetr.decoder3, unetr.decoder2), features[3::-1]):
            decoded = block(decoded, skip)
        return {"levels": levels, "reconstruction": unetr.out(decoded)}

    def __call__(self) -> torch.Tensor:
        """A whole step; returns the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        outputs, targets = self.forward()
        with self.autocast():
            loss = self.loss(outputs, targets)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def value(self) -> float:
        """The loss on the views that everybody shares."""
        with torch.no_grad():
            outputs, targets = self.forward(own_views=False)
            with self.autocast():
                return float(self.loss(outputs, targets))

    def only_losses(self) -> Callable[[], None]:
        """The losses alone, forward and backward, on outputs cut off from the network."""
        with torch.no_grad():
            outputs, targets = self.forward()
        cut = {
            "levels": [z.detach().requires_grad_() for z in outputs["levels"]],
            "reconstruction": outputs["reconstruction"].detach().requires_grad_(),
        }

        def once() -> None:
            with self.autocast():
                loss = self.loss(cut, targets)
            loss.backward()

        return once


def timed(work: Callable[[], Any], device: torch.device, steps: int, warmup: int) -> list[float]:
    """Milliseconds of each call, the device's work finished."""
    found = []
    for number in range(-warmup, steps):
        _synchronise(device)
        begin = time.perf_counter()
        work()
        _synchronise(device)
        if number >= 0:
            found.append((time.perf_counter() - begin) * 1e3)
    return found


def measure(device: torch.device, *, size: str, batch: int, steps: int, warmup: int, way: str) -> dict:
    """One row."""
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        step = Step(device, size, batch, **WAYS[way])
        first = step.value()
        row = {"way": way, "batch": batch, "first_loss": round(first, 4)}
        row["step_ms"] = spread(timed(step, device, steps, warmup))
        if cuda:
            row["peak_gib"] = round(torch.cuda.max_memory_allocated(device) / 2**30, 2)
        if not step.stock:
            row["losses_ms"] = spread(timed(step.only_losses(), device, steps, 1))
            row["losses_share"] = round(row["losses_ms"]["median"] / row["step_ms"]["median"], 4)
        return row
    except torch.OutOfMemoryError:
        return {"way": way, "batch": batch, "failed": "out of memory"}


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def table(record: dict) -> str:
    """Markdown."""
    lines = [
        f"# A MixCL step on {record['device']}",
        "",
        f"Size {record['size']}; {', '.join(f'{k} {v}' for k, v in record['versions'].items())}; commit "
        f"`{str(record['git_commit'])[:10]}`; {record['created']}. Views, forward, losses, backward, optimiser;",
        "loading left out. `stock` and `ours` start from the same weights and the same patches.",
        "",
        "| way | batch | step ms | samples a second | peak GiB | losses | first loss |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in record["rows"]:
        if "failed" in row:
            lines.append(f"| {row['way']} | {row['batch']} | {row['failed']} |  |  |  |  |")
            continue
        middle = row["step_ms"]["median"]
        share = f"{100 * row['losses_share']:.1f} %" if "losses_share" in row else ""
        lines.append(
            f"| {row['way']} | {row['batch']} | {middle:.1f} | {row['batch'] / middle * 1e3:.2f} | "
            f"{row.get('peak_gib', '')} | {share} | {row['first_loss']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=sorted(SIZES), default="paper")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="rows that would begin later are left out, and named"
    )
    parser.add_argument("--output", type=Path, help="JSON file; the table goes beside it as .md")
    options = parser.parse_args()
    device = torch.device(options.device)
    begin = time.monotonic()
    record: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU",
        "size": options.size,
        **provenance(),
        "rows": [],
        "left_out": [],
    }
    for batch in options.batches:
        for way in options.ways:
            if (time.monotonic() - begin) / 60 > options.minutes:
                record["left_out"].append([way, batch])
                continue
            row = measure(device, size=options.size, batch=batch, steps=options.steps, warmup=options.warmup, way=way)
            record["rows"].append(row)
            print(row, file=sys.stderr, flush=True)
            if options.output:
                write_atomically(options.output, (json.dumps(record, indent=1) + "\n").encode())
                write_atomically(options.output.with_suffix(".md"), table(record).encode())
    print(table(record))


if __name__ == "__main__":
    main()
