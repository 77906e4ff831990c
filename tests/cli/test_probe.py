from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from monai_cl.cli.probe import probe_command
from monai_cl.data import EmbeddingTable, read_results, write_embeddings, write_features
from monai_cl.engines import read_folds
from monai_cl.errors import UserError
from tests.engines.probe.feature_cohorts import feature_cohort


def features(path, **options):
    about = {"method": path.stem, "cohort": "made up", "backbone": "tinynet"}
    return write_features(path, feature_cohort(**{"patients": 20, "slices": 3, "about": about, **options}))


def test_one_file_gives_a_folder_with_results_and_a_table_on_the_screen(tmp_path, capsys):
    probe_command(features(tmp_path / "wsp.npz"), output=tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"results.json", "patients.csv", "folds.json", "roc.png", "pca.png", "probe.npz"}
    text = capsys.readouterr().out
    assert text.startswith("wsp, made up (")
    assert f"AUC {read_results(tmp_path / 'run')['metrics']['auc']:.3f} ± " in text
    assert (tmp_path / "run" / "roc.png").read_bytes().startswith(b"\x89PNG")


def test_several_files_share_their_folds_and_get_a_table(tmp_path, capsys):
    files = [features(tmp_path / "wsp.npz", signal=3.0), features(tmp_path / "random.npz", signal=0.0)]
    probe_command(*files, output=tmp_path / "run")
    folds = [read_folds(tmp_path / "run" / name / "folds.json").sha256 for name in ("wsp", "random", ".")]
    assert len(set(folds)) == 1
    table = (tmp_path / "run" / "methods.md").read_text("utf-8")
    assert table.startswith("**AUC by method, TinyNet**")
    assert table in capsys.readouterr().out


def test_folds_of_an_earlier_run_are_used(tmp_path):
    first, second = features(tmp_path / "wsp.npz"), features(tmp_path / "random.npz", seed=1)
    probe_command(first, output=tmp_path / "a", fold_count=4, seed=7)
    probe_command(second, output=tmp_path / "b", folds=tmp_path / "a" / "folds.json")
    found = [read_results(tmp_path / name)["metrics"] for name in "ab"]
    assert found[0]["folds_sha256"] == found[1]["folds_sha256"]
    assert len(found[1]["folds"]) == 4
    other = features(tmp_path / "other.npz", patients=22)
    with pytest.raises(
        UserError, match=r"folds\.json: expected folds that cover every patient, found none for patients p020"
    ):
        probe_command(other, output=tmp_path / "c", folds=tmp_path / "a" / "folds.json")
    assert not (tmp_path / "c").exists()


def test_the_name_of_a_method_can_be_given(tmp_path):
    probe_command(features(tmp_path / "x.npz"), output=tmp_path / "run", method="my method", cohort="D9")
    found = read_results(tmp_path / "run")
    assert (found["name"], found["method"], found["cohort"]) == ("my method, D9", "my method", "D9")


@pytest.mark.slow
def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    paths = [tmp_path / name / "features.npz" for name in ("one", "two")]
    for path in paths:
        path.parent.mkdir()
    probe_command(*(features(path) for path in paths), output=tmp_path / "run")
    assert {file.parent.name for file in (tmp_path / "run").glob("*/results.json")} == {"one_features", "two_features"}


@pytest.mark.slow
def test_tables_of_embeddings_of_any_format_give_one_result(tmp_path):
    made = feature_cohort(patients=20, slices=3)
    columns = {"id": made.slice.tolist(), "patient": made.patient.tolist(), "image": ["i"] * len(made)}
    table = EmbeddingTable(made.features, columns | {"target": made.label.tolist()})
    endings = [*(["parquet"] if find_spec("pyarrow") else []), "csv", "npz"]
    paths = [write_embeddings(tmp_path / f"f.{ending}", table) for ending in endings]
    probe_command(*paths, output=tmp_path / "run")
    folders = sorted(path.parent for path in (tmp_path / "run").glob("*/results.json"))
    assert [folder.name for folder in folders] == sorted(path.name for path in paths)
    assert len({read_results(folder)["metrics"]["auc"] for folder in folders}) == 1


