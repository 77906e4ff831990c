"""The comparison in Markdown: methods at each temperature, the sweeps of WSP, how each pre-training ended."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from wsp.judging import difference, judged
from wsp.study import METHODS, NAMES, SIGMAS, TEMPERATURES, Job, own_temperature

BY_SEED = dict[int, dict]


def spread(values: list[float]) -> str:
    """Mean and standard deviation over seeds."""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.3f}"


def row(cells: list[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def by_seed(found: dict[Job, dict], method: str, **values: float) -> BY_SEED:
    """Judgements of a method at these values of its parameters, and the usual ones of others."""
    return {job.seed: judgement for job, judgement in found.items() if job == Job(method, job.seed, **values)}


def ends(folder: Path, method: str, temperature: float, seeds: list[int]) -> str:
    """Mean loss and mean cosine of embeddings at the end of pre-training."""
    logs = [json.loads(line) for line in (folder / "pretraining.jsonl").read_text(encoding="utf-8").splitlines()]
    jobs = {Job(method, seed, **own_temperature(method, temperature)) for seed in seeds}
    last = [
        log["curve"][-1]
        for log in logs
        if log["curve"] and Job(log["method"], log["seed"], log["sigma"], log["temperature"]) in jobs
    ]
    return f"{np.mean([end[1] for end in last]):.2f}; {np.mean([end[2] for end in last]):.2f}" if last else ""


def method_table(folder: Path, found: dict[Job, dict], temperature: float) -> list[str]:
    """Every method that was run at a temperature, beside WSP at the same; nothing without WSP and another."""
    rows = {m: by_seed(found, m, **own_temperature(m, temperature)) for m in METHODS}
    rows = {method: judgements for method, judgements in rows.items() if judgements}
    if "wsp" not in rows or sum(bool(own_temperature(method, temperature)) for method in rows) < 2:
        return []
    seeds = sorted(set.intersection(*map(set, rows.values())))
    lines = [
        f"τ = {temperature:g}, {len(seeds)} seeds:",
        "",
        "| method | P100, 5 folds | P400, 5 folds | balanced accuracy, P400 | 100to400 | R² of depth, P400 "
        "| WSP − method, P400 | WSP − method, 100to400 | last loss; mean cosine |",
        "| --- |" + " --- |" * 8,
    ]
    for method, judgements in rows.items():
        of = [judgements[seed] for seed in seeds]
        cells = [NAMES.get(method, method), *(spread([r[p]["auc"] for r in of]) for p in ("P100", "P400"))]
        cells.append(spread([r["P400"]["balanced_accuracy"] for r in of]))
        cells.append(spread([r["100to400"]["auc"] for r in of]))
        cells.append(spread([r["P400"]["depth_r2"] for r in of]))
        for protocol in ("P400", "100to400"):
            gain, low, high = difference(*([rows[m][seed][protocol] for seed in seeds] for m in ("wsp", method)))
            cells.append("" if method == "wsp" else f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]")
        lines.append(row([*cells, ends(folder, method, temperature, seeds)]))
    return [*lines, ""]


def sweep_table(found: dict[Job, dict], title: str, key: str, values: tuple[float, ...]) -> list[str]:
    """WSP by one of its parameters, on the seeds that all values have."""
    chosen = {value: judgements for value in values if (judgements := by_seed(found, "wsp", **{key: value}))}
    if len(chosen) < 2:
        return []
    common = sorted(set.intersection(*map(set, chosen.values())))
    lines = [
        f"WSP by {title}, seeds {', '.join(map(str, common))}:",
        "",
        f"| {title} | P100, 5 folds | P400, 5 folds | 100to400 | R² of depth, P400 |",
        "| --- |" + " --- |" * 4,
    ]
    for value, judgements in chosen.items():
        of = [judgements[seed] for seed in common]
        cells = [f"{value:g}", *(spread([r[p]["auc"] for r in of]) for p in ("P100", "P400", "100to400"))]
        lines.append(row([*cells, spread([r["P400"]["depth_r2"] for r in of])]))
    return [*lines, ""]


def tables(folder: Path) -> str:
    """All of it, in Markdown."""
    found, study = judged(folder), json.loads((folder / "study.json").read_text(encoding="utf-8"))
    lines = [
        f"Synthetic CT. TinyNet of width {study['width']:g}, {study['size']} pixels per side, {study['patients']} "
        f"patients with a grade, {study['steps']} steps of {study['batch']} patients. AUC of F3-F4 against F0-F2 by "
        "patient from frozen features. ± is the standard deviation over seeds; differences are paired by seed and "
        "patient, with a 95 % interval that resamples both.",
        "",
    ]
    for temperature in sorted(TEMPERATURES):
        lines += method_table(folder, found, temperature)
    lines += sweep_table(found, "σ", "sigma", SIGMAS)
    lines += sweep_table(found, "τ", "temperature", TEMPERATURES)
    return "\n".join(lines).rstrip()
