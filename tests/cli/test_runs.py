"""``python -m monai_cl runs``: the table, its filters, and what is deleted."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from monai_cl.data import model_record, run_record, write_results
from monai_cl.engines import find_run_folders, remove_run_files
from monai_cl.engines.checkpoints.checkpoint_file import checkpoint_name
from monai_cl.errors import UserError
from monai_cl.locks import Lock
from monai_cl.networks import save_weights
from tests.cli.running import exit_status

BUNDLE = "spleen_unetr_segmentation"


def write_run(
    folder: Path, *checkpoints: int, results: int | None = None, seed: int = 0, preset: str = "paper"
) -> Path:
    """Checkpoints after those iterations, 10 kB each, and results after ``results``."""
    folder.mkdir(parents=True)
    options = {"kind": "segmentation", "bundle": BUNDLE, "data_list": {"name": "spleen"}, "seed": seed}
    about = model_record(method=preset, network={}, iterations=0, **options)
    for iteration in checkpoints:
        content = {"network": {"w": torch.zeros(2500)}, "iteration": iteration, "epoch": 1, "epoch_length": 1}
        save_weights(content, folder / checkpoint_name(iteration), about)
    if results is not None:
        save_weights({"w": torch.zeros(10)}, folder / "model.pt", about)
        record = run_record(name=folder.name, wall_seconds=5400, metrics={"mean_dice": 0.5}, **options)
        write_results(
            folder / "results.json", {**record, "iterations": results, "best": {"iteration": 20, "mean_dice": 0.75}}
        )
    return folder


@pytest.fixture
def runs(tmp_path) -> Path:
    root = tmp_path / "runs"
    write_run(root / "done", 20, 40, results=40)
    write_run(root / "cut", 10, 20, 30, seed=1, preset="strong")
    write_run(root / "longer" / "again", 60, results=40, seed=2)
    (root / "store" / "key").mkdir(parents=True)
    (root / "store" / "store.json").write_text("{}")
    (root / "store" / "checkpoint_iteration=1.pt").write_text("")
    return root


run = partial(exit_status, "runs")


def test_every_run_is_told_what_it_is_and_how_far(runs):
    found = {entry.path.name: entry for entry in find_run_folders(runs)}
    assert {name: entry.state for name, entry in found.items()} == {
        "done": "finished", "cut": "interrupted", "again": "interrupted",
    }  # fmt: skip
    done, cut = found["done"], found["cut"]
    assert (done.bundle, done.preset, done.seed, done.iterations) == (BUNDLE, "paper", 0, 40)
    assert (done.best, done.hours) == ("Dice 0.750 at 20", 1.5)
    assert done.bytes == sum(file.stat().st_size for file in (runs / "done").iterdir())
    assert (cut.preset, cut.seed, cut.iterations, cut.best, cut.hours) == ("strong", 1, 30, None, None)
    lock = Lock(runs / "cut")
    lock.acquire()
    try:
        (held,) = find_run_folders(runs / "cut")
    finally:
        lock.release()
    assert (held.state, held.superseded) == ("running", {})


def test_the_table_is_filtered_and_read_by_programs(runs, capsys):
    assert run(runs) == 0
    table = capsys.readouterr().out
    assert "Dice 0.750 at 20  1.50" in table
    assert "3 runs, " in table
    assert "--clean deletes them" in table
    assert run(runs, "--state", "interrupted", "--seed", 1, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["path"], row["preset"]) == (str(runs / "cut"), "strong")
    assert run(runs, "--bundle", "other") == 0
    assert "no run is of that kind" in capsys.readouterr().out
    assert run(runs, "--state", "done") == 2
    assert "--state: expected one of running, finished" in capsys.readouterr().err
    assert run(runs / "store") == 2
    assert "expected checkpoints or results of a run" in capsys.readouterr().err


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_only_what_newer_files_replaced_is_deleted(runs, capsys, monkeypatch):
    (runs / "cut" / "checkpoint_iteration=5.pt.damaged").write_bytes(b"0" * 300)
    (runs / "cut" / ".tmp-model.pt-1-abc").write_bytes(b"0" * 200)
    before = {file: file.read_bytes() for file in runs.rglob("*") if file.is_file()}
    assert run(runs, "--clean") == 2
    assert "expected an answer in a terminal, found no terminal; add --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert run(runs, "--clean") == 0
    assert "nothing was deleted" in capsys.readouterr().out
    assert {file: file.read_bytes() for file in runs.rglob("*") if file.is_file()} == before
    asked = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "y")
    gone = [
        runs / "done/checkpoint_iteration=20.pt",
        *(runs / "cut").glob("*n=[125]*.pt*"),
        *(runs / "cut").glob(".tmp*"),
    ]
    total = sum(file.stat().st_size for file in gone)
    assert run(runs, "--clean") == 0
    assert asked == [f"delete these 5 files, {total / 1000:.1f} kB? [y/N] "]
    assert {file for file in before if not file.exists()} == set(gone)
    assert run(runs, "--clean", "--yes") == 0
    assert "nothing to delete" in capsys.readouterr().out
    assert run(runs, "--clean", "--last", "--yes") == 0
    assert names(runs / "done") == ["model.pt", "results.json"]
    assert "checkpoint_iteration=60.pt" in names(runs / "longer" / "again")


def test_an_older_checkpoint_stays_where_the_newest_cannot_be_read(runs):
    newest = runs / "cut" / "checkpoint_iteration=30.pt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    (cut,) = find_run_folders(runs / "cut")
    assert [file.name for file in cut.superseded] == ["checkpoint_iteration=10.pt"]


def test_places_without_a_run_are_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere: expected a folder with runs, found no such folder"):
        find_run_folders(tmp_path / "nowhere")


def test_from_python_what_newer_files_replaced_is_deleted(runs):
    (done,) = find_run_folders(runs / "done")
    assert [file.name for file in done.superseded] == ["checkpoint_iteration=20.pt"]
    assert remove_run_files(done.superseded) == sum(done.superseded.values()) > 0
    assert names(runs / "done") == ["checkpoint_iteration=40.pt", "model.pt", "results.json"]
