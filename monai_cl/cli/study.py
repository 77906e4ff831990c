"""``python -m monai_cl study …``: run the cells of a study, see how far it is, make its table."""

from __future__ import annotations

import signal
import sys
from typing import Any

from monai_cl.errors import UserError, echo


class StudyCommands:
    """Run a study (a YAML file of arms, settings, folds and seeds), cell by cell, and make its table."""

    def run(
        self,
        study: str,
        output: str | None = None,
        *,
        workers: int = 1,
        threads: int | None = None,
        gpus: Any = None,
        inputs: dict | None = None,
        dry_run: bool = False,
        slurm: str | None = None,
    ) -> None:
        """Run every cell that is not done; killed at any moment, the same command goes on.

        Example:
            python -m monai_cl study run low_label_synthetic --output runs/low_label --workers 2

        Args:
            study: the YAML file, or the name of a study that comes with the package.
            output: folder of its cells; default: runs/ and the file's name.
            workers: cells at a time; with --slurm, tasks of the array.
            threads: of each cell; default: the cores divided by the workers, unless OMP_NUM_THREADS is set.
            gpus: CUDA devices that the workers share out, as 0,1,2,3; default: each sees all. Not with --slurm.
            inputs: paths that replace those of the study, as "{'dataset': '/data/BTCV'}".
            dry_run: only count the cells and estimate the hours.
            slurm: write a Slurm script to this file instead of running.
        """
        from monai_cl.study.running import Runner, estimated_hours

        if workers < 1:
            raise UserError("--workers", expected="at least 1", found=workers)
        if slurm is not None and gpus is not None:
            remedy = "leave --gpus out: each task has the devices that Slurm gives it, by a line gres=gpu of the script"
            raise UserError("--gpus", expected="none with --slurm", found=gpus, remedy=remedy)
        definition, folder, expansion = _open(study, output, inputs)
        states = [folder.of(cell).is_done() for cell in expansion.cells.values()]
        if dry_run or slurm is not None:
            echo(f"{definition.name}: {len(states)} cells, {sum(states)} done, {len(expansion.points)} places")
            for step in definition.steps:
                of_step = [cell for cell in expansion.cells.values() if cell.step == step]
                echo(f"  {step}: {len(of_step)} cells, {sum(folder.of(cell).is_done() for cell in of_step)} done")
            for name, found in expansion.inputs.items():
                echo(f"  input {name}: {definition.inputs[name]}{' (absent)' if found == 'absent' else ''}")
            hours, unknown = estimated_hours(expansion, folder, workers=workers)
            left_out = f", without {', '.join(unknown)}: none of these is done yet" if unknown else ""
            echo(f"  about {hours:.1f} hours left with {workers} at a time{left_out}")
        if slurm is not None:
            echo(f"wrote {_write_slurm(slurm, definition, folder, states.count(False), workers, inputs, threads)}")
        if dry_run or slurm is not None:
            return
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        devices = list(gpus) if isinstance(gpus, (list, tuple)) else [] if gpus is None else [gpus]
        runner = Runner(definition, expansion, folder, threads=_threads(threads, workers), gpus=devices, say=echo)
        progress = runner.run(workers)
        left = sum(not folder.of(cell).is_done() for cell in expansion.cells.values())
        echo(f"{len(progress.done)} cells done, {len(progress.failed)} failed, {left} left in {folder.path}")
        if progress.failed:
            first = expansion.cells[next(iter(progress.failed))]
            raise UserError(
                folder.of(first).log,
                found=f"{len(progress.failed)} cells failed; this one: {progress.failed[first.identity]}",
                remedy="run the study again to try them once more",
            )

    def table(
        self, study: str, output: str | None = None, *, inputs: dict | None = None, to: str | None = None
    ) -> None:
        """Print the table of the cells that are done, and write it: Markdown, CSV, HTML, and each case as JSON lines.

        Example:
            python -m monai_cl study table low_label_synthetic --output runs/low_label

        Args:
            study: as of `study run`.
            output: as of `study run`.
            inputs: as of `study run`.
            to: name of the files without ending; default: table in the folder of the study.
        """
        from pathlib import Path

        from monai_cl.files import write_atomically
        from monai_cl.study import place_lines, summarise

        definition, folder, expansion = _open(study, output, inputs)
        found = summarise(definition, expansion, folder)
        echo(found.markdown())
        target = folder.path / "table" if to is None else Path(str(to))
        texts = {".md": found.markdown(), ".csv": found.csv(), ".html": found.html()}
        for ending, text in {**texts, ".jsonl": place_lines(definition, expansion, folder)}.items():
            write_atomically(target.with_name(target.name + ending), text.encode())
        also = ""
        if found.convergence is not None:
            epochs = target.with_name(f"{target.name}_epochs.csv")
            write_atomically(epochs, found.convergence.csv().encode())
            also = f", and {epochs}"
        echo(f"wrote {target}.md, .csv, .html and .jsonl{also}")

    def report(
        self,
        study: str,
        output: str | None = None,
        *,
        inputs: dict | None = None,
        to: str | None = None,
        hash_patients: bool | str = False,
    ) -> None:
        """Write one page about the cells that are done: curves, differences, overlays, ROC, principal directions.

        Example:
            python -m monai_cl study report low_label_synthetic --output runs/low_label

        Args:
            study: as of `study run`.
            output: as of `study run`.
            inputs: as of `study run`.
            to: the page; default: report.html in the folder of the study.
            hash_patients: as of `report`.
        """
        from monai_cl.cli.report import hash_key, report_command

        hash_key(hash_patients)  # refused before the study is read
        definition, folder, expansion = _open(study, output, inputs)
        runs = folder.reported(expansion.cells, step=definition.measure.step)
        if not runs:
            others = len(folder.others(expansion.cells))
            found = f"none; {others} cells are of other versions of the study" if others else "none"
            expected, remedy = "a cell that is done", "run the study first"
            if any(folder.of(cell).is_done() for cell in expansion.cells.values()):
                expected, found = "a finished cell with results of a bundle or a command", "none"
                remedy = "study table shows the numbers of programs"
            raise UserError(folder.path, expected=expected, found=found, remedy=remedy)
        target = folder.path / "report.html" if to is None else str(to)
        report_command(*runs, output=str(target), title=definition.name, hash_patients=hash_patients)

    def status(self, study: str, output: str | None = None, *, inputs: dict | None = None) -> None:
        """Print how many cells are done, running, failed, killed and open, what failed, and what the others warned of.

        Example:
            python -m monai_cl study status low_label_synthetic --output runs/low_label

        Args:
            study: as of `study run`.
            output: as of `study run`.
            inputs: as of `study run`.
        """
        from collections import Counter

        from monai_cl.study.folder import DONE, FAILED, OPEN, RUNNING, STARTED

        definition, folder, expansion = _open(study, output, inputs)
        states = {cell.name: folder.of(cell).state() for cell in expansion.cells.values()}
        counts = Counter(states.values())
        echo(f"{definition.name}, {folder.path}")
        echo("  " + ", ".join(f"{counts[state]} {state}" for state in (DONE, RUNNING, FAILED, STARTED, OPEN)))
        for cell in expansion.cells.values():
            if states[cell.name] == FAILED:
                echo(f"  failed: {cell.name}: {(folder.of(cell).record('failed') or {}).get('reason')}")
        for line in folder.warnings(expansion.cells):
            echo(f"  {line}")
        if others := folder.others(expansion.cells):
            echo(f"  {len(others)} cells of other versions of the study, not counted: {others[0]} …")


