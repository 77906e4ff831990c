"""A list of CT scans, one series for each patient, out of the Imaging Data Commons' table of series.

    python data_lists/idc_series.py idc_series.csv scans.json
    python -m monai_cl datalist from_table clinical_patient_lihc.txt tcga.json --preset tcga_lihc --scans scans.json

The table is a CSV with one row per series and the columns below, as IDC's index has them. Of a patient's CT series with
at least 20 images it takes the one that shows the liver best, judged by its description: axial before reformatted,
abdomen before other parts of the body, portal venous before other contrast before unspecified, arterial, delayed and
native, then the number of images nearest to 100. Without a date, the first study with an axial series of the abdomen
counts. This is a guess from words: look at what was chosen, `meta` of each item names it.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.json_files import write_json
from monai_cl.data.datalist.tables import read_table
from monai_cl.errors import UserError

COLUMNS = (
    *("collection_id", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("StudyDate", "Modality", "SeriesDescription", "instanceCount"),
)
LEAST_IMAGES, USUAL_IMAGES = 20, 100
REFORMATTED = re.compile(r"\b(cor|sag|mip|mpr|scout|topo|locali|reformat|rtd|tmp)|coronal|sagittal|monitoring", re.I)
ABDOMEN = re.compile(r"abd|liver|foie", re.I)
ELSEWHERE = re.compile(r"pelvis|chest|thorax|mediast|lung|bone|head|adrenal|\bPE\b", re.I)
# what a radiologist reads the liver's surface on comes first
PHASES = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        r"ven(ous)?\b|portal|\bpv\b|p\.ven",
        r"(?<!un)enhanced|contrast(?<!non contrast)(?<!pre contrast)|\bCE\b|C\+|biphas|bipas",
        r"^(?!.*(arter|art\.|delay|min\b|dry|non|pre|w/?o|unenh|C-)).*$",
        r"arter|art\b|art\.",
        r"delay|min\b",
    )
)


def choose_series(path: str | Path, *, dates: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Patient -> the cells of the series to use, ``instanceCount`` as an integer.

    Args:
        path: IDC's table of series.
        dates: patient -> study date; other studies of these patients are not looked at.
    """
    table, dates = read_table(path), dates or {}
    places = {name: table.column(name) for name in COLUMNS}
    found: dict[str, list[dict[str, Any]]] = {}
    for line, row in table.rows:
        series: dict[str, Any] = {name: row[place] for name, place in places.items()}
        if not series["instanceCount"].isdecimal():
            raise UserError(
                f"table {path}: line {line}: expected a number of images, found {series['instanceCount']!r}"
            )
        series["instanceCount"] = int(series["instanceCount"])
        wanted = dates.get(series["PatientID"], series["StudyDate"]) == series["StudyDate"]
        if series["Modality"] == "CT" and series["instanceCount"] >= LEAST_IMAGES and wanted:
            found.setdefault(series["PatientID"], []).append(series)
    return {patient: _best(series, dated=patient in dates) for patient, series in sorted(found.items())}


def _best(series: list[dict[str, Any]], *, dated: bool) -> dict[str, Any]:
    usable = [one["StudyDate"] for one in series if not any(_faults(one))]
    if usable and not dated:
        series = [one for one in series if one["StudyDate"] == min(usable)]
    return min(series, key=_rank)


def _faults(series: Mapping[str, Any]) -> tuple[bool, bool]:
    text = series["SeriesDescription"]
    return bool(REFORMATTED.search(text)), bool(ELSEWHERE.search(text) and not ABDOMEN.search(text))


def _rank(series: Mapping[str, Any]) -> tuple:
    phase = next((i for i, pattern in enumerate(PHASES) if pattern.search(series["SeriesDescription"])), len(PHASES))
    return *_faults(series), phase, abs(math.log(series["instanceCount"] / USUAL_IMAGES)), series["SeriesInstanceUID"]


def scan_list(chosen: Mapping[str, Mapping[str, Any]], *, name: str) -> dict[str, Any]:
    """The data list of the series; paths as `idc download` lays the folders out."""
    items = [
        {
            "image": "{collection_id}/{PatientID}/{StudyInstanceUID}/CT_{SeriesInstanceUID}".format(**series),
            "patient": patient,
            "id": patient,
            "meta": {
                "study_date": series["StudyDate"],
                "series": series["SeriesDescription"],
                "images": series["instanceCount"],
            },
        }
        for patient, series in chosen.items()
    ]
    source = "The Imaging Data Commons; folders as `idc download` makes them."
    return {"name": name, "source": source, "modality": "CT", "training": items}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", help="IDC's table of series, a CSV")
    parser.add_argument("output", help="the list to write")
    parser.add_argument("--dates", help="CSV with the columns patient and study_date: take no other study of theirs")
    parser.add_argument("--name", help="of the data set; default: the name of the file")
    options = parser.parse_args(words)
    try:
        dates = None
        if options.dates:
            table = read_table(options.dates)
            patient, date = table.column("patient"), table.column("study_date")
            dates = {row[patient]: row[date] for _, row in table.rows}
        chosen = choose_series(options.series, dates=dates)
        write_json(options.output, scan_list(chosen, name=options.name or Path(options.output).stem))
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"{options.output}: {len(chosen)} patients")


if __name__ == "__main__":
    main()
