"""Which pre-training on slices tells cirrhosis best? Table 1 and 3 of the WSP paper, on the synthetic cirrhosis cohort.

Patients with a noisy radiological grade pre-train TinyNet by SimCLR, BYOL, SupCon, depth-aware and WSP for the same
number of steps on the same batches. Frozen features of patients with histology, whom no pre-training saw, then give
the AUC of advanced fibrosis (F3-F4) per patient:
  P100   100 patients, stratified 5-fold cross-validation: the paper's protocol
  P400   400 other patients, the same protocol: less noise
  100to400  a probe fitted on the 100, judged on the 400: what a handful of biopsies gives
and R^2 of depth on P400.

    python benchmarks/wsp_methods.py check --output runs/wsp_methods    # is the cohort fit for the comparison?
    python benchmarks/wsp_methods.py run --output runs/wsp_methods      # pre-training; goes on where it was killed
    python benchmarks/wsp_methods.py sweep --output runs/wsp_methods    # sigma and tau of WSP
    python benchmarks/wsp_methods.py table --output runs/wsp_methods    # probes, tables, intervals

A seed changes weights, batches and views. Everything is deterministic but for the order of floating-point sums.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange

from monai_cl.data import PatientSampler, cirrhosis_slices
from monai_cl.data.atomic import temporary_name
from monai_cl.data.cirrhosis_arrays import CirrhosisSlices
from monai_cl.data.features import SliceFeatures, read_features, write_features
from monai_cl.engines import cosine_schedule, effective_rank
from monai_cl.engines.collapse import mean_cosine
from monai_cl.engines.depth_probe import probe_depth
from monai_cl.engines.linear_probe import fit_linear_probe
from monai_cl.engines.probe import probe_patients
from monai_cl.engines.probe_metrics import auc
from monai_cl.losses import SliceLoss
from monai_cl.networks import slice_network, standardise_start
from monai_cl.transforms import SliceViews

METHODS = ("random", "simclr", "byol", "supcon", "depth_aware", "wsp")
NAMES = {"simclr": "SimCLR", "byol": "BYOL", "supcon": "SupCon", "depth_aware": "depth-aware", "wsp": "WSP"}
SIGMAS = (0.01, 0.1, 0.2, 0.5)
TEMPERATURES = (0.05, 0.1, 0.5)
PROTOCOL = 100  # patients of P100; the others are P400


@dataclass(frozen=True)
class Study:
    """Everything that is the same for all methods."""

    size: int = 156  # pixels a side
    width: float = 0.5  # of TinyNet
    patients: int = 1000  # with a grade
    biopsies: int = 500  # with histology
    cohort_seed: int = 2026
    batch: int = 64  # patients, one slice each, two views
    steps: int = 320
    warmup: int = 20
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    head_norm: bool = True  # batch norm in the head: leaves the plateau at once, see the README
    momentum: float = 0.97  # of BYOL's target at the first step: .996 hardly moves in a few hundred
    probability: float = 0.05  # of each of the five views, and their ranges: with the paper's, hundreds of steps teach
    crop_area: float = 0.8  # not even cross-entropy to tell the grades
    shift: float = 0.05
    angle: float = 10.0
    bf16: bool = True  # convolutions; standardisation, head and loss are float32

    @property
    def views(self) -> dict[str, Any]:
        """Options of `SliceViews`."""
        ranges = {"crop_area": (self.crop_area, 1.0), "crop_ratio": (0.95, 1.05)}
        return {"probability": self.probability, "shift": self.shift, "angle": self.angle, **ranges}


@dataclass(frozen=True)
class Job:
    """One pre-training."""

    method: str
    seed: int
    sigma: float = 0.1
    temperature: float = 0.1

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"{self.method}-sigma{self.sigma:g}-tau{self.temperature:g}-{self.seed}"


def cohort(folder: Path, study: Study, name: str) -> CirrhosisSlices:
    """Slices of the cohort "grades" or "histology", made once."""
    path = folder / f"{name}.npz"
    if not path.exists():
        count = study.patients if name == "grades" else study.biopsies
        slices = cirrhosis_slices(study.cohort_seed, count, cohort=name, size=study.size, progress=True)
        temporary = temporary_name(path).with_suffix(".npz")
        slices.save(temporary)
        temporary.rename(path)
    return CirrhosisSlices.load(path)


def images(slices: CirrhosisSlices, rows: np.ndarray) -> torch.Tensor:
    """(n, 1, H, W) in [0, 1]."""
    return rearrange(torch.from_numpy(slices.images[rows]).float().div_(255), "n h w -> n 1 h w")


def pretrain(study: Study, slices: CirrhosisSlices, job: Job) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The network after pre-training, and what the run showed of itself."""
    torch.manual_seed(job.seed)  # weights of one seed are the same for every method
    norm = {} if job.method == "random" else {"head_norm": study.head_norm}
    net = slice_network(
        job.method, iterations=study.steps, momentum=study.momentum, width=study.width, image_size=study.size, **norm
    ).to(memory_format=torch.channels_last)
    first = np.random.default_rng([study.cohort_seed, job.seed]).choice(len(slices), 128, replace=False)
    standardise_start(net, images(slices, first))
    log: dict[str, Any] = {"curve": []}
    if job.method == "random":
        return net, log
    loss_function = SliceLoss(job.method, sigma=job.sigma, temperature=job.temperature)
    weights = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=study.learning_rate, weight_decay=study.weight_decay)
    schedule = cosine_schedule(optimizer, iterations=study.steps, warmup=study.warmup)
    sampler = PatientSampler(slices.patients.tolist(), slices.grades.tolist(), batch_size=study.batch, seed=job.seed)
    views = SliceViews(seed=job.seed, views=2, **study.views).train()
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
        if job.method == "byol":
            net.update_target()
        if (step + 1) % 25 == 0:
            rows_of = [rearrange(outputs[key].detach(), "n v f -> (n v) f") for key in ("embedding", "representation")]
            log["curve"].append(
                [step + 1, float(loss.detach()), mean_cosine(rows_of[0]), *(float(effective_rank(r)) for r in rows_of)]
            )
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


