"""The demonstration: two studies of the package, run whole, and what they found, a sentence for each column.

Every cell is a command a user could type; it is the first line of the cell's log.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import yaml

from monai_cl.data.records.results import run_record, write_results
from monai_cl.errors import UserError, echo
from monai_cl.files import write_atomically
from monai_cl.report import write_report
from monai_cl.shipped import study_file
from monai_cl.study import Expansion, StudyDefinition, StudyFolder, expand, load_study, summarise
from monai_cl.study.running import Runner
from monai_cl.study.summary import Summary

STUDIES = ("demo_organs", "demo_slices")
# study -> step -> options of a run that only shows that everything runs
_QUICK: dict[str, dict[str, dict[str, Any]]] = {
    "demo_organs": {
        "cohort": {"cases": 5},
        "pretraining": {"iterations": 20, "epoch_length": 20, "warmup": 2},
        "finetuning": {"iterations": 10, "epoch_length": 10, "label_fraction": 0.2},
    },
    "demo_slices": {
        "cohort": {"patients": 12, "biopsies": 24},
        "pretraining": {"iterations": 10, "epoch_length": 10, "batch_size": 8},
    },
}


def run_demo(output: str | Path, *, seed: int = 0, quick: bool = False) -> dict[str, Any]:
    """Run both studies in a folder, two cells at a time on two cores; cells that are done are not run again.

    Args:
        output: the folder; gets the studies' YAML files, their tables, ``results.json`` and ``report.html``.
        seed: of the cohorts, and the first of the seeds of the runs.
        quick: a few iterations of each step, to see that it runs; its numbers mean nothing.

    Returns:
        what is written to ``results.json``: ``findings``, one sentence for each arm and column, and ``studies``, the
        rows of the table of each.

    Raises:
        UserError: the folder holds a demonstration of another seed or size, or a cell failed.
    """
    started, output = time.monotonic(), Path(output).resolve()
    files = _claim(output, {name: _study_text(name, seed=seed, quick=quick) for name in STUDIES})
    folder, summaries, runs = StudyFolder(output), {}, []
    studies = {name: load_study(file) for name, file in files.items()}
    expansions = {name: expand(study, memory=folder.memory) for name, study in studies.items()}
    _run_cells([(studies[name], expansions[name]) for name in STUDIES], folder, workers=_cores())
    for name, study in studies.items():
        expansion = expansions[name]
        summaries[name] = summarise(study, expansion, folder)
        for ending, text in ((".md", summaries[name].markdown()), (".csv", summaries[name].csv())):
            write_atomically(output / f"{name}{ending}", text.encode())
        runs += folder.reported(expansion.cells, step=study.measure.step)
    record = run_record(
        kind="demo",
        name="demo (synthetic CT)",
        seed=seed,
        data_list={"path": str(output), "synthetic": True},
        wall_seconds=time.monotonic() - started,
    )
    record["findings"] = [line for summary in summaries.values() for line in findings(summary)]
    record["studies"] = {name: _rows(summary) for name, summary in summaries.items()}
    write_results(output / "results.json", record)
    write_report(output / "report.html", *runs, title="Demonstration on synthetic CT")
    return record


def _run_cells(studies: Sequence[tuple[StudyDefinition, Expansion]], folder: StudyFolder, *, workers: int) -> None:
    """Run all cells, ``workers`` at a time; each worker begins with another study, so that none waits for a long cell.

    Raises:
        UserError: a cell failed.
    """
    turns = [[*studies[k % len(studies) :], *studies[: k % len(studies)]] for k in range(workers)]
    runners = [[Runner(*study, folder, threads=1, say=echo) for study in turn] for turn in turns]

    def work(turn: list[Runner]) -> None:
        for runner in turn:
            for identity, reason in runner.run().failed.items():
                cell = runner.expansion.cells[identity]
                raise UserError(folder.of(cell).log, found=reason, remedy="run the demo again")

    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            for task in as_completed([pool.submit(work, turn) for turn in runners]):
                task.result()
        finally:
            for runner in itertools.chain(*runners):
                runner.stopped.set()


def findings(summary: Summary) -> list[str]:
    """What each arm gained over its control, in a sentence for each column.

    Args:
        summary: of a study.
    """
    lines = []
    for (control, arm, column), found in summary.differences.items():
        before, after = (summary.means[name, column] for name in (control, arm))
        if found.mean is None or before.mean is None or after.mean is None:
            lines.append(f"{column}: {arm} and {control} have nothing in common to compare.")
            continue
        numbers = f"{summary.number(after.mean)} against {summary.number(before.mean)} of {control}"
        difference = summary.number(found.mean, sign=True)
        if found.interval is None:
            lines.append(f"{column}: {arm} {numbers}, difference {difference}; too few pairs for an interval.")
            continue
        low, high = found.interval
        verdict = "gains" if low > 0 else "loses" if high < 0 else "shows no difference"
        interval = " to ".join(summary.number(value, sign=True) for value in (low, high))
        lines.append(
            f"{column}: {arm} {verdict}, {numbers}: {difference} (95 % interval {interval}; "
            f"{before.seeds} {'seed' if before.seeds == 1 else 'seeds'}, {before.cases} test cases)."
        )
    return lines


def _rows(summary: Summary) -> list[dict[str, Any]]:
    rows = []
    for (arm, column), mean in summary.means.items():
        row = {"arm": arm, "column": column, "mean": mean.mean, "sd": mean.deviation, "cases": mean.cases}
        for control in summary.study.controls:
            if (found := summary.differences.get((control, arm, column))) is not None:
                row |= {"control": control, "difference": found.mean, "interval": found.interval}
        rows.append(row)
    return rows


def _study_text(name: str, *, seed: int, quick: bool) -> str:
    """A study of the package with other seeds, and sizes where ``quick``, as the text of a file."""
    content = yaml.safe_load(study_file(name).read_text(encoding="utf-8"))
    content["seeds"] = [seed + other for other in content["seeds"]][: 2 if quick else None]
    changes: Mapping[str, Mapping[str, Any]] = _QUICK[name] if quick else {}
    for step, options in {"cohort": {}, **changes}.items():
        content["steps"][step]["options"] |= options
    for step in content["steps"].values():  # "{seed}" is that of the point, a number is the study's own
        if isinstance(step["options"].get("seed"), int):
            step["options"]["seed"] = seed
    head = f"# {name}.yaml of the package, as the demo runs it: python -m monai_cl study table {name}.yaml --output .\n"
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _claim(output: Path, studies: Mapping[str, str]) -> dict[str, Path]:
    """Write the studies into the folder, or check that they are those in it; study -> its file.

    Raises:
        UserError: another demonstration is there.
    """
    output.mkdir(parents=True, exist_ok=True)
    files = {name: output / f"{name}.yaml" for name in studies}
    for name, file in files.items():
        if file.exists() and file.read_text(encoding="utf-8") != studies[name]:
            raise UserError(
                file,
                expected="the demonstration of this seed and size",
                found="another",
                remedy="name another folder with --output",
            )
    for name, file in files.items():
        write_atomically(file, studies[name].encode())
    return files


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
