"""What a report may show where case ids must stay hidden: no id, and no path or name of a run, which may hold one."""

from __future__ import annotations

import hashlib
import hmac
import io
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from PIL import Image

from monai_cl.report.runs import SCRATCH, Run
from monai_cl.report.settings import differing_settings
from monai_cl.report.starts import start_keys

_NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")


def case_namer(hash_patients: bool | str) -> Callable[[str], str]:
    """How case ids are shown: as they are, or as short keyed hashes (a bare hash of a short id could be looked up)."""
    if hash_patients is False:
        return str
    key = (secrets.token_hex(16) if hash_patients is True else hash_patients).encode(errors="backslashreplace")
    return lambda case: "case " + hmac.new(key, str(case).encode(), hashlib.sha256).hexdigest()[:8]


def without_names(runs: Sequence[Run]) -> list[Run]:
    """The runs under numbers: folders and files may be called after a patient, and therefore run names, encoders, paths
    of data lists, configurations and commands are left out. The name inside a data list stays, and so do the settings
    in which its runs differ: numbers as they are, texts under numbers."""
    keys = start_keys(runs)
    encoders = list(dict.fromkeys(key for key in keys.values() if key != SCRATCH))
    numbered = {
        encoder: f"encoder {number}" if len(encoders) > 1 else "pre-trained"
        for number, encoder in enumerate(encoders, start=1)
    }
    starts = {given: numbered.get(key, SCRATCH) for given, key in keys.items()}
    paths = list(dict.fromkeys(str(run.data_list.get("path")) for run in runs))
    settings = _hidden_settings(runs)
    hidden = []
    for number, run in enumerate(runs, start=1):
        path = f"data list {paths.index(str(run.data_list.get('path'))) + 1}"  # distinguishes lists without a hash
        known = {"name": run.data_list.get("name") or path, "path": path, "synthetic": run.is_synthetic}
        results = run.results | {
            "name": f"run {number}",
            "initialisation": starts[run.initialisation],
            "data_list": run.data_list | known,
            "config": settings[number - 1],
            "encoder": None if not run.is_pretrained else {"tensors": _taken(run)},
            "command": None,
        }
        hidden.append(replace(run, results=results))
    return hidden


def _hidden_settings(runs: Sequence[Run]) -> list[dict[str, str]]:
    hidden: list[dict[str, str]] = [{} for _ in runs]
    groups: dict[tuple, list[int]] = defaultdict(list)
    for place, run in enumerate(runs):
        if run.kind == "classification":
            groups["classification", run.results["cohort"]].append(place)
        elif run.kind == "segmentation":
            groups[run.data_key].append(place)
    for places in groups.values():
        found = differing_settings([runs[place] for place in places])
        for key in found[0]:
            values = list(dict.fromkeys(own[key] for own in found))
            for place, own in zip(places, found, strict=True):
                shown = own[key] if _NUMBER.fullmatch(own[key]) else f"value {values.index(own[key]) + 1}"
                hidden[place][key] = shown
    return hidden


def _taken(run: Run) -> dict[str, int]:
    """Of the encoder only how many tensors were taken; a run of an earlier version did not count them."""
    return (run.results.get("encoder") or {}).get("tensors") or {"encoder": 1}


def is_untitled_png(content: bytes) -> bool:
    """Whether a PNG holds no text chunk named Title: `overlay_figure` writes one where it draws a title."""
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            return "Title" not in picture.text
    except (OSError, SyntaxError, ValueError):  # what Pillow raises for a damaged file
        return False