def judge(features: SliceFeatures) -> dict[str, Any]:
    """AUC by the three protocols, balanced accuracy, R^2 of depth, and the patients' probabilities behind them."""
    few = features.patient < f"p{PROTOCOL:04d}"
    parts = {"P100": features.select(few), "P400": features.select(~few)}
    found: dict[str, Any] = {}
    for name, part in parts.items():
        result = probe_patients(part, seed=0)
        metrics = result.metrics()
        found[name] = {key: metrics[key] for key in ("auc", "auc_std", "auc_pooled", "balanced_accuracy")}
        found[name] |= {"labels": result.labels.tolist(), "probability": result.probability.round(6).tolist()}
        found[name]["depth_r2"] = probe_depth(part, folds=result.folds, seed=0).mean
    fitted = fit_linear_probe(parts["P100"].features, parts["P100"].patient, parts["P100"].label)
    _, probability, _ = fitted.patient_probability(parts["P400"].features, parts["P400"].patient)
    labels = found["P400"]["labels"]
    found["100to400"] = {"auc": auc(np.array(labels), probability), "labels": labels}
    found["100to400"]["probability"] = probability.round(6).tolist()
    return found


def judged(folder: Path) -> dict[Job, dict[str, Any]]:
    """Every job's judgement, kept in ``judged.jsonl``."""
    path = folder / "judged.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    found = {Job(**row["job"]): row["found"] for row in rows}
    for file in sorted((folder / "features").glob("*.npz")):
        features = read_features(file)
        job = Job(**{key: features.about[key] for key in ("method", "seed", "sigma", "temperature")})
        if job not in found:
            found[job] = judge(features)
            with open(path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps({"job": asdict(job), "found": found[job]}) + "\n")
    return found


