"""The tables of an inference: earlier scans stay in them, and the results of another scan are not replaced."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Engine
from torch.utils.data import DataLoader, default_collate

from monai_cl.engines import LoadSlices, PredictionFiles, scan_items
from monai_cl.errors import UserError
from tests.engines.slice_lists import volume, write_scan

TABLES = ("predictions.csv", "slices.csv")


def predict(scans: list[str], folder: Path, **options: Any) -> None:
    """As the bundle's inference does; the logit of a slice is the mean of its pixels."""
    items = scan_items(scans, output_dir=folder, **options)
    load = LoadSlices(size=16, window=(-100, 400), neighbours=1)

    def step(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        return {"pred": batch["image"].mean((2, 3, 4))[..., None], "image": batch["image"]}

    engine = Engine(step)
    PredictionFiles(network=None, output_dir=folder, classes=("mild", "severe"), pictures=0).attach(engine)
    engine.run(DataLoader([load(item) for item in items], batch_size=1, collate_fn=default_collate))


def scan(path: Path, seed: int) -> str:
    return write_scan(path, volume(seed)[0])


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_tables_have_the_scans_of_earlier_runs_and_each_scan_once(tmp_path):
    first, second = scan(tmp_path / "a.nii.gz", 0), scan(tmp_path / "b.nii.gz", 1)
    out = tmp_path / "out"
    predict([first], out)
    before = {name: rows(out / name) for name in TABLES}
    predict([second], out)
    for name in TABLES:
        assert [row for row in rows(out / name) if row["id"] == "a"] == before[name]
    predict([first, second], out)
    found = rows(out / "predictions.csv")
    assert [(row["id"], row["file"], row["n_slices"]) for row in found] == [("a", first, "7"), ("b", second, "7")]
    for row in found:
        record = json.loads((out / f"{row['id']}.json").read_text())
        assert float(row["probability"]) == record["probability"]
        own = [float(one["probability"]) for one in rows(out / "slices.csv") if one["id"] == row["id"]]
        assert own == [one["probability"] for one in record["slices"]]


def test_rows_of_another_scan_of_the_name_stay_unless_asked(tmp_path):
    mine, other = scan(tmp_path / "mine" / "ct.nii.gz", 0), scan(tmp_path / "other" / "ct.nii.gz", 1)
    out = tmp_path / "out"
    predict([mine], out)
    before = contents(out)
    with pytest.raises(UserError, match=r"ct\.json: expected no result, or one of .*other/ct\.nii\.gz, found that of"):
        predict([other], out)
    assert contents(out) == before
    predict([other], out, overwrite="true")
    (row,) = rows(out / "predictions.csv")
    assert row["file"] == other


def test_a_result_that_was_edited_stays(tmp_path):
    one, out = scan(tmp_path / "ct.nii.gz", 0), tmp_path / "out"
    predict([one], out)
    record = json.loads((out / "ct.json").read_text())
    (out / "ct.json").write_text(json.dumps({"id": "ct", "probability": record["probability"], "call": "by hand"}))
    before = contents(out)
    with pytest.raises(UserError, match="found a file that no record names"):
        predict([one], out)
    assert contents(out) == before
