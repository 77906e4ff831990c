"""Runs on the disk: what they are, how far they are, what they hold, and which of their files newer ones replaced."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_cl.data.records.results import FILE_NAME, read_results
from monai_cl.engines.checkpoints.checkpoint_file import DAMAGED, checkpoint_iteration, checkpoints_in, left_overs
from monai_cl.engines.handlers.run_folder import best_score
from monai_cl.errors import UserError
from monai_cl.files import reported
from monai_cl.locks import Lock
from monai_cl.networks import read_about
from monai_cl.networks.archive import checksum_error

STATES = ("running", "finished", "interrupted", "evaluation")
_MODEL = "model.pt"
_STORE = "store.json"  # of a store of prepared volumes, in which no run is looked for


@dataclass(frozen=True)
class RunFolder:
    """A run.

    Attributes:
        path: its folder.
        state: ``running`` (a process holds it), ``finished``, ``interrupted`` (checkpoints go beyond its results), or
            ``evaluation`` (results without a training).
        kind: ``pretraining``, ``segmentation``, …; None where nothing says it.
        bundle: name of its bundle, or None.
        preset: method or preset, or None.
        seed: of the run, or None.
        iterations: done so far, or None.
        best: its best score in words, or None.
        hours: wall time of a run with results, all its parts together, or None.
        bytes: of its files, those of runs below it left out.
        superseded: files that newer ones have replaced, with their bytes.
        last: of a finished run its last checkpoint, which only a longer run needs, with its bytes; or empty.
    """

    path: Path
    state: str
    kind: str | None = None
    bundle: str | None = None
    preset: str | None = None
    seed: int | None = None
    iterations: int | None = None
    best: str | None = None
    hours: float | None = None
    bytes: int = 0
    superseded: Mapping[Path, int] = field(default_factory=dict)
    last: Mapping[Path, int] = field(default_factory=dict)


def find_run_folders(root: str | Path, *, check: bool = True) -> list[RunFolder]:
    """The runs in a folder, at any depth, in the order of their paths. Nothing is changed.

    Stores of prepared volumes are not searched, links to folders are not followed.

    Args:
        root: a run's folder, or one above it.
        check: read the newest checkpoints to the end before older ones count as superseded; False: believe in them.

    Raises:
        UserError: no such folder, or no run in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(root, expected="a folder with runs", found="no such folder", remedy="correct the path")
    folders = []
    for place, below, files in os.walk(root):
        if _STORE in files:
            below.clear()
            continue
        below[:] = sorted(name for name in below if not name.startswith("."))
        if FILE_NAME in files or any(name.startswith("checkpoint_iteration=") for name in files):
            folders.append(Path(place))
    found = [run for folder in folders if (run := _look_at(folder, set(folders), check)) is not None]
    if not found:
        raise UserError(
            root,
            expected="checkpoints or results of a run in it or below it",
            found="none",
            remedy="name another folder",
        )
    return found


def chosen_runs(runs: Iterable[RunFolder], **wanted: Any) -> list[RunFolder]:
    """The runs whose attributes have the wanted values; None wants any.

    Args:
        runs: of `find_run_folders`.
        **wanted: attribute -> value.
    """
    given = {name: str(value) for name, value in wanted.items() if value is not None}
    return [run for run in runs if all(str(getattr(run, name)) == value for name, value in given.items())]


def remove_run_files(files: Mapping[Path, int]) -> int:
    """Delete files of runs and return the bytes that are free now.

    Args:
        files: with their bytes, such as the ``superseded`` of a `RunFolder`.

    Raises:
        UserError: one that cannot be deleted; those before it are.
    """
    freed = 0
    for path, size in files.items():
        with reported(path, "deleted", remedy="make its folder writable"):
            path.unlink(missing_ok=True)
        freed += size
    return freed


def _look_at(folder: Path, runs: set[Path], check: bool) -> RunFolder | None:
    """A folder's run; None where its results are the summary of a demonstration."""
    checkpoints = checkpoints_in(folder)
    results = _results(folder)
    if results is not None and results["kind"] == "demo":
        return None
    newest = checkpoint_iteration(checkpoints[0]) if checkpoints else None
    done = None if results is None else results.get("iterations")
    if Lock(folder).is_busy():
        state = "running"
    elif results is None or (newest is not None and newest > (done or 0)):
        state = "interrupted"
    else:
        state = "finished" if done is not None else "evaluation"
    record = _record(checkpoints, folder / _MODEL)
    training = record.get("training") or {}
    superseded, last = (
        ({}, {}) if state == "running" else _superseded(folder, checkpoints, finished=state == "finished", check=check)
    )
    return RunFolder(
        path=folder,
        state=state,
        kind=(results or record).get("kind"),
        bundle=(results or record).get("bundle"),
        preset=record.get("preset")
        or (results or {}).get("method")
        or ((results or {}).get("config") or {}).get("preset"),
        seed=training.get("seed") if results is None else results["seed"],
        iterations=max((n for n in (newest, done) if n is not None), default=None),
        best=None if results is None else best_score(results),
        hours=None if results is None or results["wall_seconds"] is None else results["wall_seconds"] / 3600,
        bytes=sum(_sizes(folder, runs)),
        superseded=superseded,
        last=last,
    )


def _results(folder: Path) -> dict[str, Any] | None:
    try:
        return read_results(folder) if (folder / FILE_NAME).is_file() else None
    except UserError:  # of another program, or damaged: the checkpoints say what they can
        return None


def _record(checkpoints: list[Path], model: Path) -> dict[str, Any]:
    """That of the newest file of weights that has one."""
    for path in (*checkpoints, model):
        try:
            about = read_about(path)
        except (UserError, OSError):
            continue
        if about is not None:
            return about
    return {}


def _superseded(
    folder: Path, checkpoints: list[Path], *, finished: bool, check: bool
) -> tuple[dict[Path, int], dict[Path, int]]:
    """Files of killed writers, damaged ones, and checkpoints older than the newest that can be read."""
    files = [*left_overs(folder), *sorted(folder.glob(f"checkpoint_iteration=*.pt{DAMAGED}"))]
    whole = None
    if len(checkpoints) > 1 or finished:  # only then is there something that it stands in for
        whole = next((path for path in checkpoints if not check or checksum_error(path) is None), None)
    if whole is not None:
        files += [path for path in checkpoints if checkpoint_iteration(path) < checkpoint_iteration(whole)]
    last = [whole] if finished and whole is not None and (folder / _MODEL).is_file() else []
    return {path: path.stat().st_size for path in files}, {path: path.stat().st_size for path in last}


def _sizes(folder: Path, runs: set[Path]) -> Iterator[int]:
    for place, below, files in os.walk(folder):
        below[:] = [name for name in below if Path(place) / name not in runs]
        for name in files:
            path = Path(place) / name
            if not path.is_symlink():
                yield path.stat().st_size