def difference(one: list[dict], other: list[dict], *, resamples: int = 4000) -> tuple[float, float, float]:
    """Mean AUC difference ``one - other`` of paired seeds, with a 95 % interval: seeds and patients are resampled."""
    labels = np.array(one[0]["labels"])
    scores = np.array([[a["probability"], b["probability"]] for a, b in zip(one, other, strict=True)])
    positive, negative = (np.flatnonzero(labels == value) for value in (1, 0))
    # share of pairs (positive, negative) in the right order, of each seed and side
    wins = np.sign(scores[..., positive, None] - scores[..., None, negative]) / 2 + 0.5
    gain = wins[:, 0] - wins[:, 1]
    rng, means = np.random.default_rng(0), np.empty(resamples)
    for i in range(resamples):
        seeds = gain[rng.integers(len(gain), size=len(gain))].mean(axis=0)
        p, n = (np.bincount(rng.integers(size, size=size), minlength=size) for size in seeds.shape)
        means[i] = p @ seeds @ n / (p.sum() * n.sum())
    return float(gain.mean()), *(float(q) for q in np.quantile(means, (0.025, 0.975)))


def spread(values: list[float]) -> str:
    """Mean and standard deviation over seeds."""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.3f}"


def tables(folder: Path) -> str:
    """Method table, sweeps and curves' ends, in Markdown."""
    found, study = judged(folder), json.loads((folder / "study.json").read_text(encoding="utf-8"))
    main = {method: {j.seed: f for j, f in found.items() if j == Job(method, j.seed)} for method in METHODS}
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in main.values())))
    logs = [json.loads(line) for line in (folder / "pretraining.jsonl").read_text(encoding="utf-8").splitlines()]
    lines = [
        f"Synthetic CT. TinyNet of width {study['width']:g}, {study['size']} pixels a side, {study['patients']} "
        f"patients with a grade, {study['steps']} steps of {study['batch']} patients; {len(seeds)} seeds. AUC of F3-F4 "
        "against F0-F2 by patient from frozen features. ± is the standard deviation over seeds; differences are paired "
        "by seed and patient, with a 95 % interval that resamples both.",
        "",
        "| method | P100, 5 folds | P400, 5 folds | balanced accuracy, P400 | 100to400 | R² of depth, P400 "
        "| WSP − method, P400 | WSP − method, 100to400 | last loss; mean cosine |",
        "| --- |" + " --- |" * 8,
    ]
    for method in METHODS:
        rows = [main[method][seed] for seed in seeds]
        cells = [NAMES.get(method, method), *(spread([r[p]["auc"] for r in rows]) for p in ("P100", "P400"))]
        cells.append(spread([r["P400"]["balanced_accuracy"] for r in rows]))
        cells.append(spread([r["100to400"]["auc"] for r in rows]))
        cells.append(spread([r["P400"]["depth_r2"] for r in rows]))
        for protocol in ("P400", "100to400"):
            pairs = [[main[m][seed][protocol] for seed in seeds] for m in ("wsp", method)]
            gain, low, high = difference(*pairs)
            cells.append("" if method == "wsp" else f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]")
        ends = [
            log["curve"][-1]
            for log in logs
            if Job(*(log[k] for k in ("method", "seed"))) == Job(method, log["seed"])
            and log["seed"] in seeds
            and log["curve"]
            and log["sigma"] == log["temperature"] == 0.1
        ]
        cells.append(f"{np.mean([e[1] for e in ends]):.2f}; {np.mean([e[2] for e in ends]):.2f}" if ends else "")
        lines.append(f"| {' | '.join(cells)} |")
    for title, key, values in (("σ", "sigma", SIGMAS), ("τ", "temperature", TEMPERATURES)):
        chosen = {v: {j.seed: f for j, f in found.items() if j == Job("wsp", j.seed, **{key: v})} for v in values}
        chosen = {value: by_seed for value, by_seed in chosen.items() if by_seed}
        if len(chosen) < 2:
            continue
        common = sorted(set.intersection(*(set(by_seed) for by_seed in chosen.values())))
        lines += ["", f"WSP by {title}, seeds {', '.join(map(str, common))}:", ""]
        lines += [
            f"| {title} | P100, 5 folds | P400, 5 folds | 100to400 | R² of depth, P400 |",
            "| --- |" + " --- |" * 4,
        ]
        for value, by_seed in chosen.items():
            rows = [by_seed[seed] for seed in common]
            cells = [f"{value:g}", *(spread([r[p]["auc"] for r in rows]) for p in ("P100", "P400", "100to400"))]
            lines.append(f"| {' | '.join([*cells, spread([r['P400']['depth_r2'] for r in rows])])} |")
    return "\n".join(lines)


