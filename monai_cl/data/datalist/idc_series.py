"""Which CT series of a patient to use, from the table of series that the Imaging Data Commons publishes."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from monai_cl.data.datalist.tables import Table, read_table
from monai_cl.errors import UserError

_COLUMNS = {
    "collection": "collection_id",
    "patient": "PatientID",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "date": "StudyDate",
    "modality": "Modality",
    "description": "SeriesDescription",
    "count": "instanceCount",
}
LEAST_IMAGES = 20
_USUAL_IMAGES = 100
_REFORMATTED = re.compile(r"\b(cor|sag|mip|mpr|scout|topo|locali|reformat|rtd|tmp)|coronal|sagittal|monitoring", re.I)
_ABDOMEN = re.compile(r"abd|liver|foie", re.I)
_ELSEWHERE = re.compile(r"pelvis|chest|thorax|mediast|lung|bone|head|adrenal|\bPE\b", re.I)
# what a radiologist reads the liver's surface on comes first
_PHASES = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        r"ven(ous)?\b|portal|\bpv\b|p\.ven",
        r"(?<!un)enhanced|contrast(?<!non contrast)(?<!pre contrast)|\bCE\b|C\+|biphas|bipas",
        r"^(?!.*(arter|art\.|delay|min\b|dry|non|pre|w/?o|unenh|C-)).*$",
        r"arter|art\b|art\.",
        r"delay|min\b",
    )
)


@dataclass(frozen=True)
class Series:
    """One CT series; ``folder`` is where the IDC's download puts it, below the download folder."""

    patient: str
    study: str
    series: str
    date: str
    description: str
    count: int
    folder: str


def choose_series(
    path: str | Path, *, patients: Collection[str], dates: Mapping[str, str] | None = None
) -> dict[str, Series]:
    """The CT series of each patient that shows the liver best, judged by its description.

    Of the series with at least 20 images: axial before reformatted ones, abdomen before other parts of the body,
    portal venous before other contrast before unspecified, arterial, delayed and native ones, then the one whose number
    of images is nearest to 100. Without a date, the first study with an axial series of the abdomen is taken. It is a
    guess from words: look at what was chosen.

    Args:
        path: a CSV with a row a series and the columns of IDC's index.
        patients: whose series are wanted.
        dates: patient -> study date, to take no other study of his.

    Returns:
        patient -> series, for those patients who have one.

    Raises:
        UserError: the table cannot be read or lacks a column.
    """
    table = read_table(path)
    places = {name: table.column(column) for name, column in _COLUMNS.items()}
    wanted = set(patients)
    found: dict[str, list[Series]] = {}
    for line, row in table.rows:
        cells = {name: row[place] for name, place in places.items()}
        if cells["modality"] != "CT" or cells["patient"] not in wanted:
            continue
        series = _series(table, line, cells)
        date = (dates or {}).get(series.patient)
        if series.count >= LEAST_IMAGES and date in (None, series.date):
            found.setdefault(series.patient, []).append(series)
    return {patient: _best(series, dated=bool(dates and patient in dates)) for patient, series in sorted(found.items())}


def _series(table: Table, line: int, cells: Mapping[str, str]) -> Series:
    try:
        count = int(cells["count"])
    except ValueError:
        raise UserError(
            f"table {table.path}: line {line}: expected a number of images, found {cells['count']!r}"
        ) from None
    folder = f"{cells['collection']}/{cells['patient']}/{cells['study']}/CT_{cells['series']}"
    return Series(cells["patient"], cells["study"], cells["series"], cells["date"], cells["description"], count, folder)


def _best(series: list[Series], *, dated: bool) -> Series:
    usable = [one for one in series if not any(_faults(one))]
    if usable and not dated:
        first = min(one.date for one in usable)
        series = [one for one in series if one.date == first]
    return min(series, key=_rank)


def _faults(series: Series) -> tuple[bool, bool]:
    text = series.description
    return bool(_REFORMATTED.search(text)), bool(_ELSEWHERE.search(text) and not _ABDOMEN.search(text))


def _rank(series: Series) -> tuple:
    phase = next((i for i, pattern in enumerate(_PHASES) if pattern.search(series.description)), len(_PHASES))
    return (*_faults(series), phase, abs(math.log(series.count / _USUAL_IMAGES)), series.series)
