"""``python -m monai_cl runs``: which runs there are, how far they are, and what may go."""

from __future__ import annotations

from typing import Any

from monai_cl.cli.disk.answers import agreed
from monai_cl.errors import UserError, echo
from monai_cl.files import size_in_words


def runs_command(
    folder: str = ".",
    *,
    bundle: str | None = None,
    preset: str | None = None,
    seed: int | None = None,
    state: str | None = None,
    clean: bool = False,
    last: bool = False,
    yes: bool = False,
    json: bool = False,
) -> None:
    """List the runs of a folder: bundle, preset, seed, state, iterations, best score, hours, size on disk.

    States: running, finished, interrupted (checkpoints go beyond its results; the same command with --resume auto
    continues it), evaluation.

    Example:
        python -m monai_cl runs runs --state interrupted

    Args:
        folder: a run's folder, or one above it.
        bundle: only runs of this bundle.
        preset: only runs of this preset or method.
        seed: only runs of this seed.
        state: only running, finished, interrupted or evaluation.
        clean: delete what newer files have replaced: checkpoints older than the newest that can be read, damaged ones,
            and parts of files that killed runs left. Asks first; runs that are running are left alone.
        last: with --clean, of finished runs the last checkpoint too; model.pt stays, but they cannot be made longer.
        yes: delete without asking.
        json: print JSON for other programs.
    """
    from monai_cl.engines import find_run_folders, remove_run_files
    from monai_cl.engines.checkpoints.run_folders import STATES, chosen_runs

    if state is not None and state not in STATES:
        raise UserError("--state", expected=f"one of {', '.join(STATES)}", found=state)
    if (last or yes) and not clean:
        raise UserError("--last" if last else "--yes", expected="--clean beside it", found="none")
    runs = chosen_runs(find_run_folders(folder, check=clean), bundle=bundle, preset=preset, seed=seed, state=state)
    if json:
        from dataclasses import asdict
        from json import dumps

        rows = [{**asdict(run), "superseded": _names(run.superseded), "last": _names(run.last)} for run in runs]
        echo(dumps(rows, indent=1, default=str))
    else:
        echo("\n".join(_table(runs)))
    if not clean:
        if not json and (old := sum(sum(run.superseded.values()) for run in runs)):
            echo(f"{size_in_words(old)} are of files that newer ones have replaced: --clean deletes them")
        return
    files: dict[Any, int] = {}
    for run in runs:
        files |= {**run.superseded, **(run.last if last else {})}
    if not files:
        echo("nothing to delete")
        return
    for path, size in files.items():
        echo(f"{size_in_words(size):>10}  {path}")
    question = f"delete these {len(files)} files, {size_in_words(sum(files.values()))}?"
    if not yes and not agreed(question):
        echo("nothing was deleted")
        return
    echo(f"deleted {len(files)} files, {size_in_words(remove_run_files(files))}")


def _table(runs: list[Any]) -> list[str]:
    header = ("run", "bundle", "preset", "seed", "state", "iterations", "best", "hours", "size")
    rows = [
        (
            str(run.path),
            run.bundle,
            run.preset,
            run.seed,
            run.state,
            run.iterations,
            run.best,
            None if run.hours is None else f"{run.hours:.2f}",
            size_in_words(run.bytes),
        )
        for run in runs
    ]
    if not rows:
        return ["no run is of that kind"]
    cells = [header, *(tuple("-" if cell is None else str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
    return [*lines, f"{len(runs)} runs, {size_in_words(sum(run.bytes for run in runs))}"]


def _names(files: Any) -> dict[str, int]:
    return {str(path): size for path, size in files.items()}
