"""Does pre-training gain, with one labelled case? Scratch against every MixCL preset, on synthetic CT.

One synthetic cohort of partly annotated data sets (liver; kidneys; pancreas; each annotated for its own organs only)
pre-trains a small UNETR with each preset for the same number of steps. Each encoder, and none ("scratch"), is then
fine-tuned on ONE labelled synthetic case and tested on others, an organ at a time. Kidneys and liver were labelled in
pre-training; spleen and stomach never were.

    python benchmarks/low_label_gain.py tune  --output runs/gain          # learning rates, on seeds of their own
    python benchmarks/low_label_gain.py run   --output runs/gain --seeds 5
    python benchmarks/low_label_gain.py table --output runs/gain

A seed changes initial weights, patches, views and the one labelled case. Results are appended to
``results.jsonl``; what is there is not computed again, so a killed study continues.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.networks.nets import UNETR
from torch.utils.data import DataLoader

from monai_cl.data import (
    MixCLPatches,
    PositionSampler,
    Preparation,
    SegmentationPatches,
    VolumeStore,
    address_seed,
    load_data_list,
    prepare,
)
from monai_cl.data.phantom.abdomen.cohort import write_cohort
from monai_cl.engines import (
    MixCLPrepareBatch,
    cosine_schedule,
    effective_rank,
    gradient_norms,
    identity_levels,
    parameter_groups,
)
from monai_cl.losses import MixCLLoss, mixcl_preset
from monai_cl.networks import MixCLNet
from monai_cl.networks.transfer import encoder_weights

PRESETS = ("identity", "label", "reconstruction", "paper", "balanced", "hybrid", "supervised")
TARGETS = {"kidneys": (2, 3), "liver": (4,), "spleen": (1,), "stomach": (5,)}  # ids of the synthetic target set
LABELLED = ("kidneys", "liver")  # annotated in a pre-training data set
UNLABELLED = ("spleen", "stomach")  # annotated in none


@dataclass(frozen=True)
class Study:
    """Everything that is the same for all methods."""

    spacing: float = 5.0
    patch: int = 32
    feature_size: int = 8
    hidden_size: int = 48
    cases: int = 24  # per data set
    test_cases: int = 8
    pretrain_steps: int = 600
    pretrain_lr: float = 1e-3
    finetune_steps: int = 200
    finetune_batch: int = 2
    finetune_lr: float = 3e-3
    encoder_lr_factor: float = 0.1  # of the fine-tuning rate, for a pre-trained encoder

    @property
    def unetr(self) -> dict[str, int]:
        """Arguments of UNETR that pre-training and fine-tuning share."""
        return {
            "img_size": self.patch,
            "feature_size": self.feature_size,
            "hidden_size": self.hidden_size,
            "mlp_dim": 2 * self.hidden_size,
            "num_heads": 4,
        }


class Cohort:
    """The synthetic cohort, written and prepared once."""

    def __init__(self, folder: Path, study: Study, *, workers: int = 2) -> None:
        data = folder / "cohort"
        if not data.is_dir():
            write_cohort(data, cases=study.cases, seed=2026, spacing=study.spacing, workers=workers)
        preparation = Preparation(spacing=(study.spacing,) * 3)
        self.keys: dict[str, list[str]] = {}
        for name in ("pretraining", "target"):
            for dataset in load_data_list(data / f"{name}.json").datasets:
                if dataset.name == "synthetic_abdomen":
                    continue  # stomach and aorta stay unlabelled
                items = load_data_list(data / f"{name}.json").items("training", dataset=dataset.name)
                done = prepare(items, folder / "store", preparation, workers=workers)
                self.keys["target" if name == "target" else dataset.name] = list(done.keys)
        self.store = VolumeStore.open(folder / "store")
        self.pretraining = {name: keys for name, keys in self.keys.items() if name != "target"}
        self.class_counts = [
            1 + max(max(self.store.entry(k).classes) for k in keys) for keys in self.pretraining.values()
        ]


def pretrain(study: Study, cohort: Cohort, preset: str, seed: int, *, options: dict | None = None) -> tuple[dict, dict]:
    """Encoder weights after pre-training with a preset, and what the run showed of itself."""
    weights = mixcl_preset(preset, **(options or {}))
    supervised = weights["supervised_weight"] > 0
    torch.manual_seed(address_seed(seed, 1))
    net = MixCLNet(
        **study.unetr,
        levels=identity_levels(weights["identity_levels"], weights["identity_weight"]),
        label_level=weights["label_level"] if weights["label_weight"] else None,
        reconstruct=weights["reconstruction_weight"] > 0,
        classes=cohort.class_counts if supervised else (),
    ).to(memory_format=torch.channels_last_3d)
    loss_function = MixCLLoss(**weights, class_counts=cohort.class_counts if supervised else None)
    optimizer = torch.optim.AdamW(
        [p for p in net.parameters() if p.requires_grad], lr=study.pretrain_lr, weight_decay=1e-5
    )
    schedule = cosine_schedule(optimizer, iterations=study.pretrain_steps, warmup=20)
    patches = MixCLPatches(
        cohort.store, cohort.pretraining, patch_size=study.patch, seed=seed, mu=8 * 1.5 / study.spacing
    )
    batches = iter(DataLoader(patches, batch_size=1, sampler=PositionSampler(batch_size=1)))
    views, log, started = MixCLPrepareBatch(seed=seed), {}, time.perf_counter()
    positives = []
    for step in range(study.pretrain_steps):
        inputs, targets = views(next(batches), torch.device("cpu"))
        outputs = net(inputs)
        loss = loss_function(outputs, targets)
        if step in (20, study.pretrain_steps - 1):
            norms = gradient_norms(loss_function.terms, net.encoder_parameters())
            log[f"step {step + 1}"] = {
                "terms": {name: float(term.detach()) for name, term in loss_function.terms.items()},
                "weighted encoder gradient": {
                    name: loss_function.weights[name] * float(n) for name, n in norms.items()
                },
                "diagnostics": {name: float(value) for name, value in loss_function.diagnostics.items()},
                "effective rank": [
                    None if z is None else float(effective_rank(z[0].flatten(1).T)) for z in outputs["levels"]
                ],
            }
        positives.append(float(loss_function.diagnostics.get("label_positive_share", float("nan"))))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    log["seconds"] = time.perf_counter() - started
    log["share of steps with a positive pair"] = float(np.nanmean(positives)) if weights["label_weight"] else None
    return {k: v.detach().clone() for k, v in encoder_weights(net.unetr.state_dict()).items()}, log


def finetune(study: Study, cohort: Cohort, encoder: dict | None, target: str, seed: int) -> dict[str, Any]:
    """Fine-tune for one organ on one labelled case and test on others: Dice per case, on the study's grid."""
    ids = torch.tensor(TARGETS[target])
    keys = cohort.keys["target"]
    training, test = [keys[seed % (len(keys) - study.test_cases)]], keys[-study.test_cases :]
    torch.manual_seed(address_seed(seed, 2))
    net = UNETR(in_channels=1, out_channels=2, **study.unetr).to(memory_format=torch.channels_last_3d)
    if encoder is not None:
        net.load_state_dict(encoder, strict=False)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_("norm_cross_attn" not in name)
    factor = 1.0 if encoder is None else study.encoder_lr_factor
    groups = parameter_groups(net, learning_rate=study.finetune_lr, encoder_factor=factor)
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-5)
    schedule = cosine_schedule(optimizer, iterations=study.finetune_steps, warmup=10)
    patches = SegmentationPatches(cohort.store, training, patch_size=study.patch, seed=seed)
    size = study.finetune_batch
    batches = iter(DataLoader(patches, batch_size=size, sampler=PositionSampler(batch_size=size)))
    loss_function = DiceCELoss(to_onehot_y=True, softmax=True)
    started = time.perf_counter()
    for _ in range(study.finetune_steps):
        batch = next(batches)
        loss = loss_function(net(batch["image"]), torch.isin(batch["label"], ids).long())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - started
    net.eval()
    dice = [test_dice(study, cohort, net, key, ids) for key in test]
    return {"dice": float(np.nanmean(dice)), "per_case": dice, "seconds": seconds, "final_loss": float(loss.detach())}


