"""What a report may show where case ids must stay hidden: no id, and no path or name of a run, which may hold one."""

from __future__ import annotations

import hashlib
import hmac
import io
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

from PIL import Image

from monai_cl.report.runs import SCRATCH, Run


def case_namer(hash_patients: bool | str) -> Callable[[str], str]:
    """How case ids are shown: as they are, or as short keyed hashes (a bare hash of a short id could be looked up)."""
    if hash_patients is False:
        return str
    key = (secrets.token_hex(16) if hash_patients is True else hash_patients).encode(errors="backslashreplace")
    return lambda case: "case " + hmac.new(key, str(case).encode(), hashlib.sha256).hexdigest()[:8]


def without_names(runs: Sequence[Run]) -> list[Run]:
    """The runs under numbers: folders and files may be called after a patient, and therefore run names, encoders, paths
    of data lists, configurations and commands are left out. The name inside a data list stays."""
    encoders = list(dict.fromkeys(run.initialisation for run in runs if run.initialisation != SCRATCH))
    starts = {SCRATCH: SCRATCH} | {
        encoder: f"encoder {number}" if len(encoders) > 1 else "pre-trained"
        for number, encoder in enumerate(encoders, start=1)
    }
    paths = list(dict.fromkeys(str(run.data_list.get("path")) for run in runs))
    hidden = []
    for number, run in enumerate(runs, start=1):
        path = f"data list {paths.index(str(run.data_list.get('path'))) + 1}"  # distinguishes lists without a hash
        known = {"name": run.data_list.get("name") or path, "path": path, "synthetic": run.is_synthetic}
        results = run.results | {
            "name": f"run {number}",
            "initialisation": starts[run.initialisation],
            "data_list": run.data_list | known,
            "config": {},
            "command": None,
        }
        hidden.append(replace(run, results=results))
    return hidden


def is_untitled_png(content: bytes) -> bool:
    """Whether a PNG holds no text chunk named Title: `overlay_figure` writes one where it draws a title."""
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            return "Title" not in picture.text
    except (OSError, SyntaxError, ValueError):  # what Pillow raises for a damaged file
        return False
