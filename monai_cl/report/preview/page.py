"""The page: every sample's images, where they come from, what the network sees of their values, what they cost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from monai_cl.data.records.previewed import Preview, PreviewedSample, SourceScan
from monai_cl.files import write_atomically
from monai_cl.report.page.charts import line_chart
from monai_cl.report.page.folding import folded, folded_section
from monai_cl.report.page.pictures import legend_html, notes_html, picture_figure
from monai_cl.report.page.shell import page_html, section_html
from monai_cl.report.preview.drawing import NEAR, organ_colour, view_panels
from monai_cl.report.preview.faults import CLASSES, preview_faults
from monai_cl.report.privacy import case_namer
from monai_cl.report.tables import NOTHING, Table

# rows of a table that is open
_OPEN_ROWS = 12
# rem of a picture
_WIDEST = 22
# of the histogram: what augmentation brings beyond 0 and 1 is in the outer bins
_BINS, _SHOWN = 40, (-0.1, 1.1)


def write_preview(preview: Preview, output: str | Path, *, hash_patients: bool | str = False) -> Path:
    """Write the page.

    Args:
        preview: what it shows.
        output: ``.html`` file.
        hash_patients: show ids of scans as keyed hashes, and neither patients nor paths, see `write_report`.

    Raises:
        UserError: ``output`` cannot be written.
    """
    output = Path(output)
    write_atomically(output, render_preview(preview, hash_patients=hash_patients).encode(errors="backslashreplace"))
    return output


def render_preview(preview: Preview, *, hash_patients: bool | str = False) -> str:
    """The page as text: one file without a script, which loads nothing from elsewhere.

    Args:
        preview: what it shows.
        hash_patients: see `write_preview`.
    """
    name_case, private = case_namer(hash_patients), bool(hash_patients)
    shown = {number: sample for number, sample in enumerate(preview.samples, start=1) if sample.views}
    iterations = preview.samples[-1].batch
    spread = "the first iteration" if iterations == 1 else f"the first {iterations} iterations"
    subtitle = f"{len(shown)} of {len(preview.samples)} samples of {spread}, seed {preview.seed}"
    found = preview_faults(preview, name_case)
    verdict = "" if found else "<p>Nothing conspicuous was found in these samples.</p>\n"
    body = section_html("summary", "Summary", verdict + _cost(preview, private=private))
    body += section_html("samples", "Samples", "".join(_sample(preview, *one, name_case) for one in shown.items()))
    sections = [
        ("Batch", _many(_batch_table(preview, name_case, private=private))),
        ("Values", _histogram(list(shown.values())) + _many(_value_table(shown))),
        ("What the run would log", "" if private else notes_html(preview.notes)),
    ]
    body += "".join(folded_section(name, text) for name, text in sections if text)
    return page_html(body, title=f"Preview of {preview.bundle}", sub=subtitle, banners=found)


def _cost(preview: Preview, *, private: bool) -> str:
    first, *following = [1000 * sample.seconds for sample in preview.samples]
    pace = f"{first:.0f} ms the first" + (f", {median(following):.1f} ms the median of the others" if following else "")
    classes = Counter(cells.get("class", NOTHING) for cells in (_cells(preview, sample) for sample in preview.samples))
    patients = {(scan.dataset, scan.patient) for sample in preview.samples for scan in sample.scans}
    kinds = "".join(f", {count} of class {name}" for name, count in sorted(classes.items()) if name != NOTHING)
    rows = {
        "what was looked at": f"{len(preview.samples)} samples of {len(patients)} patients{kinds}",
        "reading and augmenting a sample": f"{pace}; one process, without the loader's workers",
        "making the views of a batch": f"{1000 * preview.batch_seconds:.0f} ms, batch of {preview.batch_size}",
        "memory": f"{_mebibytes(preview.sample_bytes)} a sample from the loader, {_mebibytes(preview.batch_bytes)} a "
        "batch as the network gets it",
        "prepared for this page": f"{preview.prepared} scan{'' if preview.prepared == 1 else 's'}"
        + (f" in {preview.prepared_seconds:.1f} s" if preview.prepared else "")
        + ("" if private else f"; the store is {preview.store}"),
    }
    if not private:
        rows["config"] = ", ".join(preview.config)
        rows["overrides"] = ", ".join(f"{key} {value}" for key, value in preview.overrides.items()) or "none"
    return (
        "<dl>" + "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>\n" for key, value in rows.items()) + "</dl>\n"
    )


def _sample(preview: Preview, number: int, sample: PreviewedSample, name_case: Callable[[str], str]) -> str:
    """The pictures of a sample, under the names of its scans and what is known of it."""
    names = " and ".join(dict.fromkeys(name_case(scan.id) for scan in sample.scans))
    known = [f"{head} {cell}" for head, cell in _cells(preview, sample).items() if cell != NOTHING]
    heading = f"Sample {number}: {names}" + (f" ({', '.join(known)})" if known else "")
    figures, legend, hints = [], dict[int, str](), []
    guides = {view.scan: view.label for view in sample.views if view.label is not None}
    for view in sample.views:
        scan = sample.scans[view.scan]
        low, high = (f"{end:.0f}" for end in _in_unit(scan, [view.image.min(), view.image.max()]))
        for panel in view_panels(view, scan.spacing, guides.get(view.scan), apart=len(sample.views) == 1):
            caption = f"{panel.name}: {low} to {high} {scan.unit}" if panel.name.startswith(view.name) else panel.name
            figures.append(picture_figure(panel, caption=caption, alt=f"{heading}: {caption}"))
        if view.label is not None:
            names_of = preview.organs.get(scan.dataset, {})
            present = [int(label) for label in np.unique(view.label) if label > 0]
            legend |= {label: names_of.get(label, f"label {label}") for label in present}
        if view.points is not None:
            hints.append(
                f"Dots: sampled voxels within {NEAR} voxels of the slice. Weights: bright is likely to be sampled."
            )
    colours = {legend[label]: organ_colour(label) for label in sorted(legend)}
    below = f'<p class="hint">{escape(hints[0])}</p>\n' if hints else ""
    width = f'style="max-width: {_WIDEST * len(figures)}rem"'
    return (
        f'<h3>{escape(heading)}</h3>\n<div class="panels views" {width}>{"".join(figures)}</div>\n'
        f"{legend_html(colours) if legend else ''}{below}"
    )


def _batch_table(preview: Preview, name_case: Callable[[str], str], *, private: bool) -> Table:
    """A row for every sample of the batches."""
    cells = [_cells(preview, sample) for sample in preview.samples]
    heads = list(dict.fromkeys(head for row in cells for head, cell in row.items() if cell != NOTHING))
    several, organs = preview.samples[-1].batch > 1, any(sample.foreground for sample in preview.samples)
    rows = []
    for number, (sample, row) in enumerate(zip(preview.samples, cells), start=1):
        scans = sample.scans
        share = [f"{100 * max(scan.clipped[end] for scan in scans):.0f} %" for end in (0, 1)]
        rows.append((
            str(number), _each(scans, lambda scan: name_case(scan.id)),
            *([] if private else [_each(scans, lambda scan: scan.patient)]),
            *([str(sample.batch)] if several else []), *(row.get(head, NOTHING) for head in heads),
            *([" / ".join(f"{100 * part:.1f} %" for part in sample.foreground) or NOTHING] if organs else []),
            _each(scans, lambda scan: " × ".join(f"{step:.3g}" for step in scan.spacing)),
            _each(scans, lambda scan: f"{scan.values[0]:.4g} to {scan.values[1]:.4g} {scan.unit}"),
            *share, f"{1000 * sample.seconds:.1f}",
        ))  # fmt: skip
    patient, iteration = ([] if private else ["patient"]), (["iteration"] if several else [])
    header = ("sample", "scan", *patient, *iteration, *heads, *(["organs"] if organs else []), "spacing, mm")
    header += ("values read", "below the window", "above it", "ms")
    notes = ("Values read: of the part of the scan that was read, before the window. Of two scans the larger share.",)
    return Table("Samples of the batches", header, tuple(rows), notes, text_columns=2 if private else 3)


def _value_table(shown: Mapping[int, PreviewedSample]) -> Table:
    """A row for every image of the samples that are shown: what the network sees, and what that is in the scan."""
    rows = []
    for number, sample in shown.items():
        for view in sample.views:
            scan = sample.scans[view.scan]
            seen = [float(view.image.min()), float(view.image.mean()), float(view.image.max())]
            shape = " × ".join(map(str, view.image.shape))
            rows.append((
                f"{number}, {view.name}", shape, *(f"{value:.3f}" for value in seen),
                *(f"{value:.4g}" for value in _in_unit(scan, seen)), scan.unit,
            ))  # fmt: skip
    header = (
        "image",
        "shape",
        "least",
        "mean",
        "most",
        "least in unit",
        "mean in unit",
        "most in unit",
        "unit",
    )
    windows = {f"{scan.window[0]:.4g} to {scan.window[1]:.4g} {scan.unit}" for s in shown.values() for scan in s.scans}
    note = f"0 to 1 of the network is {'; '.join(sorted(windows))}. Augmentation of intensities may go beyond."
    return Table("Values of the images", header, tuple(rows), (note,))


def _histogram(shown: Sequence[PreviewedSample]) -> str:
    """Shares of the values of each kind of image, all samples together."""
    values: dict[str, np.ndarray] = {}
    for view in (view for sample in shown for view in sample.views):
        kind = re.sub(r" \d+$", "", view.name)
        counts, edges = np.histogram(np.clip(view.image, *_SHOWN), bins=_BINS, range=_SHOWN)
        values[kind] = values.get(kind, np.zeros(_BINS)) + counts
    middles = (edges[1:] + edges[:-1]) / 2
    lines = {
        kind: [np.stack([middles, np.where(counts > 0, 100 * counts / counts.sum(), np.nan)], axis=1)]
        for kind, counts in values.items()
        if counts.any()
    }
    if not lines:
        return ""
    return line_chart(
        lines, title="Values", x_label="value of the network", y_label="% of the voxels", logarithmic=True
    )


def _cells(preview: Preview, sample: PreviewedSample) -> dict[str, str]:
    """Head of a column -> what is known of a sample, as text."""
    found = {}
    for key, value in sample.fields.items():
        head = "class" if key in CLASSES else key.replace("_", " ")
        if key in ("dataset", "position"):  # the data set's number, the address of what is drawn
            continue
        if key in CLASSES:
            value = None if value < 0 else preview.classes.get(str(int(value)), int(value))
        elif key.startswith("label_") and value == -1:
            value = None
        found[head] = _text(value)
    return found


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.3g}"
    return NOTHING if value is None else str(value)


def _in_unit(scan: SourceScan, values: Sequence[float]) -> list[float]:
    """Values of the network's input in the unit of the scan."""
    low, high = scan.window
    return [low + float(value) * (high - low) for value in values]


def _each(scans: Sequence[SourceScan], text: Callable[[SourceScan], str]) -> str:
    return " / ".join(dict.fromkeys(map(text, scans)))


def _many(table: Table) -> str:
    return folded(f"{table.caption}: {len(table.rows)}", table.html()) if len(table.rows) > _OPEN_ROWS else table.html()


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"