def _open(study: str, output: str | None, inputs: Any) -> tuple[Any, Any, Any]:
    from pathlib import Path

    from monai_cl.shipped import study_file
    from monai_cl.study import StudyFolder, expand, load_study

    path = Path(str(study))
    if path.suffix not in (".yaml", ".yml"):
        path = study_file(str(study))
    if inputs is not None and not isinstance(inputs, dict):
        raise UserError("--inputs", expected="\"{'name': 'path'}\"", found=f"{inputs!r}")
    definition = load_study(path, inputs=_absolute(inputs))
    folder = StudyFolder(Path("runs") / path.stem if output is None else Path(str(output)))
    return definition, folder, expand(definition, memory=folder.memory)


def _absolute(inputs: dict | None) -> dict[str, str]:
    """Paths of the command line start where the user is, those of the file beside it."""
    from pathlib import Path

    from monai_cl.study.identity import LIST

    return {
        str(name): str(value) if str(value).startswith(LIST) else str(Path(str(value)).expanduser().resolve())
        for name, value in (inputs or {}).items()
    }


def _threads(threads: int | None, workers: int) -> int | None:
    import os

    if threads is not None or "OMP_NUM_THREADS" in os.environ:
        return threads
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // workers)


def _write_slurm(
    slurm: str, definition: Any, folder: Any, count: int, tasks: int, inputs: dict | None, threads: int | None
) -> str:
    from pathlib import Path

    from monai_cl.files import write_atomically
    from monai_cl.study import slurm_script

    file = Path(str(slurm))
    script = slurm_script(
        definition.path, folder.path, name=definition.name, count=count, tasks=tasks, file=file,
        python=sys.executable, inputs=_absolute(inputs), threads=threads,
    )  # fmt: skip
    write_atomically(file, script.encode())
    return str(file)
