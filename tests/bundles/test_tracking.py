"""`--tracking mlflow`: a run in a local database, without a server and without the network."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundles.conftest import ORGANS, PRETRAINING, SPLEEN, config_files, words
from tests.bundles.slice_runs import CLASSIFICATION
from tests.bundles.slice_runs import PRETRAINING as SLICES

pytest.importorskip("mlflow", reason="tracking needs MLflow: pip install 'monai-cl[tracking]'")
ALL = (SPLEEN, PRETRAINING, ORGANS, SLICES, CLASSIFICATION)
# any connection but to this machine is refused by the proxies
OFFLINE = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    """One database for all runs: to make its tables takes longer than to train."""
    return tmp_path_factory.mktemp("tracking") / "mlruns.db"


@pytest.fixture(scope="module")
def tracked(launcher, training_options, slice_options, database, tmp_path_factory) -> Callable[[str], Path]:
    """``tracked(bundle)``: two iterations in two epochs; the run's folder."""

    def run(bundle: str) -> Path:
        folder = tmp_path_factory.mktemp(bundle)
        slices = bundle in (SLICES, CLASSIFICATION)
        options = (slice_options if slices else training_options)(bundle)
        options |= {} if slices or bundle == PRETRAINING else {"overlay_cases": 0}
        options |= {"iterations": 2, "epoch_length": 1, "output_dir": str(folder / "run")}
        names = {"tracking": "mlflow", "experiment_name": bundle, "run_name": "first"}
        names |= {"tracking_uri": f"sqlite:///{database}"}
        how = ("finetune",) if bundle == CLASSIFICATION else ()
        file = config_files(bundle, "train")[0]
        arguments = ("run", *how, "--config_file", file, *words({**options, **names}))
        launcher.run("monai.bundle", *arguments, cwd=folder, env=OFFLINE).check()
        return folder

    return run


def rows(database: Path, query: str, *values: object) -> list[tuple]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize("bundle", [SPLEEN, *(pytest.param(name, marks=pytest.mark.slow) for name in ALL[1:])])
def test_a_training_is_a_finished_run_with_its_loss_rate_and_metric(tracked, database, bundle):
    folder = tracked(bundle)
    query = (
        "select run_uuid, runs.name, status from runs join experiments using (experiment_id) where experiments.name = ?"
    )
    ((run, name, status),) = rows(database, query, bundle)
    assert (name, status) == ("first", "FINISHED")
    metrics = {
        (key, step): value
        for key, step, value in rows(database, "select key, step, value from metrics where run_uuid = ?", run)
    }
    assert {("train_loss", 1), ("train_loss", 2), ("lr_group_0", 1), ("lr_group_0", 2)} <= metrics.keys()
    if bundle in (SPLEEN, ORGANS, CLASSIFICATION):
        assert any(key.startswith("val_") for key, _ in metrics)
    parameters = dict(rows(database, "select key, value from params where run_uuid = ?", run))
    assert (parameters["max_epochs"], parameters["epoch_length"]) == ("2", "1")
    assert list((folder / "run").glob("config_*.json")), "the config as it was executed"
    assert {path.name for path in folder.iterdir()} == {"run"}


@pytest.mark.slow
def test_by_default_the_database_lies_beside_the_results(launcher, training_options, tmp_path):
    options = {
        **training_options(SPLEEN, iterations=1, epoch_length=1, overlay_cases=0),
        "output_dir": str(tmp_path / "run"),
    }
    file = config_files(SPLEEN, "train")[0]
    arguments = ("run", "--config_file", file, *words(options), "--tracking", "mlflow")
    launcher.run("monai.bundle", *arguments, cwd=tmp_path, env=OFFLINE).check()
    assert rows(tmp_path / "run" / "mlruns.db", "select status from runs") == [("FINISHED",)]