def check(folder: Path, study: Study) -> str:
    """How well the true shape, a thumbnail and scalars tell the stage: what makes the comparison meaningful."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from monai_cl.data import cirrhosis_case

    slices = cohort(folder, study, "histology")
    patients, first, counts = np.unique(slices.patients, return_index=True, return_counts=True)
    truth, grade = slices.histology[first], slices.grades[first]
    unit = slices.images.astype(np.float32) / 255
    side = study.size // 8
    small = rearrange(unit[:, : 8 * side, : 8 * side], "n (h a) (w b) -> n h w a b", a=side, b=side).mean(axis=(3, 4))
    thumbnail = np.array([small[slices.patients == patient].mean(axis=0).ravel() for patient in patients])
    means = np.array([unit[slices.patients == patient].mean() for patient in patients])
    shapes = np.array(
        [cirrhosis_case(study.cohort_seed, int(p), cohort="histology", size=16).shape.as_row() for p in patients]
    )

    def cross_validated(features: np.ndarray) -> float:
        model = [
            make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=2000)) for C in (1e-3, 1e-2, 0.1, 1.0)
        ]
        scores = [cross_val_predict(m, features, truth, cv=5, method="decision_function") for m in model]
        return max(auc(truth, score) for score in scores)

    return "\n".join(
        f"{name:24s} AUC {value:.3f}"
        for name, value in {
            "true shape": cross_validated(shapes),
            "radiological grade": auc(truth, grade.astype(float)),
            "thumbnail 8 x 8": cross_validated(thumbnail),
            "mean intensity": auc(truth, means),
            "slices kept": auc(truth, counts.astype(float)),
        }.items()
    )


def environment() -> dict[str, str]:
    """Machine, versions and commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit.stdout.strip(),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("check", "run", "sweep", "table"))
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=None, help="default: 0 to 4; of a sweep 0 and 1")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    for name, value in asdict(Study()).items():
        if not isinstance(value, bool):
            parser.add_argument(f"--{name}", type=type(value), default=value)
    options = parser.parse_args()
    study = Study(**{k: getattr(options, k) for k, v in asdict(Study()).items() if not isinstance(v, bool)})
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    if options.what == "check":
        print(check(options.output, study))
    elif options.what == "run":
        seeds = options.seeds or list(range(5))
        run(options.output, study, [Job(method, seed) for seed in seeds for method in options.methods])
    elif options.what == "sweep":
        seeds = options.seeds or [0, 1]
        swept = [{"sigma": v} for v in SIGMAS] + [{"temperature": v} for v in TEMPERATURES]
        run(options.output, study, [Job("wsp", seed, **values) for seed in seeds for values in swept])
    else:
        text = tables(options.output)
        (options.output / "table.md").write_text(text + "\n")
        (options.output / "environment.json").write_text(json.dumps(environment()) + "\n")
        print(text)


if __name__ == "__main__":
    main()