@torch.no_grad()
def test_dice(study: Study, cohort: Cohort, net: torch.nn.Module, key: str, ids: torch.Tensor) -> float:
    """Dice of one test case by sliding window; nan where the organ is absent."""
    image = torch.from_numpy(cohort.store.read(key).astype(np.float32)).clamp(-150, 250).add(150).div(400)
    truth = torch.isin(torch.from_numpy(cohort.store.read(key, kind="label").astype(np.int64)), ids)
    logits = sliding_window_inference(image[None, None], study.patch, 4, net, overlap=0.5, mode="gaussian")
    found = logits.argmax(1)[0] == 1
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum())) if truth.any() else float("nan")


class Results:
    """``results.jsonl``: one line a finished piece of work, found again by its key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.rows = [json.loads(line) for line in lines]

    def get(self, **key: Any) -> dict | None:
        """The row with this key, if it is there."""
        return next((row for row in self.rows if all(row.get(k) == v for k, v in key.items())), None)

    def add(self, row: dict) -> None:
        """Append a row."""
        self.rows.append(row)
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")


def encoder_of(folder: Path, study: Study, cohort: Cohort, preset: str, seed: int, results: Results) -> dict:
    """The pre-trained encoder of (preset, seed), from disk if it is there."""
    path = folder / "encoders" / f"{preset}-{study.pretrain_steps}-{seed}.pt"
    if not path.exists():
        encoder, log = pretrain(study, cohort, preset, seed)
        path.parent.mkdir(exist_ok=True)
        torch.save(encoder, path)
        results.add({"kind": "pretraining", "preset": preset, "seed": seed, "steps": study.pretrain_steps, **log})
    return torch.load(path, weights_only=True)


def tune(
    folder: Path, study: Study, rates: list[float], factors: list[float], methods: list[str], seeds: list[int]
) -> None:
    """Learning rate of scratch, then the encoder's factor for a pre-trained start, on seeds the study does not use."""
    cohort, results = Cohort(folder, study), Results(folder / "tuning.jsonl")
    for seed in seeds:
        for target in TARGETS:
            for method, rate, factor in [("scratch", r, 1.0) for r in rates] + [
                (m, study.finetune_lr, f) for m in methods if m != "scratch" for f in factors
            ]:
                key = {"method": method, "target": target, "lr": rate, "factor": factor, "seed": seed}
                if results.get(**key):
                    continue
                encoder = None if method == "scratch" else encoder_of(folder, study, cohort, method, seed, results)
                setting = replace(study, finetune_lr=rate, encoder_lr_factor=factor)
                found = finetune(setting, cohort, encoder, target, seed)
                results.add({**key, **found})
                print(*key.values(), round(found["dice"], 3), f"{found['seconds']:.0f} s", flush=True)


