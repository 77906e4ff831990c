"""The demonstration's folder holds one demonstration: another seed or size is refused, not mixed in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from monai_cl import demo
from monai_cl.demo import STUDIES, findings, run_demo
from monai_cl.errors import UserError
from monai_cl.shipped import study_file
from monai_cl.study import StudyFolder, expand, load_study
from monai_cl.study.summary import Summary
from monai_cl.study.table import Difference, Mean


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a quick demonstration with seed 0 was stopped before its first cell."""

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo.Runner, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_demo(tmp_path / "demo", seed=0, quick=True)
    return tmp_path / "demo"


@pytest.mark.parametrize(("seed", "quick"), [(7, True), (0, False)])
def test_another_demonstration_in_the_folder_is_refused_before_a_cell(begun: Path, seed, quick):
    before = {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"demo_organs\.yaml: expected the demonstration .*--output"):
        run_demo(begun, seed=seed, quick=quick)
    assert {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()} == before


def test_the_same_demonstration_continues(begun: Path):
    with pytest.raises(KeyboardInterrupt):
        run_demo(begun, seed=0, quick=True)


def test_a_cell_that_fails_ends_the_demonstration_and_the_other_worker(tmp_path: Path, monkeypatch):
    log = tmp_path / "said"
    wait = f"import os, time\nwhile not os.path.exists({str(log)!r}): time.sleep(.01)\n"
    programs = {
        "a": [sys.executable, "-c", f"{wait}raise SystemExit('no such scan')"],
        "b": [sys.executable, "-c", f"import time; open({str(log)!r}, 'w').close(); time.sleep(600)"],
    }
    studies = []
    for name, words in programs.items():
        file = tmp_path / f"{name}.yaml"
        content = {"name": name, "steps": {"only": {"program": words}}, "arms": {"x": {}}, "measure": {"step": "only"}}
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        studies.append((load_study(file), expand(load_study(file))))
    with pytest.raises(UserError, match=r"no such scan.*run the demo again"):
        demo._run_cells(studies, StudyFolder(tmp_path / "out"), workers=2)
    assert log.exists()  # the other was running, and did not go on for its ten minutes


def test_a_damaged_study_is_refused(begun: Path):
    (begun / "demo_slices.yaml").write_text("[", encoding="utf-8")
    with pytest.raises(UserError, match=r"demo_slices\.yaml: expected the demonstration"):
        run_demo(begun, seed=0, quick=True)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_of_the_demo_is_that_of_the_package_with_other_seeds(name, tmp_path):
    shipped = load_study(study_file(name))
    for seed in (0, 5):
        (tmp_path / f"{name}.yaml").write_text(demo._study_text(name, seed=seed, quick=False), encoding="utf-8")
        study = load_study(tmp_path / f"{name}.yaml")
        assert study.seeds == tuple(seed + other for other in shipped.seeds)
        assert study.steps["cohort"].options["seed"] == seed
        same = set(expand(study).cells) == set(expand(shipped).cells)
        assert same == (seed == 0)


def test_the_quick_one_changes_only_options_that_the_studies_have(tmp_path):
    for name in STUDIES:
        shipped = load_study(study_file(name))
        for step, options in demo._QUICK[name].items():
            assert options.keys() <= shipped.steps[step].options.keys()


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((0.05, 0.15), "kidneys: hybrid gains, 60.0 against 50.0 of scratch: +10.0 (95 % interval +5.0 to +15.0; 3"),
        ((-0.3, -0.1), "hybrid loses, 60.0 against 50.0 of scratch: +10.0 (95 % interval −30.0 to −10.0;"),
        ((-0.05, 0.3), "hybrid shows no difference, 60.0 against 50.0 of scratch: +10.0 (95 % interval −5.0 to +30.0;"),
        (None, "hybrid 60.0 against 50.0 of scratch, difference +10.0; too few pairs for an interval."),
    ],
)  # fmt: skip
def test_a_finding_says_gain_loss_or_neither_by_its_interval(interval, said):
    means = {("scratch", "kidneys"): Mean(0.5, 0.1, 3, 8), ("hybrid", "kidneys"): Mean(0.6, 0.1, 3, 8)}
    study = load_study(study_file("demo_organs"))
    differences = {("scratch", "hybrid", "kidneys"): Difference(0.1, interval, 20, 4, 24)}
    (line,) = findings(Summary(study, means, differences, ()))
    assert said in line
