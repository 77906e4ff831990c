"""What ran: the circumstances and the configuration of every run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import yaml

from monai_cl.report.comparison import labelled_scans
from monai_cl.report.page.folding import folded
from monai_cl.report.run_tables import config_table, runs_table
from monai_cl.report.runs import Run
from monai_cl.report.settings import UNSET, flat_config

# the rest is in results.json
_MOST_CASES = 40


def what_ran_html(runs: Sequence[Run], name_case: Callable[[str], str], *, private: bool) -> str:
    """The table of runs, where configurations differ, and everything about each run, folded.

    Args:
        runs: of the report.
        name_case: how a case id is shown.
        private: leave out paths and configurations.
    """
    parts = [runs_table(runs).html()]
    segmentations = [run for run in runs if run.kind == "segmentation"]
    differing = config_table(segmentations) if len(segmentations) > 1 else None
    if differing is not None:
        parts.append(folded("Where the configurations of the segmentation runs differ", differing.html()))
    facts = [_facts(run, name_case, private=private) for run in runs]
    common = {
        name: value for name, value in facts[0].items() if len(runs) > 1 and all(f.get(name) == value for f in facts)
    }
    parts += [f"<h3>Of all runs</h3>\n{facts_html(common)}"] if common else []
    for run, found, configuration in zip(runs, facts, _configurations(runs), strict=True):
        own = {name: value for name, value in found.items() if name not in common}
        parts.append(_run_html(run, own, configuration, private=private))
    return "".join(parts)


def _facts(run: Run, name_case: Callable[[str], str], *, private: bool) -> dict[str, str]:
    results = run.results
    cases = [name_case(case) for case in run.data_list.get("training_cases") or []]
    more = len(cases) - _MOST_CASES
    facts = {
        "bundle": results.get("bundle"),
        "created": results["created"],
        "commit": _commit(results),
        "versions": ", ".join(f"{name} {version}" for name, version in results["versions"].items() if version),
        "device": results["device"],
        "iterations": results.get("iterations"),
        "best validation": _best(results.get("best")),
        "initialisation": results["initialisation"],
        "data list": run.data_name if private else f"{run.data_name}: {run.data_list.get('path')}",
        "source of the data": run.data_list.get("source"),
        "sha256 of the list": run.data_list.get("sha256"),
        "trained with": labelled_scans([run]) if run.kind == "segmentation" else None,
        "fold": run.fold,
        "training cases": ", ".join(cases[:_MOST_CASES]) + (f" and {more} more" if more > 0 else ""),
        "command": results.get("command"),
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def facts_html(facts: Mapping[str, str]) -> str:
    """Names and what is said of them, one below the other."""
    listed = "".join(
        f"<dt>{escape(name, quote=False)}</dt><dd>{escape(value, quote=False)}</dd>" for name, value in facts.items()
    )
    return f"<dl>{listed}</dl>\n"


def _run_html(run: Run, facts: Mapping[str, str], configuration: str, *, private: bool) -> str:
    text = facts_html(facts)
    if private:
        text += '<p class="sub">Paths, configuration, command and the name of the run are left out.</p>\n'
    elif run.results["config"]:
        name = escape(f"Configuration of {run.title}")
        configuration = escape(configuration, quote=False)
        text += f'<pre role="group" tabindex="0" aria-label="{name}">{configuration}</pre>\n'
    return folded(f"{run.title}: circumstances and configuration", text)


def _configurations(runs: Sequence[Run]) -> list[str]:
    """The configuration of each run; of one like an earlier run only what differs, so that the page stays small."""
    texts, written = [], []
    for run in runs:
        own = dict(flat_config(run.results["config"]))
        for other, its in written:
            different = [key for key in {**its, **own} if its.get(key) != own.get(key)]
            if other.kind == run.kind and len(different) < len(own) / 2:
                lines = [f"{key}: {own.get(key, UNSET)}" for key in different]
                texts.append("\n".join([f"As {other.title}" + (", but for:" if lines else "."), *lines]))
                break
        else:
            written.append((run, own))
            texts.append(yaml.safe_dump(run.results["config"], sort_keys=False, allow_unicode=True, width=10**6))
    return texts


def _commit(results: Mapping[str, Any]) -> str:
    commit = results.get("git_commit")
    if not commit:
        return "none (installed package)"
    return f"{commit}, with uncommitted changes" if results.get("git_dirty") else str(commit)


def _best(best: Any) -> str | None:
    if not isinstance(best, Mapping) or not isinstance(best.get("mean_dice"), (int, float)):
        return None
    return f"mean Dice {best['mean_dice']:.3f} at iteration {best.get('iteration')}"
