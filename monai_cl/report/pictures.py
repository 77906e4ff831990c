"""Pictures of a run embedded in the report, grouped by case so that two runs of one case stand side by side."""

from __future__ import annotations

import base64
import struct
from collections import defaultdict
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from monai_cl.report.runs import Run, initialisation_labels

# pictures shown per run; the rest stays in the run's folder and is counted
OVERLAYS_PER_RUN = 12

_IMAGE_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


def pictures_html(runs: Sequence[Run], name_case: Callable[[str], str]) -> str:
    """Pictures grouped by case, so that the same case from two runs stands side by side."""
    labels = initialisation_labels(runs)
    by_case: dict[str, list[str]] = defaultdict(list)
    notes = []
    for run in runs:
        names = run.results.get("overlays") or []
        start = labels[run.initialisation] if run.kind == "segmentation" else run.name
        for name in names[:OVERLAYS_PER_RUN]:
            case = name_case(Path(name.replace("\\", "/")).stem)
            picture = _read_picture(run.folder, name)
            if isinstance(picture, str):
                notes.append(f"{run.name}, {case}: {picture}.")
                continue
            caption = f"{start}, seed {run.seed}{_dice_of(run, name)}"
            alt = f"{case}, {caption}: slices of the image with the outlines of the organs"
            by_case[case].append(_figure(*picture, caption=caption, alt=alt))
        if len(names) > OVERLAYS_PER_RUN:
            notes.append(f"{run.name}: {OVERLAYS_PER_RUN} of {len(names)} pictures shown.")
    parts = [
        f'<h3>{escape(case)}</h3>\n<div class="pictures">{"".join(figures)}</div>\n'
        for case, figures in by_case.items()
    ]
    if notes:
        parts.append(f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>\n')
    return "".join(parts)


def _dice_of(run: Run, name: str) -> str:
    stem = Path(name.replace("\\", "/")).stem
    for case in run.per_case:
        if case["id"] == stem:
            values = [value for value in case["dice"].values() if value is not None]
            return f", mean Dice {sum(values) / len(values):.3f}" if values else ""
    return ""


def _read_picture(folder: Path, name: str) -> tuple[bytes, str, int] | str:
    """(content, media type, width), or why there is none. Results may come from elsewhere: only pictures in the run's
    own folder are read, so that a report cannot be made to carry other files."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        return "its picture lies outside the run's folder and was not read"
    try:
        content = path.read_bytes()
    except OSError:
        return "its picture is missing"
    for magic, kind in _IMAGE_TYPES.items():
        if content.startswith(magic):
            is_png = kind == "image/png" and len(content) >= 24
            return content, kind, struct.unpack(">I", content[16:20])[0] if is_png else 900
    return "its picture is neither PNG nor JPEG"


def _figure(content: bytes, kind: str, width: int, *, caption: str, alt: str) -> str:
    return (
        f'<figure><div class="scroll" role="region" tabindex="0" aria-label="{escape(alt)}">'
        f'<img src="{data_uri(content, kind)}" width="{width}" alt="{escape(alt)}"></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
