"""``python -m monai_cl datalist statistics``: what is printed and written, and how it ends."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from monai_cl.data.datalist.statistics.document import read_statistics
from monai_cl.report.page.list_statistics import statistics_html, statistics_text
from tests.bad_input.doors import command
from tests.data.datalist.test_statistics import cohort, group_summaries, mixed, summarise, write_list


@pytest.fixture
def listed(tmp_path):
    return write_list(tmp_path)


def test_the_tables_are_printed_and_the_files_written_though_a_scan_cannot_be_read(listed, tmp_path):
    names = [tmp_path / f"out.{ending}" for ending in ("html", "json", "csv")]
    outcome = command("datalist", "statistics", listed, "--output", ",".join(map(str, names)))
    assert "1 of 3 scans cannot be read, named above" in outcome.error
    assert "0.24" in outcome.shown  # ml of the liver
    assert "b_image.nii.gz" in outcome.shown
    assert len(read_statistics(names[1])["scans"]) == 2
    assert all(name.stat().st_size > 200 for name in names)
    again = command("datalist", "statistics", listed, "--output", names[0])
    assert "exists already" in again.error


@pytest.mark.parametrize("name", ["out.xlsx", "out"])
def test_another_kind_of_file_is_refused_before_the_work(listed, tmp_path, name):
    outcome = command("datalist", "statistics", listed, "--output", tmp_path / name)
    assert "a file that ends in .html, .json, .csv" in outcome.error


def document(scans) -> dict:
    return {
        "data_list": {"name": "a <b> list", "path": "list.json"},
        "scans": [scan | {"split": "training"} for scan in scans],
        "unreadable": [{"id": "x", "dataset": "d", "image": "x.nii", "reason": "x.nii: <script>"}],
        "groups": group_summaries(scans),
        "overall": summarise(scans),
        "outliers": [{"id": "c9", "dataset": "d", "what": "spacing_s", "reason": "5 mm; median 3"}],
    }


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_page_is_one_file_with_every_scan_and_plot():
    page = statistics_html(document(cohort(10)))
    tags = _Tags()
    tags.feed(page)
    pictures = [options["src"] for tag, options in tags.found if tag == "img"]
    assert len(pictures) == 5  # spacing, extent, intensity, volumes, means
    assert all(source.startswith("data:image/webp") for source in pictures)
    assert not {tag for tag, _ in tags.found} & {"script", "link", "iframe"}
    assert all(f">c{number}<" in page for number in range(10))
    assert "a &lt;b&gt; list" in page
    assert "&lt;script&gt;" in page


def test_a_list_without_labels_has_no_table_of_labels():
    scans = cohort(6)
    for scan in scans:
        scan["labels"] = None
    content = document(scans)
    assert "Labels\n" not in statistics_text(content)
    assert statistics_html(content).count("<img") == 3


def test_a_label_of_fewer_than_half_the_scans_is_called_rare():
    scans = cohort(5)
    scans[0]["labels"]["tumour"] = {"voxels": 1, "ml": 2.0, "mean": 30.0, "sd": 1.0, "cut": False}
    assert "1 of 5, rare" in statistics_text(document(scans))


def test_text_columns_stand_under_one_another():
    lines = statistics_text(document(cohort(10))).splitlines()
    start = lines.index("Outliers")
    header, _, row = lines[start + 2 : start + 5]
    assert header.index("reason") == row.index("5 mm")


def test_the_json_holds_no_nan(listed, tmp_path):
    command("datalist", "statistics", listed, "--output", tmp_path / "a.json")
    json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)


def test_a_modality_has_rows_of_its_own_and_hu_stands_beside_ct_alone():
    content = document(mixed())
    lines = statistics_text(content).splitlines()
    rows = [line.split() for line in lines if line.startswith(("d  ", "other", "all"))]
    assert [(row[0], row[1], row[-1]) for row in rows[:2]] == [("d", "CT", "HU"), ("d", "MR", "2100")]
    assert rows[0][-6:] == ["-1000", "/", "40", "/", "400", "HU"]
    assert rows[1][-5:] == ["70", "/", "700", "/", "2100"]
    assert rows[2][-5:] == ["4000", "/", "40000", "/", "120000"]
    assert rows[3][:3] == ["all", "6", "CT,"]
    assert rows[3][-1] == "–"  # a median over HU and the units of MR means nothing
    livers = [line.split() for line in lines if line.startswith("liver")]
    assert [row[1:3] for row in livers] == [["d", "CT"], ["d", "MR"], ["other", "MR"]]
    assert livers[0][-3:] == ["102.5", "HU", "100–105"]
    assert livers[1][-2:] == ["700", "700–700"]
    page = statistics_html(content)
    assert page.count("<img") == 7  # intensities and means of each modality
    rows = re.findall(r"<tr>.*?</tr>", page)
    assert sum("MR" in row for row in rows) > 8
    assert not any("HU" in row for row in rows if "MR" in row)
    assert "Percentiles of the body&#x27;s intensity, MR" in page


def test_a_list_of_mr_says_nothing_of_hu(monkeypatch):
    shown = []
    monkeypatch.setattr("monai_cl.report.page.list_statistics.strip_plot", _noting(shown))
    content = document([scan for scan in mixed() if scan["modality"] == "MR"])
    content["outliers"] = []
    assert "HU" not in statistics_text(content)
    assert "HU" not in re.sub(r'src="data:[^"]*"', "", statistics_html(content))
    assert shown == ["mm", "mm", "the scans' own unit", "ml", "the scans' own unit"]


def _noting(units):
    from monai_cl.report.figures.strip_plot import strip_plot

    def noted(rows, *, unit, logarithmic=False):
        units.append(unit)
        return strip_plot(rows, unit=unit, logarithmic=logarithmic)

    return noted
