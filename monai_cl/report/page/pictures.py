"""Pictures that runs have recorded: read with care, for results may come from elsewhere, and embedded as WebP."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from monai_cl.report.page.panels import Panel, whole_picture
from monai_cl.report.privacy import is_untitled_png
from monai_cl.report.runs import Run

# pictures read per run; the rest stay in the run's folder and are counted
OVERLAYS_PER_RUN = 12
LARGEST_PICTURE = 20_000_000  # bytes


def file_pictures(runs: Sequence[tuple[Run, str]], name: str, *, alt: str, private: bool = False) -> str:
    """The plot ``name`` of every run that has recorded it, side by side, each under the caption given with its run.

    Args:
        runs: run and caption.
        name: file, as in the results.
        alt: what the picture shows.
        private: leave out pictures that may show an id in their pixels.
    """
    figures, notes = [], []
    for run, caption in runs:
        if name not in (run.results.get("overlays") or []):
            continue
        picture = read_picture(run.folder, name, private=private, holds="a name")
        if isinstance(picture, str):
            notes.append(f"{caption}: {picture}.")
        else:
            figures.append(picture_figure(whole_picture(picture), caption=caption, alt=f"{caption}: {alt}"))
    return picture_grid(figures, kind="pictures plots") + notes_html(notes)


def run_pictures(runs: Sequence[Run], name_case: Callable[[str], str], *, private: bool = False) -> str:
    """Every picture of runs without predictions, such as those of a pre-training.

    Args:
        runs: the runs.
        name_case: how a case id, the file's name, is shown.
        private: leave out pictures that may show an id in their pixels.
    """
    figures, notes = [], []
    for run in runs:
        for name in (run.results.get("overlays") or [])[:OVERLAYS_PER_RUN]:
            caption = f"{run.name}, {name_case(case_of(name))}"
            picture = read_picture(run.folder, name, private=private)
            if isinstance(picture, str):
                notes.append(f"{caption}: {picture}.")
            else:
                figures.append(picture_figure(whole_picture(picture), caption=caption, alt=caption))
        notes += more_pictures(run)
    return picture_grid(figures) + notes_html(notes)


def picture_grid(figures: Sequence[str], *, kind: str = "pictures") -> str:
    """Figures side by side where there is room; ``pictures plots`` are dark in dark mode."""
    return f'<div class="{kind}">{"".join(figures)}</div>\n' if figures else ""


def notes_html(notes: Sequence[str]) -> str:
    """Sentences in small letters."""
    return f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>\n' if notes else ""


def legend_html(colours: Mapping[str, str]) -> str:
    """Names beside squares of their colours.

    Args:
        colours: name -> colour, ``#rrggbb``.
    """
    entries = "".join(
        f'<li><svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" fill="{colour}"/></svg>'
        f"{escape(name)}</li>"
        for name, colour in colours.items()
    )
    return f'<ul class="legend">{entries}</ul>\n'


def more_pictures(run: Run) -> list[str]:
    """A note on the pictures of a run that are not shown, where there are some."""
    count = len(run.results.get("overlays") or [])
    return [f"{run.name}: {OVERLAYS_PER_RUN} of {count} pictures shown."] if count > OVERLAYS_PER_RUN else []


def case_of(name: str) -> str:
    """The case a picture is named after."""
    return Path(name.replace("\\", "/")).stem


def read_picture(folder: Path, name: str, *, private: bool, holds: str = "the case's name") -> bytes | str:
    """A PNG or JPEG file, or why it is not shown.

    Only pictures in the run's own folder are read, so that a report cannot be made to carry other files.

    Args:
        folder: of the run.
        name: of the picture, relative to it.
        private: refuse pictures that may show an id in their pixels: those with a title, and all but PNG.
        holds: what such a picture may show.
    """
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
            picture.load()
    except UnidentifiedImageError:
        return "its picture is neither PNG nor JPEG"
    except (OSError, ValueError, SyntaxError) as error:  # an impossible file name, a damaged file
        return f"its picture cannot be read ({getattr(error, 'strerror', None) or error})"
    if private and not is_untitled_png(content):
        return f"its picture may show {holds} and was left out"
    return content


def picture_figure(panel: Panel, *, caption: str, alt: str) -> str:
    """A picture with its caption; loaded when it comes into sight."""
    source = f"data:image/webp;base64,{base64.b64encode(panel.content).decode()}"
    kind = ' class="truth"' if panel.name == "truth" else ""
    return (
        f'<figure{kind}><img src="{source}" width="{panel.width}" height="{panel.height}" alt="{escape(alt)}" '
        f'loading="lazy" decoding="async"><figcaption>{escape(caption)}</figcaption></figure>\n'
    )
