"""Pictures of a run embedded in the report, grouped by case so that two runs of one case are side by side."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from monai_cl.report.privacy import is_untitled_png
from monai_cl.report.runs import Run, initialisation_labels

# pictures shown per run; the rest stay in the run's folder and are counted
OVERLAYS_PER_RUN = 12
LARGEST_PICTURE = 20_000_000  # bytes


def pictures_html(runs: Sequence[Run], name_case: Callable[[str], str], *, private: bool = False) -> str:
    """Figures with captions, and a list of the pictures that could not be shown.

    Args:
        name_case: how a case id is shown.
        private: leave out pictures that may show the id in their pixels: those with a title, and all but PNG.
    """
    labels = initialisation_labels(runs)
    by_case: dict[str, list[str]] = defaultdict(list)
    notes = []
    for run in runs:
        names = run.results.get("overlays") or []
        start = labels[run.initialisation] if run.kind == "segmentation" else run.name
        for name in names[:OVERLAYS_PER_RUN]:
            case = name_case(Path(name.replace("\\", "/")).stem)
            picture = _read_picture(run.folder, name)
            if private and not isinstance(picture, str) and not is_untitled_png(picture[0]):
                picture = "its picture may show the case's name and was left out"
            if isinstance(picture, str):
                notes.append(f"{run.name}, {case}: {picture}.")
                continue
            caption = f"{start}, seed {run.seed}{_dice_of(run, name)}"
            content = "with the outlines of the organs" if run.kind == "segmentation" else "from pre-training"
            alt = f"{case}, {caption}: slices of the image {content}"
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


def file_pictures(runs: Sequence[tuple[Run, str]], name: str, *, alt: str, private: bool = False) -> str:
    """The picture ``name`` of every run that has recorded it, under the caption given with the run.

    Args:
        private: leave out pictures that may show an id in their pixels.
    """
    figures, notes = [], []
    for run, caption in runs:
        if name not in (run.results.get("overlays") or []):
            continue
        picture = _read_picture(run.folder, name)
        if private and not isinstance(picture, str) and not is_untitled_png(picture[0]):
            picture = "its picture may show a name and was left out"
        if isinstance(picture, str):
            notes.append(f"<li>{escape(f'{caption}: {picture}.')}</li>")
        else:
            figures.append(_figure(*picture, caption=caption, alt=f"{caption}: {alt}"))
    shown = f'<div class="pictures">{"".join(figures)}</div>\n' if figures else ""
    return shown + (f'<ul class="notes">{"".join(notes)}</ul>\n' if notes else "")


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
    try:
        path = (folder / name.replace("\\", "/")).resolve()
        if not path.is_relative_to(folder.resolve()):
            return "its picture lies outside the run's folder and was not read"
        if not path.is_file():
            return "its picture is missing"
        if path.stat().st_size > LARGEST_PICTURE:
            return f"its picture is larger than {LARGEST_PICTURE // 10**6} MB and was not embedded"
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=["PNG", "JPEG"]) as picture:
            return content, Image.MIME[picture.format], picture.width
    except UnidentifiedImageError:
        return "its picture is neither PNG nor JPEG"
    except (OSError, ValueError) as error:  # the latter for an impossible file name
        return f"its picture cannot be read ({getattr(error, 'strerror', None) or error})"


def _figure(content: bytes, kind: str, width: int, *, caption: str, alt: str) -> str:
    return (
        f'<figure><div class="scroll" role="region" tabindex="0" aria-label="{escape(alt)}">'
        f'<img src="{data_uri(content, kind)}" width="{width}" alt="{escape(alt)}"></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def data_uri(content: bytes, kind: str) -> str:
    """The ``data:`` address of a picture, so that a page needs no other file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
