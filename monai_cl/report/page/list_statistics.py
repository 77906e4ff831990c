"""The statistics of a data list for people: tables for a terminal and a page, the page with plots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from monai_cl.data.datalist.statistics.quantities import SHOWN_PERCENTILES
from monai_cl.report.figures.strip_plot import strip_plot
from monai_cl.report.page.folding import folded_section
from monai_cl.report.page.panels import whole_picture
from monai_cl.report.page.pictures import picture_figure, picture_grid
from monai_cl.report.page.shell import page_html, section_html
from monai_cl.report.tables import NOTHING, Table

_MOST_LABELS = 24  # rows of a plot
_AXES = ("r", "a", "s")

Document = Mapping[str, Any]
_Rows = dict[str, dict[str, list[float]]]  # of a plot: name -> data set -> values


def statistics_text(document: Document) -> str:
    """The tables for a terminal.

    Args:
        document: of `monai_cl.data.datalist.statistics.document.list_statistics`.
    """
    return "\n\n".join([*(table.text() for table in _tables(document)), _sentence(document)])


def statistics_html(document: Document) -> str:
    """One page that opens without a network: tables, plots, and every scan in a folded table.

    Args:
        document: of `monai_cl.data.datalist.statistics.document.list_statistics`.
    """
    overview, *tables = _tables(document)
    body = section_html("data", "Data sets", f'<p class="lead">{_sentence(document)}</p>\n{overview.html()}')
    names = {"Labels": "labels", "Outliers": "outliers", "Cannot be read": "unreadable"}
    body += "".join(section_html(names[table.caption], table.caption, table.html()) for table in tables)
    plots = _plots(document["scans"])
    body += section_html("plots", "Distributions", picture_grid(plots, kind="pictures plots"))
    body += folded_section("Every scan", _scan_table(document["scans"]).html())
    return page_html(body, title=f"Statistics of {document['data_list']['name']}", sub=document["data_list"]["path"])


def _sentence(document: Document) -> str:
    def number(count: int, what: str) -> str:
        return f"{count} {what}{'' if count == 1 else 's'}"

    overall, count = document["overall"], len(document["outliers"])
    differing = len({(one["dataset"], one["id"]) for one in document["outliers"]})
    text = f"{number(overall['scans'], 'scan')} of {number(overall['patients'], 'patient')}, "
    text += f"{overall['labelled']} with label; "
    text += f"{number(count, 'outlier')} in {number(differing, 'scan')}" if count else "no outliers"
    failed = len(document["unreadable"])
    return text + (f"; {number(failed, 'scan')} cannot be read" if failed else "")


def _tables(document: Document) -> list[Table]:
    groups = document["groups"]
    several = len(groups) > 1
    header = ("data set", "modality", "contrast", "orientation", "scans", "size", "spacing, mm", "extent, mm")
    shown = [*groups, document["overall"] | {"dataset": "all"}] if several else groups
    rows = [_overview_row(group) for group in shown]
    notes = ("Medians of R, A and S, in brackets the range along S. Intensities: medians of percentiles of the body.",)
    strong = frozenset({len(rows) - 1}) if several else frozenset()
    header = (*header, "body 0.5 / 50 / 99.5 %")
    tables = [Table("Data sets", header, tuple(rows), notes, text_columns=4, strong_rows=strong)]
    labels = [row for group in groups for row in _label_rows(group)]
    if labels:
        header = ("label", "data set", "modality", "scans", "volume, ml", "range", "intensity", "range")
        note = "Medians of volume and of mean intensity; rare: fewer than half of the labelled scans have it."
        tables.append(Table("Labels", header, tuple(labels), (note,), text_columns=3))
    outliers = [(one["id"], one["dataset"], one["what"], one["reason"]) for one in document["outliers"]]
    if outliers:
        tables.append(Table("Outliers", ("scan", "data set", "what", "reason"), tuple(outliers), text_columns=4))
    unreadable = [(one["id"], one["dataset"], one["reason"]) for one in document["unreadable"]]
    if unreadable:
        tables.append(Table("Cannot be read", ("scan", "data set", "reason"), tuple(unreadable), text_columns=3))
    return tables


def _overview_row(group: Mapping[str, Any]) -> tuple[str, ...]:
    found = group["quantities"]

    def medians(kind: str) -> list[str]:
        return [f"{found[f'{kind}_{axis}']['median']:.3g}" for axis in _AXES]

    body = [found[key] for part in SHOWN_PERCENTILES if (key := f"body_{part}") in found]
    along = found["spacing_s"]
    spread = "" if along["lowest"] == along["highest"] else f" ({along['lowest']:.3g}–{along['highest']:.3g})"
    return (
        group["dataset"],
        *(_counted(group[kind]) for kind in ("modalities", "phases", "orientations")),
        str(group["scans"]),
        " × ".join(medians("size")),
        " × ".join(medians("spacing")) + spread,
        " × ".join(medians("extent")),
        _in_unit(group, body, " / "),
    )


def _in_unit(group: Mapping[str, Any], found: Sequence[Mapping[str, Any]], between: str = "") -> str:
    """Medians of intensity with their unit, where they have one; a group of several units has none."""
    values = between.join(_number(one["median"]) for one in found)
    return f"{values} {group['unit']}".strip() if values else NOTHING


def _label_rows(group: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for label, count in group["labels"].items():
        rare = ", rare" if 2 * count < group["labelled"] else ""
        volume = group["quantities"][f"{label} ml"]
        # what only a CT that is not in HU has is without a mean
        mean = [group["quantities"][key] for key in (f"{label} mean",) if key in group["quantities"]]
        cells = (
            _number(volume["median"]),
            _range(volume),
            _in_unit(group, mean),
            *(map(_range, mean) if mean else [NOTHING]),
        )
        rows.append((label, group["dataset"], group["modality"], f"{count} of {group['labelled']}{rare}", *cells))
    return rows


def _range(found: Mapping[str, float]) -> str:
    return f"{_number(found['lowest'])}–{_number(found['highest'])}"


def _number(value: float) -> str:
    """Four digits, and no power of ten of the large numbers that MR has."""
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"


def _counted(words: Mapping[str, int]) -> str:
    return ", ".join(words if len(words) == 1 else (f"{count} {word}" for word, count in words.items())) or NOTHING


def _scan_table(scans: Sequence[Mapping[str, Any]]) -> Table:
    header = ("scan", "data set", "split", "modality", "unit", "phase", "orientation", "size", "spacing, mm")
    rows = [
        (
            *(str(scan[key]) for key in ("id", "dataset", "split", "modality")),
            scan["unit"] or "own",
            scan["phase"] or NOTHING,
            scan["orientation"],
            *(" × ".join(f"{value:.4g}" for value in scan[key]) for key in ("shape", "spacing", "extent")),
            *(_number(scan["body"][part]) for part in SHOWN_PERCENTILES),
            f"{scan['body_ml']:.0f}",
        )
        for scan in scans
    ]
    header = (*header, "extent, mm", "0.5 %", "50 %", "99.5 %", "body, ml")
    return Table("Every scan", header, tuple(rows), text_columns=7)


def _plots(scans: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of sizes one plot of all scans, of intensities one for each modality and unit."""
    units: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for scan in scans:
        units.setdefault((scan["modality"], scan["unit"]), []).append(scan)

    def of_intensity(caption: str, rows: Callable[..., _Rows]) -> list[tuple[str, _Rows, str, bool]]:
        return [
            (f"{caption}, {modality}" if len(units) > 1 else caption, rows(own), unit or "the scans' own unit", False)
            for (modality, unit), own in units.items()
        ]

    drawn = [
        ("Spacing", _axis_rows(scans, "spacing"), "mm", False),
        ("Extent", _axis_rows(scans, "extent"), "mm", False),
        *of_intensity("Percentiles of the body's intensity", _body_rows),
        ("Volume of labels", _label_plot(scans, "ml"), "ml", True),
        *of_intensity("Mean intensity of labels", lambda own: _label_plot(own, "mean")),
    ]
    return [
        picture_figure(
            whole_picture(strip_plot(rows, unit=unit, logarithmic=logarithmic)),
            caption=name,
            alt=f"{name}: a dot for each scan, a line at the median",
        )
        for name, rows, unit, logarithmic in drawn
        if rows
    ]


def _by_dataset(scans: Sequence[Mapping[str, Any]], value: Callable[[Any], float | None]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for scan in scans:
        if (one := value(scan)) is not None:
            found.setdefault(scan["dataset"], []).append(one)
    return found


def _axis_rows(scans: Sequence[Mapping[str, Any]], key: str) -> _Rows:
    return {axis.upper(): _by_dataset(scans, lambda scan, n=n: scan[key][n]) for n, axis in enumerate(_AXES)}


def _body_rows(scans: Sequence[Mapping[str, Any]]) -> _Rows:
    return {f"{part} %": _by_dataset(scans, lambda scan, n=part: scan["body"][n]) for part in SHOWN_PERCENTILES}


def _label_plot(scans: Sequence[Mapping[str, Any]], key: str) -> _Rows:
    """Of the labels that most scans have."""
    counts = Counter(label for scan in scans for label in scan["labels"] or ())
    return {
        label: _by_dataset(scans, lambda scan, n=label: (scan["labels"] or {}).get(n, {}).get(key))
        for label, _ in counts.most_common(_MOST_LABELS)
    }
