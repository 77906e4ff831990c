"""The measurements as Markdown: one table a part, and what was asked for beside what was found."""

from __future__ import annotations

from typing import Any

# part, ratio, "at least" or "at most", wanted
TARGETS = (
    ("pairs", "engine against MONAI stock, CacheDataset", "at least", 15),
    ("pairs", "engine against MONAI strongest, CacheDataset", "at least", 3),
    ("storage", "store against .nii.gz (nibabel)", "at least", 50),
    ("storage", "store over memory", "at most", 4),
    ("weights", "engine against MONAI distance_transform_edt, all classes", "at least", 30),
    ("slices", "store against .nii.gz, nibabel, whole", "at least", 100),
    ("slices", "batch against 64 files, .nii.gz, nibabel, whole", "at least", 100),
)
_SHARE = "losses with sampling over network forward + backward"
_KNOWN = {"what", "times", "ratios", "load_before", "created", "git_commit", "git_dirty", "quick", "command"}


def markdown(record: dict[str, Any]) -> str:
    """The whole record."""
    machine, versions = record["machine"], record["versions"]
    absent = [name for name, version in versions.items() if version is None]
    there = ", ".join(f"{name} {version}" for name, version in versions.items() if version is not None)
    lines = [
        "# The data engine beside its peers",
        "",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; {machine['system']}.",
        f"{there}.",
        *([f"Not installed, so not measured: {', '.join(absent)}."] if absent else []),
        "One thread. Processor time is that of the process; where others work on the machine (load) wall times are",
        "longer. A ratio is the median over rounds of the pairwise ratios of processor time, quartiles in brackets;",
        "`total` is the ratio of the sums, which counts where rounds do unequal work; `wall` is that of wall times.",
        *([record["note"]] if "note" in record else []),
        "",
        *_targets(record["parts"]),
    ]
    for name, part in record["parts"].items():
        lines += _part(name, part)
    return "\n".join(lines).rstrip() + "\n"


def _targets(parts: dict[str, Any]) -> list[str]:
    rows = []
    for part, name, kind, wanted in TARGETS:
        found = parts.get(part, {}).get("ratios", {}).get(name)
        if found is None:
            continue
        # a sample of a pair is warped or not by chance: only sums can be compared
        value = found["processor_total"] if part == "pairs" else found["processor"]
        met = value >= wanted if kind == "at least" else value <= wanted
        rows.append(f"| {part}: {name} | {kind} {wanted} | {value:.1f} | {'met' if met else 'missed'} |")
    for name, value in (
        ("step: losses with sampling over the network", parts.get("step", {}).get(_SHARE, {}).get("processor")),
        ("stream: growth of the resident set", parts.get("stream", {}).get("growth")),
    ):
        if value is not None:
            rows.append(f"| {name} | at most 10 % | {100 * value:.1f} % | {'met' if value <= 0.1 else 'missed'} |")
    return ["| what | aim | found (processor time) | |", "| --- | --- | --- | --- |", *rows, ""] if rows else []


def _part(name: str, part: dict[str, Any]) -> list[str]:
    state = f"commit `{str(part['git_commit'])[:10]}`" + (" with changes" if part["git_dirty"] else "")
    state += ", a quick run" if part["quick"] else ""
    lines = [f"## {name}", "", f"{part['what']}. {state}, {part['created']}, load {part['load_before']}.", ""]
    if times := part.get("times"):
        lines += ["| | wall ms | processor ms | least | rounds |", "| --- | --- | --- | --- | --- |"]
        for who, found in times.items():
            wall, processor = found["wall_ms"], found.get("processor_ms")
            if processor is None:
                spent = f"{found['processor_ms_mean']:.0f} (mean) |"
            else:
                spent = f"{processor['median']:.4g} [{processor['q25']:.4g}, {processor['q75']:.4g}]"
                spent += f" | {processor['least']:.4g}"
            lines.append(f"| {who} | {wall['median']:.4g} | {spent} | {wall['n']} |")
        lines.append("")
    if ratios := part.get("ratios"):
        lines += ["| ratio | processor | total | wall |", "| --- | --- | --- | --- |"]
        for who, found in ratios.items():
            quartiles = f" [{found['processor_q25']}, {found['processor_q75']}]" if "processor_q25" in found else ""
            lines.append(
                f"| {who} | {found['processor']}{quartiles} | {found.get('processor_total', '')} | {found['wall']} |"
            )
        lines.append("")
    others = [f"- {key}: {_words(value)}" for key, value in part.items() if key not in _KNOWN]
    return [*lines, *others, ""] if others else lines


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(one)}" for key, one in value.items())
    return str(value)
