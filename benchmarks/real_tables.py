"""The result of `real_low_label.py` as JSON and Markdown: Dice by method, and its gain over scratch, paired by seed."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from real_lists import organ_groups

from monai_cl.data.records.results import git_state, installed_versions, read_results
from monai_cl.files import write_atomically
from monai_cl.report.statistics import paired_difference

SCRATCH = "scratch"
CAVEAT = (
    "One training patient and two test patients, whose images were rebuilt from 8-bit pictures; the labels of LIDC and "
    "of the TotalSegmentator case are predictions. Seeds are repetitions on these patients: what holds over seeds need "
    "not hold over patients."
)


def write_tables(folder: Path) -> Path:
    """Collect the finished runs of a study into ``results.json`` and ``results.md``; returns the latter."""
    summary = summarise(folder)
    write_atomically(folder / "results.json", (json.dumps(summary, indent=1) + "\n").encode())
    path = folder / "results.md"
    write_atomically(path, markdown(summary).encode())
    return path


def summarise(folder: Path) -> dict[str, Any]:
    """Everything the study found, as plain values."""
    runs = [read_results(path) for path in sorted(folder.glob("finetuning/*/results.json"))]
    scores: dict[str, dict[str, dict[int, float]]] = {}  # what -> method -> seed -> Dice
    seconds: dict[str, list[float]] = {}
    for run in runs:
        method = run["name"].rsplit("-", 1)[0]
        seconds.setdefault(f"fine-tuning {method}", []).append(run["wall_seconds"])
        for what, value in score(run["metrics"]).items():
            scores.setdefault(what, {}).setdefault(method, {})[run["seed"]] = value
    logs = {path.parent.name: read_results(path) for path in sorted(folder.glob("pretraining/*/results.json"))}
    for name, run in logs.items():
        seconds.setdefault(f"pre-training {name.rsplit('-', 1)[0]}", []).append(run["wall_seconds"])
    commits = {(run["git_commit"] or "?") + ("+changes" if run["git_dirty"] else "") for run in [*runs, *logs.values()]}
    command, host = folder / "command.txt", folder / "machine.json"
    return {
        "what": "MixCL pre-training on real CT, fine-tuned on one labelled BTCV case",
        "caveat": CAVEAT,
        "study": json.loads((folder / "study.json").read_text(encoding="utf-8")),
        "organs labelled in pre-training by": {group: list(organs) for group, organs in organ_groups().items()},
        "dice": {what: {m: _statistics(seeds) for m, seeds in found.items()} for what, found in scores.items()},
        "gain": {what: _gains(found) for what, found in scores.items()},
        "pre-training, end of the curves": {name: _last(run["curves"]) for name, run in logs.items()},
        "seconds a run": {what: round(mean(values), 1) for what, values in seconds.items()},
        "command": command.read_text(encoding="utf-8") if command.is_file() else None,
        "machine": json.loads(host.read_text(encoding="utf-8")) if host.is_file() else None,
        "devices": sorted({run["device"] for run in runs}),
        "versions": installed_versions(),
        "git_commits_of_the_runs": sorted(commits),
        "git_commit_of_the_table": git_state()[0],
    }


def score(metrics: dict[str, Any]) -> dict[str, float]:
    """Mean Dice of all organs and of each group (over cases the mean over the organs a case has), and of each organ."""
    found = {}
    everything = tuple(metrics["dice"])
    for what, organs in {
        "all organs": everything,
        **{f"labelled by {g}": o for g, o in organ_groups().items()},
    }.items():
        cases = [[case["dice"][o] for o in organs if case["dice"][o] is not None] for case in metrics["per_case"]]
        if any(cases):
            found[what] = mean(mean(values) for values in cases if values)
    return found | {organ: value for organ, value in metrics["dice"].items() if value is not None}


def _statistics(by_seed: dict[int, float]) -> dict[str, Any]:
    values = list(by_seed.values())
    return {"mean": mean(values), "sd": stdev(values) if len(values) > 1 else None, "by_seed": by_seed}


def _gains(found: dict[str, dict[int, float]]) -> dict[str, Any]:
    gains = {}
    for method, by_seed in found.items():
        pairs = sorted(by_seed.keys() & found.get(SCRATCH, {}).keys())
        if method == SCRATCH or not pairs:
            continue
        differences = [by_seed[seed] - found[SCRATCH][seed] for seed in pairs]
        named = [{str(seed): by_method[seed] for seed in pairs} for by_method in (found[SCRATCH], by_seed)]
        test = paired_difference(*named)
        gains[method] = {
            "mean": mean(differences),
            "sd": stdev(differences) if len(pairs) > 1 else None,
            "better": sum(d > 0 for d in differences),
            "pairs": len(pairs),
            "interval": None if test.low is None else [test.low, test.high],
            "p": test.p_value,
        }
    return gains


def _last(curves: dict[str, list[list[float]]]) -> dict[str, float]:
    return {name: points[-1][1] for name, points in curves.items() if points}


def markdown(summary: dict[str, Any]) -> str:
    """The summary for people."""
    methods = sorted(summary["dice"].get("all organs", {}), key=lambda m: (m != SCRATCH, m))
    wide = [what for what in summary["dice"] if what == "all organs" or what.startswith("labelled by")]
    study, host = summary["study"], summary["machine"] or {}
    lines = [
        f"# {summary['what']}",
        "",
        summary["caveat"],
        "",
        f"Patches {study['patch']}³ at {' × '.join(map(str, study['spacing']))} mm, {study['pretrain_steps']} steps of "
        f"pre-training, {study['finetune_steps']} of fine-tuning. Mean Dice of the two test patients.",
        "",
        "| Dice | " + " | ".join(wide) + " |",
        "| --- |" + " --- |" * len(wide),
    ]
    for method in methods:
        lines.append(f"| {method} | " + " | ".join(_dice(summary["dice"][what].get(method)) for what in wide) + " |")
    lines += [
        "",
        "Gain over scratch, paired by seed: mean ± SD, seeds better of all, 95 % bootstrap interval and p",
        "",
    ]
    lines += ["| gain | " + " | ".join(wide) + " |", "| --- |" + " --- |" * len(wide)]
    for method in methods:
        if method in summary["gain"].get("all organs", {}):
            lines.append(
                f"| {method} | " + " | ".join(_gain(summary["gain"][what].get(method)) for what in wide) + " |"
            )
    lines += ["", "| organ | " + " | ".join(methods) + " |", "| --- |" + " --- |" * len(methods)]
    for what, found in summary["dice"].items():
        if what not in wide:
            lines.append(f"| {what} | " + " | ".join(_dice(found.get(method)) for method in methods) + " |")
    groups = summary["organs labelled in pre-training by"]
    lines += ["", *(f"- labelled by {group}: {', '.join(organs)}" for group, organs in groups.items())]
    lines += ["", "Seconds a run: " + ", ".join(f"{what} {value}" for what, value in summary["seconds a run"].items())]
    lines += ["", f"    {summary['command']}", ""]
    lines += [
        f"Machine: {', '.join(f'{key} {value}' for key, value in host.items())}; {', '.join(summary['devices'])}."
    ]
    lines += ["Versions: " + ", ".join(f"{name} {version}" for name, version in summary["versions"].items()) + "."]
    lines += [f"Commit of the runs: {', '.join(summary['git_commits_of_the_runs'])}.", ""]
    return "\n".join(lines)


def _dice(found: dict[str, Any] | None) -> str:
    if found is None:
        return "–"
    deviation = "" if found["sd"] is None else f" ± {found['sd']:.3f}"
    return f"{found['mean']:.3f}{deviation}"


def _gain(found: dict[str, Any] | None) -> str:
    if found is None:
        return "–"
    deviation = "" if found["sd"] is None else f" ± {found['sd']:.3f}"
    text = f"{found['mean']:+.3f}{deviation}, {found['better']}/{found['pairs']}"
    if found["interval"] is not None:
        text += f", [{found['interval'][0]:+.3f}, {found['interval'][1]:+.3f}]"
    return text + ("" if found["p"] is None else f", p {found['p']:.3f}")