def test_no_file_is_probed_before_all_are_known_to_fit(tmp_path, monkeypatch):
    def probed(*args, **options):
        raise AssertionError("probed")

    monkeypatch.setattr("monai_cl.engines.probe.run.run_probe", probed)
    good, fewer = features(tmp_path / "a.npz"), features(tmp_path / "b.npz", patients=18)
    with pytest.raises(UserError, match="expected a features file"):
        probe_command(good, tmp_path / "missing.npz", output=tmp_path / "run")
    with pytest.raises(UserError, match=r"the features lack patients? "):
        probe_command(good, fewer, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_does_not_fit_is_reported(tmp_path):
    good = features(tmp_path / "wsp.npz")
    with pytest.raises(UserError, match=r"expected at least one features file"):
        probe_command(output=tmp_path / "run")
    with pytest.raises(UserError, match=r"each features file once, found .*wsp\.npz twice"):
        probe_command(good, good, output=tmp_path / "run")
    with pytest.raises(UserError, match="--method: expected one features file"):
        probe_command(good, tmp_path / "other.npz", method="x")
    with pytest.raises(UserError, match="--fold_count: expected 2 or more, found 1"):
        probe_command(good, fold_count=1)
    with pytest.raises(UserError, match=r"missing\.npz: expected a features file"):
        probe_command(tmp_path / "missing.npz", output=tmp_path / "run")
    made = feature_cohort(patients=20, slices=3)
    label = np.where(made.patient == "p004", [0, 1, 1] * 20, made.label)
    with pytest.raises(UserError, match=r"two\.npz: patient p004: expected one label on all slices, found 0 and 1"):
        probe_command(write_features(tmp_path / "two.npz", replace(made, label=label)), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_line_ends_with_one_line_on_an_error(tmp_path):
    command = [sys.executable, "-m", "monai_cl", "probe", str(tmp_path / "no.npz")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path / 'no.npz'}: expected a features file")
    assert len(done.stderr.splitlines()) == 1
    good = features(tmp_path / "wsp.npz")
    subprocess.run([*command[:4], str(good), "--output", str(tmp_path / "run"), "--seed", "3"], check=True)
    assert json.loads((tmp_path / "run" / "folds.json").read_text(encoding="utf-8"))["seed"] == 3


def test_patients_are_positive_from_a_value_on(tmp_path, capsys):
    """Stages 0 and 3 of which 3 is positive: the probe of classes 0 and 1."""
    plain = features(tmp_path / "wsp.npz")
    cohort = feature_cohort(patients=20, slices=3, about={"method": "wsp", "cohort": "made up", "backbone": "tinynet"})
    staged = write_features(tmp_path / "staged.npz", replace(cohort, label=3 * cohort.label))
    probe_command(plain, output=tmp_path / "plain")
    with pytest.raises(UserError, match=r"expected class 0 or 1, found 3.*--positive_from"):
        probe_command(staged, output=tmp_path / "staged")
    probe_command(staged, output=tmp_path / "staged", positive_from=3)
    found, expected = read_results(tmp_path / "staged"), read_results(tmp_path / "plain")
    assert found["metrics"] == expected["metrics"]
    assert found["cohort"] == "made up, target >= 3"
    assert found["data_list"]["target"] == {"field": "target", "positive_from": 3}
    assert "of target >= 3)" in capsys.readouterr().out
    lines = (tmp_path / "staged" / "patients.csv").read_text().splitlines()
    assert lines[0] == "patient,fold,label,probability,n_slices,class"
    labels = {row["patient"]: row["label"] for row in found["metrics"]["per_patient"]}
    assert {line.split(",")[0]: line.split(",")[-1] for line in lines[1:]} == {
        patient: "target >= 3" if label else "target < 3" for patient, label in labels.items()
    }
