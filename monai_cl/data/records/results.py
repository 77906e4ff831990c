"""``results.json``: what a run leaves beside its checkpoints, written whole or not at all, read with clear errors."""

from __future__ import annotations

import json
import math
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from monai_cl._version import __version__
from monai_cl.data.records.results_schema import SCHEMA, check_results
from monai_cl.errors import UserError
from monai_cl.files import write_atomically
from monai_cl.shipped import installed_version

FILE_NAME = "results.json"
_NOT_READ = "copy it again, or leave the folder of this run out"


def run_record(
    *,
    kind: str,
    name: str,
    seed: int,
    bundle: str | None = None,
    device: Any = "cpu",
    data_list: Mapping[str, Any] | None = None,
    initialisation: str | os.PathLike | None = None,
    encoder: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    curves: Mapping[str, Sequence[Sequence[float]]] | None = None,
    metrics: Mapping[str, Any] | None = None,
    overlays: Sequence[str] = (),
    wall_seconds: float | None = None,
) -> dict[str, Any]:
    """Everything ``results.json`` holds; the circumstances (time, commit, versions, command) are collected here.

    Args:
        kind: ``"pretraining"``, ``"segmentation"`` or ``"classification"``.
        name: the run's name, as people will read it in tables.
        seed: the run's seed.
        bundle: name of the bundle that ran.
        device: ``torch.device`` or string; a CUDA device is written with the card's name.
        data_list: the data that were used, see :func:`monai_cl.engines.prepared_lists.describe`.
        initialisation: encoder file the weights came from; None is ``"scratch"``.
        encoder: what that encoder is: ``sha256``, ``preset``, ``training`` with lists, scans and steps, ``tensors``
            taken of each part of the network; see `monai_cl.engines.start_from`. None: none was loaded.
        config: the merged configuration as plain values.
        curves: quantity -> [[iteration, value], ...].
        metrics: for a segmentation ``{"mean_dice", "dice": {organ: x}, "per_case": [{"id", "patient", "dice"}]}``; for
            a classification ``{"auc", "auc_std", "auc_pooled", "auc_interval", "balanced_accuracy", "depth_r2",
            "folds": [{"fold", "auc"}], "per_patient": [{"patient", "fold", "label", "probability", "n_slices"}]}``;
            such a record gets ``method`` and ``cohort`` beside it.
        overlays: image files, relative to the folder of ``results.json``.
        wall_seconds: duration of the run.
    """
    commit, dirty = git_state()
    return {
        "schema": SCHEMA,
        "kind": kind,
        "bundle": bundle,
        "name": name,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seed": seed,
        "git_commit": commit,
        "git_dirty": dirty,
        "versions": installed_versions(),
        "device": describe_device(device),
        "wall_seconds": wall_seconds,
        "command": shlex.join(sys.argv),
        "data_list": dict(data_list or {}),
        "initialisation": "scratch" if initialisation is None else os.fspath(initialisation),
        "encoder": None if encoder is None else dict(encoder),
        "config": dict(config or {}),
        "curves": dict(curves or {}),
        "metrics": dict(metrics or {}),
        "overlays": list(overlays),
    }


def write_results(path: str | os.PathLike, results: Mapping[str, Any]) -> Path:
    """Write ``results`` as JSON to ``path`` (a folder means ``results.json`` in it); returns the file written.

    Numbers that JSON cannot hold (nan, inf) become null; numpy and torch values become plain ones; anything else that
    JSON does not know is written as its string, because a finished run must not be lost over an unusual configuration
    value. The file appears whole or not at all.

    Args:
        path: the JSON file to write, or an existing folder, which gets a ``results.json``.
        results: what `run_record` made.

    Raises:
        UserError: when required keys are missing or have another form than the schema's.
    """
    path = Path(path)
    if path.is_dir():
        path = path / FILE_NAME
    plain = _plain(results)
    check_results(plain, where=str(path))
    write_atomically(path, (json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
    return path


def is_record(path: str | os.PathLike) -> bool:
    """Whether a run of this project wrote the ``results.json`` there: it says its ``schema``, whatever else is in it.

    Args:
        path: the JSON file, or the folder of a run; nothing has to be there.
    """
    path = Path(path)
    try:
        found = json.loads((path / FILE_NAME if path.is_dir() else path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and "schema" in found


def read_results(path: str | os.PathLike) -> dict[str, Any]:
    """Read ``results.json`` from a file or from the folder of a run; checked, with nan as None.

    Args:
        path: the JSON file, or the folder of a run with a ``results.json`` in it.

    Raises:
        UserError: when the file is missing, cut off, not JSON, or not what a run writes.
    """
    path = Path(path)
    if path.is_dir():
        path = path / FILE_NAME
    if not path.is_file():
        raise UserError(
            path,
            expected="the results of a finished run",
            found="no such file",
            remedy="give the folder of a run that ended (or its results.json)",
        )
    try:
        results = _plain(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(path, found=f"cannot be read ({error.strerror})", remedy="check its permissions") from error
    except ValueError as error:
        raise UserError(
            path,
            expected="JSON as a run writes it",
            found=f"something else ({error})",
            remedy=_NOT_READ,
        ) from error
    except RecursionError as error:
        raise UserError(path, expected="JSON as a run writes it", found="endless nesting", remedy=_NOT_READ) from error
    check_results(results, where=str(path))
    return results


def git_state() -> tuple[str | None, bool | None]:
    """Commit of the checkout this package is imported from and whether it has uncommitted changes.

    ``(None, None)`` for an installed package: a site-packages folder may lie inside somebody else's repository, so the
    package must be tracked there to count.
    """
    package = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(package), *arguments],
                capture_output=True,
                encoding="utf-8",
                timeout=20,
                # a look must not take the index lock from somebody who is committing
                env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
                check=True,
            )
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
            return None
        return done.stdout.strip()

    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None, None
    commit = git("rev-parse", "HEAD")
    changes = git("status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else bool(changes)


def installed_versions() -> dict[str, str | None]:
    """Versions of Python and of the packages a result depends on, without importing them."""
    versions = {name: installed_version(name) for name in ("monai", "torch", "pytorch-ignite", "numpy")}
    return {"python": platform.python_version(), "monai_cl": __version__, **versions}


def describe_device(device: Any) -> str:
    """``"cpu"``, or ``"cuda:0 (name of the card)"`` where torch is loaded and sees it."""
    text = str(device)
    torch = sys.modules.get("torch")
    if text.startswith("cuda") and torch is not None and torch.cuda.is_available():
        return f"{text} ({torch.cuda.get_device_name(device)})"
    return text


def _plain(value: Any) -> Any:
    """JSON's own types only; nan and inf become None, a lone surrogate its escape: no file or figure can hold it."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy and torch, arrays and scalars, without importing either
        return _plain(value.tolist())
    return _plain(str(value))