def run(folder: Path, study: Study, methods: list[str], seeds: list[int]) -> None:
    """Every method on every seed and target."""
    cohort, results = Cohort(folder, study), Results(folder / f"results-{seeds[0]}.jsonl")
    (folder / "study.json").write_text(json.dumps(asdict(study), indent=1))
    for seed in seeds:
        for method in methods:
            todo = [t for t in TARGETS if not results.get(kind="finetuning", method=method, seed=seed, target=t)]
            if not todo:
                continue
            encoder = None if method == "scratch" else encoder_of(folder, study, cohort, method, seed, results)
            for target in todo:
                found = finetune(study, cohort, encoder, target, seed)
                results.add({"kind": "finetuning", "method": method, "seed": seed, "target": target, **found})
                print(method, seed, target, round(found["dice"], 3), flush=True)


def table(folder: Path) -> str:
    """Dice of every method and its paired difference to scratch and to the supervised control, in Markdown.

    A pair is a (seed, target, test case); the interval resamples seeds and test cases together by their clusters.
    """
    rows = [row for path in sorted(folder.glob("results-*.jsonl")) for row in Results(path).rows]
    fine = {(r["method"], r["target"], r["seed"]): r["per_case"] for r in rows if r["kind"] == "finetuning"}
    methods = [m for m in ("scratch", *PRESETS) if any(key[0] == m for key in fine)]
    seeds = sorted({seed for method, target, seed in fine if all((m, target, seed) in fine for m in methods)})
    study = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    lines = [
        f"Synthetic CT, one labelled case, {len(seeds)} seeds ({', '.join(map(str, seeds))}), {study['test_cases']} "
        f"test cases a seed, {study['pretrain_steps']} pre-training and {study['finetune_steps']} fine-tuning steps. "
        "Dice in points; ± is the standard deviation over seeds; differences are paired, 95 % bootstrap interval.",
        "",
        f"| method | {' | '.join(TARGETS)} | labelled in pre-training: against scratch "
        "| never labelled: against scratch | labelled: against supervised |",
        "| --- |" + " --- |" * (len(TARGETS) + 3),
    ]
    for method in methods:
        cells = [method]
        for target in TARGETS:
            means = [100 * np.nanmean(fine[method, target, seed]) for seed in seeds]
            cells.append(f"{np.mean(means):.1f} ± {np.std(means, ddof=1) if len(means) > 1 else 0:.1f}")
        for group, control in ((LABELLED, "scratch"), (UNLABELLED, "scratch"), (LABELLED, "supervised")):
            if method == control or control not in methods:
                cells.append("")
                continue
            pairs = np.array([[fine[method, t, s], fine[control, t, s]] for t in group for s in seeds], dtype=float)
            per_seed = rearrange(100 * (pairs[:, 0] - pairs[:, 1]), "(t s) c -> s (t c)", s=len(seeds))
            low, high = seed_bootstrap(per_seed)
            cells.append(f"{np.nanmean(per_seed):+.1f} [{low:+.1f}, {high:+.1f}]")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def seed_bootstrap(differences: np.ndarray, *, resamples: int = 10_000) -> tuple[float, float]:
    """95 % interval of the mean of (seeds, cases) differences: seeds are resampled, then cases within them."""
    rng = np.random.default_rng(0)
    seeds, cases = differences.shape
    means = np.empty(resamples)
    for i in range(resamples):
        drawn = differences[rng.integers(seeds, size=seeds)]
        means[i] = np.nanmean(drawn[:, rng.integers(cases, size=cases)])
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tune", "run", "table"))
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--methods", nargs="+", default=["scratch", *PRESETS])
    parser.add_argument("--rates", type=float, nargs="*", default=[1e-3, 3e-3, 1e-2])
    parser.add_argument("--factors", type=float, nargs="*", default=[0.1, 0.3, 1.0])
    for name, value in asdict(Study()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    options = parser.parse_args()
    study = Study(**{name: getattr(options, name) for name in asdict(Study())})
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    if options.what == "tune":
        tune(options.output, study, options.rates, options.factors, options.methods, options.seeds or [100, 101])
    elif options.what == "table":
        text = table(options.output)
        (options.output / "table.md").write_text(text + "\n")
        print(text)
    else:
        run(options.output, study, options.methods, options.seeds or list(range(5)))


if __name__ == "__main__":
    main()
