from __future__ import annotations

from pathlib import Path

import pytest

from monai_cl.cli.report import report_command
from monai_cl.errors import UserError
from tests.report.examples import pretraining, put, segmentation


def test_the_command_writes_the_page_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "7", pretraining())
    report_command(7)  # the command line hands a folder named 7 over as a number
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert capsys.readouterr().out.startswith("wrote report.html (")


def test_a_name_ending_in_md_gives_markdown_with_the_title(tmp_path: Path):
    put(tmp_path / "run", pretraining())
    report_command(tmp_path / "run", output=str(tmp_path / "deep" / "tables.md"), title="Spleen at 5 %")
    assert (tmp_path / "deep" / "tables.md").read_text("utf-8").startswith("# Spleen at 5 %\n")


def test_plots_hide_names_with_the_page(tmp_path: Path):
    data = {"path": "PAT.json", "name": None}
    for start in (None, "PAT.pt"):
        put(tmp_path / f"{start}", segmentation({"a": {"spleen": 0.5}}, initialisation=start, data=data, curves={}))
    report_command(tmp_path, output=str(tmp_path / "x.md"), hash_patients=True, plots=str(tmp_path / "plots"))
    names = [path.name for path in (tmp_path / "plots").iterdir()]
    assert names == ["differences_data-list-1-2-labelled-scans-15_spleen.png"]


@pytest.mark.parametrize("word", ["true", "false", "yes", "NO"])
def test_an_answer_is_not_taken_for_the_key_of_the_hashes(word: str, tmp_path: Path):
    put(tmp_path / "run", pretraining())
    with pytest.raises(UserError, match=f"--hash_patients: expected .* found '{word}'"):
        report_command(tmp_path / "run", output=str(tmp_path / "report.html"), hash_patients=word)
    assert not (tmp_path / "report.html").exists()


def test_a_folder_as_output_is_refused_with_a_proposal(tmp_path: Path):
    put(tmp_path / "run", pretraining())
    with pytest.raises(UserError, match=r"found a folder; try .*report\.html"):
        report_command(tmp_path / "run", output=str(tmp_path))
