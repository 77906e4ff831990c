"""The statistics of a data list for people: tables for a terminal and a page, the page with plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_cl.report.figures.strip_plot import strip_plot
from monai_cl.report.page.folding import folded_section
from monai_cl.report.page.panels import whole_picture
from monai_cl.report.page.pictures import picture_figure, picture_grid
from monai_cl.report.page.shell import page_html, section_html
from monai_cl.report.tables import NOTHING, Table

_MOST_LABELS = 24  # rows of a plot
_AXES = ("r", "a", "s")

Document = Mapping[str, Any]


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
    groups = dict(document["datasets"])
    if len(groups) > 1:
        groups["all"] = document["overall"]
    header = ("data set", "modality", "contrast", "orientation", "scans", "size", "spacing, mm", "extent, mm")
    rows = [_overview_row(name, group) for name, group in groups.items()]
    notes = ("Medians of R, A and S, in brackets the range along S. Intensities: medians of percentiles of the body.",)
    strong = frozenset({len(rows) - 1}) if len(groups) > 1 else frozenset()
    header = (*header, "body 0.5 / 50 / 99.5 %")
    tables = [Table("Data sets", header, tuple(rows), notes, text_columns=4, strong_rows=strong)]
    labels = [row for name, group in document["datasets"].items() for row in _label_rows(name, group)]
    if labels:
        header = ("label", "data set", "scans", "volume, ml", "range", "intensity", "range")
        note = (
            "Medians of volume and of mean intensity (HU of CT); rare: fewer than half of the labelled scans have it."
        )
        tables.append(Table("Labels", header, tuple(labels), (note,), text_columns=2))
    outliers = [(one["id"], one["dataset"], one["what"], one["reason"]) for one in document["outliers"]]
    if outliers:
        tables.append(Table("Outliers", ("scan", "data set", "what", "reason"), tuple(outliers), text_columns=4))
    unreadable = [(one["id"], one["dataset"], one["reason"]) for one in document["unreadable"]]
    if unreadable:
        tables.append(Table("Cannot be read", ("scan", "data set", "reason"), tuple(unreadable), text_columns=3))
    return tables


def _overview_row(name: str, group: Mapping[str, Any]) -> tuple[str, ...]:
    def medians(kind: str) -> list[str]:
        return [f"{group['quantities'][f'{kind}_{axis}']['median']:.3g}" for axis in _AXES]

    along = group["quantities"]["spacing_s"]
    spread = "" if along["lowest"] == along["highest"] else f" ({along['lowest']:.3g}–{along['highest']:.3g})"
    return (
        name,
        *(_counted(group[kind]) for kind in ("modalities", "phases", "orientations")),
        str(group["scans"]),
        " × ".join(medians("size")),
        " × ".join(medians("spacing")) + spread,
        " × ".join(medians("extent")),
        " / ".join(f"{group['quantities'][f'body_{part}']['median']:.4g}" for part in ("0.5", "50", "99.5")),
    )


def _label_rows(dataset: str, group: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for label, count in group["labels"].items():
        cells = [label, dataset, f"{count} of {group['labelled']}{', rare' if 2 * count < group['labelled'] else ''}"]
        for name in (f"{label} ml", f"{label} mean"):
            found = group["quantities"][name]
            cells += [f"{found['median']:.4g}", f"{found['lowest']:.4g}–{found['highest']:.4g}"]
        rows.append(tuple(cells))
    return rows


def _counted(words: Mapping[str, int]) -> str:
    return ", ".join(words if len(words) == 1 else (f"{count} {word}" for word, count in words.items())) or NOTHING


def _scan_table(scans: Sequence[Mapping[str, Any]]) -> Table:
    header = ("scan", "data set", "split", "modality", "phase", "orientation", "size", "spacing, mm", "extent, mm")
    rows = [
        (
            *(str(scan[key]) for key in ("id", "dataset", "split", "modality")),
            scan["phase"] or NOTHING,
            scan["orientation"],
            *(" × ".join(f"{value:.4g}" for value in scan[key]) for key in ("shape", "spacing", "extent")),
            *(f"{scan['body'][part]:.4g}" for part in ("0.5", "50", "99.5")),
            f"{scan['body_ml']:.0f}",
        )
        for scan in scans
    ]
    return Table("Every scan", (*header, "0.5 %", "50 %", "99.5 %", "body, ml"), tuple(rows), text_columns=6)


def _plots(scans: Sequence[Mapping[str, Any]]) -> list[str]:
    def by_dataset(value: Any) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for scan in scans:
            if (one := value(scan)) is not None:
                found.setdefault(scan["dataset"], []).append(one)
        return found

    def axes(key: str) -> dict[str, dict[str, list[float]]]:
        return {axis.upper(): by_dataset(lambda scan, n=n: scan[key][n]) for n, axis in enumerate(_AXES)}

    counts: dict[str, int] = {}
    for scan in scans:
        for label in scan["labels"] or ():
            counts[label] = counts.get(label, 0) + 1
    labels = sorted(counts, key=lambda name: -counts[name])[:_MOST_LABELS]

    def of_labels(key: str) -> dict[str, dict[str, list[float]]]:
        return {label: by_dataset(lambda scan, n=label: (scan["labels"] or {}).get(n, {}).get(key)) for label in labels}

    parts = {f"{part} %": by_dataset(lambda scan, n=part: scan["body"][n]) for part in ("0.5", "50", "99.5")}
    drawn = [
        ("Spacing", axes("spacing"), "mm", False),
        ("Extent", axes("extent"), "mm", False),
        ("Percentiles of the body's intensity", parts, "HU of CT, else the scan's unit", False),
        ("Volume of labels", of_labels("ml"), "ml", True),
        ("Mean intensity of labels", of_labels("mean"), "HU of CT, else the scan's unit", False),
    ]
    figures = []
    for name, rows, unit, logarithmic in drawn:
        if rows:
            picture = whole_picture(strip_plot(rows, unit=unit, logarithmic=logarithmic))
            figures.append(
                picture_figure(picture, caption=name, alt=f"{name}: a dot for each scan, a line at the median")
            )
    return figures
