"""Side by side: how fast is the data engine, against the peers, in one run?

    make bench                                             # everything, a quiet machine, about half an hour
    OMP_NUM_THREADS=1 python benchmarks/engine_speed.py --output benchmarks/results/engine
    OMP_NUM_THREADS=1 python benchmarks/engine_speed.py --only storage weights --quick

Peers run in the same process on one thread, round by round beside the engine, on the same synthetic volumes and
positions. What each part does is in `benchmarks/engine/`. Peers that are not installed are left out and named. The
results are OUTPUT.json, with machine, versions and commit, and OUTPUT.md; parts that were measured before and are not
asked for now stay in them.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from engine import cohort, pairs, slices, startup, step, storage, stream, views, warps, weights
from engine.report import markdown
from engine.timing import interleave, ratio, without_samples
from provenance import provenance

from monai_cl.files import write_atomically

PEERS = ("torchio", "batchgeneratorsv2", "nnunetv2", "blosc2", "nibabel", "edt")
RMS = 4.0  # mm


class Volumes:
    """The volumes that several parts share, made when first asked for."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count
        self._arrays: list[tuple[np.ndarray, np.ndarray]] = []
        self._items: list[dict] = []
        self._amounts: dict[str, tuple[float, float]] = {}

    @property
    def arrays(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Image and label of each."""
        if not self._arrays:
            self._arrays = [cohort.prepared_volume(index) for index in range(self.count)]
        return self._arrays

    @property
    def items(self) -> list[dict]:
        """The same as .nii.gz."""
        if not self._items:
            self._items = [cohort.write_nifti(self.folder, f"case{i}", *pair) for i, pair in enumerate(self.arrays)]
        return self._items

    def amounts(self, draws: int) -> dict[str, tuple[float, float]]:
        """Contestant -> amount of its elastic part, and the displacement in mm that was measured with it."""
        if not self._amounts:
            self._amounts = {
                name: warps.calibrate(maker, rms=RMS, first=warps.FIRST[name], draws=draws)
                for name, maker in warps.contestants().items()
            }
        return self._amounts

    def patches(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """A 96³ patch of each volume around the middle of its labels."""
        found = []
        for image, label in self.arrays:
            middle = np.argwhere(label).mean(0).astype(int)
            box = tuple(slice(s := min(max(m - 48, 0), n - 96), s + 96) for m, n in zip(middle, label.shape))
            found.append((image[box].copy(), label[box].copy()))
        return found


def measure_warp(volumes: Volumes, *, rounds: int, draws: int) -> dict:
    """Elastic and affine of image and label, both always on."""
    amounts = volumes.amounts(draws)
    pairs_of = [
        (torch.from_numpy((image[None] + 1024) / 4096).float(), torch.from_numpy(label[None]))
        for image, label in volumes.patches()
    ]
    functions = {name: maker(amounts[name][0], 1.0, 1.0) for name, maker in warps.contestants().items()}
    times = interleave(
        {
            name: lambda number, warp=warp: warp(*(t.clone() for t in pairs_of[number % len(pairs_of)]))
            for name, warp in functions.items()
        },
        rounds=rounds,
    )
    return {
        "what": "96³ image + label, elastic and affine; the elastic part scaled to one measured displacement",
        "displacement_rms_mm": {name: round(found, 2) for name, (_, found) in amounts.items()},
        "times": without_samples(times),
        "ratios": {f"engine against {n}": ratio(times, n, "engine") for n in times if n != "engine"},
    }


def measure_views(volumes: Volumes, *, rounds: int) -> dict:
    """Shift, gamma, smoothing and noise, all four on."""
    images = [torch.from_numpy((image[None] + 1024) / 4096).float() for image, _ in volumes.patches()]
    functions = {name: maker(1.0) for name, maker in views.contestants().items()}
    times = interleave(
        {n: lambda number, view=view: view(images[number % len(images)].clone()) for n, view in functions.items()},
        rounds=rounds,
    )
    return {
        "what": "one view of 96³, all four operations",
        "times": without_samples(times),
        "ratios": {f"engine against {n}": ratio(times, n, "engine") for n in times if n != "engine"},
    }


def measure_pairs(volumes: Volumes, *, rounds: int, slow_every: int, draws: int) -> dict:
    """What a MixCL step is fed with, end to end."""
    folder, classes = volumes.folder, cohort.CLASSES + 1
    amounts = {name: amount for name, (amount, _) in volumes.amounts(draws).items()}
    store, keys = storage.prepared_store(volumes.items, folder / "store")
    stock, strong = "MONAI Rand3DElasticd + RandAffined", "MONAI RandSmoothDeformd + RandAffined"
    options: dict[str, Any] = {"classes": classes, "folder": folder / "persistent"}
    functions: dict[str, Callable[[int], Any]] = {
        "engine": pairs.engine(store, keys),
        "MONAI stock, CacheDataset": pairs.monai(
            volumes.items, cache="memory", strong=False, amount=amounts[stock], **options
        ),
        "MONAI stock, PersistentDataset": pairs.monai(
            volumes.items, cache="disk", strong=False, amount=amounts[stock], **options
        ),
        "MONAI strongest, CacheDataset": pairs.monai(
            volumes.items, cache="memory", strong=True, amount=amounts[strong], **options
        ),
    }
    if "batchgeneratorsv2 SpatialTransform" in amounts:
        named = [(item["id"], *pair) for item, pair in zip(volumes.items, volumes.arrays)]
        dataset = storage.write_nnunet(folder / "b2nd", named)
        if dataset is not None:
            functions["batchgeneratorsv2, nnU-Net .b2nd"] = pairs.batchgenerators(
                dataset, [n for n, _, _ in named], amount=amounts["batchgeneratorsv2 SpatialTransform"]
            )
    if "TorchIO elastic + affine" in amounts:
        functions["TorchIO, volumes in memory"] = pairs.torchio(
            volumes.items, volumes.arrays, amount=amounts["TorchIO elastic + affine"]
        )
    slow = [name for name in functions if "stock" in name or "TorchIO" in name]
    times = interleave(functions, rounds=rounds, every=dict.fromkeys(slow, slow_every))
    return {
        "what": "a pair of 96³ patches with three views and drawn voxels, from prepared volumes, one thread",
        "times": without_samples(times),
        "samples a second of one core": {
            name: round(1e3 / float(np.mean([s[1] for s in found["samples"].values()])), 2)
            for name, found in times.items()
        },
        "ratios": {f"engine against {n}": ratio(times, n, "engine") for n in times if n != "engine"},
    }


def parts(volumes: Volumes, *, quick: bool, effort: float) -> dict[str, Callable[[], dict]]:
    """Name -> measurement; ``effort`` scales the rounds."""

    def rounds(full: int) -> int:
        return max(3, round(full * (0.2 if quick else effort)))

    folder, size, draws = volumes.folder, "small" if quick else "paper", rounds(8)
    return {
        "storage": lambda: storage.measure(volumes.items, volumes.arrays, folder, rounds=rounds(60)),
        "weights": lambda: weights.measure([x for _, x in volumes.patches()], classes=14, rounds=rounds(12)),
        "pairs": lambda: measure_pairs(volumes, rounds=rounds(24), slow_every=3, draws=draws),
        "slices": lambda: slices.measure(folder, patients=2 if quick else 4, slices=96, rounds=rounds(60)),
        "stream": lambda: stream.measure(folder, **({"volumes": 20, "crops": 100} if quick else {})),
        "start": lambda: startup.measure(folder, rounds=rounds(5)),
        "warp": lambda: measure_warp(volumes, rounds=rounds(10), draws=draws),
        "views": lambda: measure_views(volumes, rounds=rounds(20)),
        "step": lambda: step.measure(size=size, steps=max(1, round(2 * effort)), fused_attention=True),
        "step options, small": lambda: step.measure_options(size="small", rounds=rounds(6)),
        "step options": lambda: step.measure_options(size=size, rounds=rounds(2)),
        "inference": lambda: step.measure_windows(size=size, rounds=2),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/engine_speed/engine"), help="without an ending")
    parser.add_argument("--only", nargs="+", default=None, help="parts; default: all")
    parser.add_argument("--quick", action="store_true", help="few rounds and a small network: does it run?")
    parser.add_argument("--effort", type=float, default=1.0, help="factor on the number of rounds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the peers' own; the engine's are errors in the tests
    found = options.output.with_suffix(".json")
    record = json.loads(found.read_text(encoding="utf-8")) if found.is_file() else {"parts": {}}
    made = provenance()
    everywhere = {"machine": made.pop("machine"), "versions": made.pop("versions") | peer_versions()}
    circumstances = made | {"quick": options.quick}
    with tempfile.TemporaryDirectory() as folder:
        measurements = parts(
            Volumes(Path(folder), 2 if options.quick else 3), quick=options.quick, effort=options.effort
        )
        if unknown := set(options.only or ()) - measurements.keys():
            parser.error(f"--only: expected {', '.join(measurements)}, got {', '.join(sorted(unknown))}")
        for name, measure in measurements.items():
            if options.only and name not in options.only:
                continue
            load = os.getloadavg()[0]
            print(f"{name} ...", file=sys.stderr, flush=True)
            record["parts"][name] = measure() | circumstances | {"load_before": round(load, 1)}
            record |= everywhere
            write_atomically(found, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
            write_atomically(options.output.with_suffix(".md"), markdown(record).encode())
    print(markdown(record))


def peer_versions() -> dict[str, str | None]:
    """Installed versions; None for a peer that is not there."""
    found: dict[str, str | None] = {}
    for name in PEERS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


if __name__ == "__main__":
    main()
