"""The report of a study: its finished cells that are measured, its pre-trainings, and nothing of earlier versions."""

from __future__ import annotations

import json
import re

import pytest

from monai_cl.cli.commands import main
from monai_cl.data import write_results
from monai_cl.study.folder import StudyFolder
from tests.report.examples import pretraining, segmentation
from tests.study.studies import opened, written


def test_nothing_done_is_said(tmp_path, capsys):
    path = written(tmp_path)
    with pytest.raises(SystemExit):
        main(["study", "report", str(path), "--output", str(tmp_path / "out")])
    assert "expected a cell that is done, found none; run the study first" in capsys.readouterr().err
    assert not (tmp_path / "out" / "report.html").exists()


def test_the_page_is_about_the_measured_cells_and_the_pre_trainings(tmp_path):
    study, expansion, folder = opened(tmp_path, folds=[0])
    measured = [cell for cell in expansion.cells.values() if cell.step == "last"]
    for number, cell in enumerate(measured):
        folder.of(cell).output.mkdir(parents=True)
        run = segmentation({"a": {"spleen": 0.1 * number}}, seed=3 + number % 2, name=f"measured {number}")
        write_results(folder.of(cell).output / "results.json", run)
    for cell in measured[:-1]:
        folder.of(cell).finish(seconds=1.0)
    other = folder.path / "cells" / "last-0123456789abcdef"
    (other / "output").mkdir(parents=True)
    write_results(other / "output" / "results.json", segmentation({"a": {"spleen": 0.9}}, name="of another version"))
    (other / "done.json").write_text("{}")
    main(["study", "report", str(tmp_path / "study.yaml"), "--output", str(folder.path)])
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r"measured \d", page)) == {f"measured {n}" for n in range(len(measured) - 1)}
    assert "of another version" not in page
    assert f"<title>{study.name}" in page


def test_a_pre_training_of_a_bundle_is_on_it_and_other_steps_are_not(tmp_path):
    bundle = {"bundle": "mixcl_ct_pretraining", "options": {"seed": "{seed}"}}
    steps = {"one": bundle, "two": {**bundle, "options": {"seed": "{seed}", "iterations": 2}}}
    last = {"program": ["python", "-c", "", "{one}", "{two}"]}
    _, expansion, folder = opened(tmp_path, steps={**steps, "last": last}, arms={"x": {}}, folds=[0], seeds=[0])
    cells = {cell.step: cell for cell in expansion.cells.values()}
    for step, record in {"one": pretraining(), "two": segmentation({"a": {"spleen": 1.0}}), "last": None}.items():
        folder.of(cells[step]).output.mkdir(parents=True)
        if record is not None:
            write_results(folder.of(cells[step]).output / "results.json", record)
        folder.of(cells[step]).finish(seconds=1.0)
    found = StudyFolder(folder.path).reported(expansion.cells, step="last")
    assert found == [folder.of(cells["one"]).output]  # the last program wrote nothing


def test_the_numbers_of_a_program_are_no_run_of_a_report(tmp_path, capsys):
    study, expansion, folder = opened(tmp_path, folds=[0])
    for number, cell in enumerate(cell for cell in expansion.cells.values() if cell.step == "last"):
        folder.of(cell).output.mkdir(parents=True)
        file = folder.of(cell).output / "results.json"
        file.write_text(json.dumps({"metrics": {"auc": 0.5}}))
        if number == 0:
            folder.of(cell).finish(seconds=1.0)
            first = file
    command = ["study", "report", str(study.path), "--output", str(folder.path)]
    with pytest.raises(SystemExit):
        main(command)
    assert "found none; study table shows the numbers of programs" in capsys.readouterr().err
    for cell in expansion.cells.values():
        if cell.step == "last" and not folder.of(cell).is_done():
            write_results(folder.of(cell).output, segmentation({"a": {"spleen": 0.1}}, name="of a command"))
            folder.of(cell).finish(seconds=1.0)
    main(command)  # with both kinds, the page is about the second
    assert "of a command" in (folder.path / "report.html").read_text(encoding="utf-8")
    assert first.is_file()
