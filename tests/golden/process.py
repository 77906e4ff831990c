"""Starts commands, and turns what they leave into plain values that are the same wherever and whenever they ran."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONPATH": str(ROOT),
    "PYTHONUTF8": "1",
    "LC_ALL": "C.UTF-8",
}
# what tells of the time, the machine, the commit or the place; `config` may lose lines, which is no behaviour
VOLATILE = {"created", "git_commit", "git_dirty", "versions", "wall_seconds", "seconds", "command", "config"}
VOLATILE |= {"modified", "state", "self"}  # of a store's entry: the time of its sources, and the checksum over it


class Failed(Exception):
    """A command ended with another status than 0."""


class Plain:
    """Plain values of files and texts, with the places of this run replaced by names.

    Args:
        places: name -> folder.
    """

    def __init__(self, **places: Path) -> None:
        longest = sorted(places.items(), key=lambda place: -len(str(place[1])))
        self.places = [(str(folder), f"<{name}>") for name, folder in longest]

    def text(self, text: str) -> str:
        """A text without folders and durations."""
        for folder, name in self.places:
            text = text.replace(folder, name)
        return re.sub(r"\b\d+\.\d+ s\b", "# s", text)

    def value(self, value: Any) -> Any:
        """Nested content: tensors and arrays as type, shape and SHA-256; long rows of numbers as SHA-256."""
        if isinstance(value, dict):
            return {str(key): self.value(item) for key, item in value.items() if key not in VOLATILE}
        if isinstance(value, (list, tuple)):
            if len(value) > 64 and all(isinstance(item, (int, float)) for item in value):
                return f"{len(value)} numbers {_sha(repr(list(value)).encode())}"
            return [self.value(item) for item in value]
        if isinstance(value, str):
            return self.text(value)
        if hasattr(value, "numpy"):
            value = value.detach().cpu().numpy()
        if hasattr(value, "tobytes"):
            return f"{value.dtype} {tuple(value.shape)} {_sha(value.tobytes())}"
        return value

    def file(self, path: Path) -> Any:
        """The content of a file, by its kind; of a picture its being there."""
        if path.suffix == ".json":
            return self.value(json.loads(path.read_text(encoding="utf-8")))
        if path.suffix == ".jsonl":
            lines = path.read_text(encoding="utf-8").splitlines()
            return [self.value(json.loads(line)) for line in lines]
        if path.suffix in (".csv", ".md", ".txt"):
            return self.text(path.read_text(encoding="utf-8")).splitlines()
        if path.suffix == ".pt":
            import torch

            return self.value(torch.load(path, map_location="cpu", weights_only=True))
        if path.suffix == ".png":
            return "a picture"
        return f"{path.stat().st_size} bytes {_sha(path.read_bytes())}"

    def arrays(self, path: Path) -> dict[str, Any]:
        """The arrays of an .npz; the archive around them may hold texts of their own."""
        import numpy as np

        with np.load(path, allow_pickle=False) as arrays:
            return {name: self.value(arrays[name]) for name in arrays.files if arrays[name].dtype.kind != "U"}

    def folder(self, folder: Path, *, without: str = r"^$") -> dict[str, Any]:
        """Every file of a folder, without hidden ones, TensorBoard's, logs and those that ``without`` matches."""
        found: dict[str, Any] = {}
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            if re.search(r"(^|/)(\.|tensorboard/|logs/)", name) or re.search(without, name):
                continue
            found[name] = self.arrays(path) if name.endswith("features.npz") else self.file(path)
        return found


class Findings(dict):
    """What a section found, by name; what fails says so and does not stop the others."""

    def take(self, name: str, make: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Keep what ``make`` returns."""
        print(f"- {name}", flush=True)
        try:
            self[name] = make(*arguments, **options)
        except Exception as error:
            self[name] = {"failed": f"{type(error).__name__}: {error}"}


def run(*words: object, cwd: Path, pinned: bool = False) -> str:
    """A command in an interpreter of its own; returns what it printed on stdout.

    Args:
        pinned: on one core, for a command that asks how many there are.

    Raises:
        Failed: another status than 0.
    """
    core = {min(os.sched_getaffinity(0))}
    pin = (lambda: os.sched_setaffinity(0, core)) if pinned else None
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", preexec_fn=pin)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: status {done.returncode}\n{(done.stdout + done.stderr)[-1500:]}")
    return done.stdout


def warm_up() -> None:
    """Import what every bundle needs, so that `fork` is spared these seconds."""
    import monai.bundle.scripts  # noqa: F401
    import torch.utils.tensorboard  # noqa: F401

    import monai_cl.engines
    import monai_cl.losses
    import monai_cl.networks
    import monai_cl.report

    assert Path(monai_cl.__file__).is_relative_to(ROOT), monai_cl.__file__
    for package in (monai_cl.engines, monai_cl.losses, monai_cl.networks, monai_cl.report):
        for name in package.__all__:
            with contextlib.suppress(Exception):  # whoever needs it will say so
                getattr(package, name)


def fork(module: str, *words: object, cwd: Path) -> str:
    """``python -m module words`` as a fork of this process, which has one thread; returns what it printed on stdout.

    Raises:
        Failed: another status than 0.
    """
    out, err = cwd / ".out", cwd / ".err"
    process = multiprocessing.get_context("fork").Process(
        target=_become, args=(module, [str(w) for w in words], out, err)
    )
    process.start()
    process.join()
    if process.exitcode:
        said = out.read_text(errors="replace") + err.read_text(errors="replace")
        raise Failed(f"{module} {' '.join(map(str, words))}: status {process.exitcode}\n{said[-1500:]}")
    return out.read_text(encoding="utf-8")


def _become(module: str, words: list[str], out: Path, err: Path) -> None:
    os.chdir(out.parent)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.stdout.flush()


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]
