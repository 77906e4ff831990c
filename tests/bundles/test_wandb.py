"""`--tracking` by a settings file for Weights & Biases: offline, the curves of results.json, nothing about patients."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monai_cl.engines import RunRecorder, WandbRun
from monai_cl.errors import UserError
from tests.bundles.conftest import ORGANS, PRETRAINING, SPLEEN, config_files, words
from tests.bundles.slice_runs import CLASSIFICATION
from tests.bundles.slice_runs import PRETRAINING as SLICES
from tests.bundles.test_tracking import OFFLINE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bundles.md"
BLOCK = 32768  # of the LevelDB log that wandb writes


def records(file: Path) -> Iterator[Any]:
    """The records of an offline run."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, part = file.read_bytes(), 7, b""
    while position < len(data):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        part += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part of one
            record = Record()
            record.ParseFromString(part)
            yield record
            part = b""


def contents(folder: Path) -> tuple[dict[str, list[list[float]]], dict[str, Any], dict[str, Any]]:
    """Curves, config and summary of the only run in a folder of wandb."""
    (file,) = folder.glob("offline-run-*/*.wandb")
    curves, config, summary = {}, {}, {}
    for record in records(file):
        kind = record.WhichOneof("record_type")
        if kind == "history":
            row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            for name, value in row.items():
                if not name.startswith("_") and name != "iteration":
                    curves.setdefault(name, []).append([row["iteration"], value])
        elif kind == "run":
            config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "summary":
            summary |= {item.key: json.loads(item.value_json) for item in record.summary.update if item.key}
    return curves, config, summary


@pytest.mark.slow
@pytest.mark.parametrize("bundle", [SPLEEN, ORGANS, PRETRAINING, SLICES, CLASSIFICATION])
def test_a_run_has_the_curves_config_and_scores_of_its_results(
    launcher, training_options, slice_options, tmp_path, bundle
):
    pytest.importorskip("wandb", reason="needs Weights & Biases: pip install 'monai-cl[wandb]'")
    # as the page gives it
    settings = PAGE.read_text(encoding="utf-8").partition("cat > wandb.yaml <<'EOF'\n")[2].partition("EOF\n")[0]
    (tmp_path / "wandb.yaml").write_text(settings)
    slices = bundle in (SLICES, CLASSIFICATION)
    options = (slice_options if slices else training_options)(bundle)
    options |= {} if slices or bundle == PRETRAINING else {"overlay_cases": 0}
    options |= {"epoch_length": 2, "output_dir": str(tmp_path / "run"), "train#recorder#interval": 1}
    how = ("finetune",) if bundle == CLASSIFICATION else ()

    def run(iterations: int, tracked: bool) -> dict[str, Any]:
        given = {**options, "iterations": iterations}
        arguments = ("run", *how, "--config_file", config_files(bundle, "train")[0], *words(given))
        arguments += ("--tracking", "wandb.yaml") if tracked else ()
        launcher.run("monai.bundle", *arguments, cwd=tmp_path, env=OFFLINE).check()
        return json.loads((tmp_path / "run" / "results.json").read_text())

    run(2, tracked=False)
    results = run(4, tracked=True)  # goes on after two iterations, whose points are not its own
    curves, config, summary = contents(tmp_path / "run" / "wandb")
    expected = {name: [p for p in points if p[0] > 2] for name, points in results["curves"].items()}
    assert curves == {name: points for name, points in expected.items() if points}
    assert [p[0] for p in curves["loss"]] == [3, 4]
    assert (config["iterations"], config["epoch_length"]) == (4, 2)
    scores = {name: value for name, value in (results.get("metrics") or {}).items() if isinstance(value, (int, float))}
    assert {name: summary[name] for name in scores} == scores
    assert bool(scores) == (bundle in (SPLEEN, ORGANS, CLASSIFICATION))


def recorder(folder: Path) -> RunRecorder:
    return RunRecorder(kind="pretraining", bundle="b", output_dir=folder, seed=0, data_list={}, tensorboard=False)


def test_another_mode_and_the_absent_package_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="wandb: mode: expected offline or online, found 'dryrun'"):
        WandbRun(recorder=recorder(tmp_path), project="p", mode="dryrun")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r'--tracking: expected the package wandb, found none; pip install "monai-cl'):
        WandbRun(recorder=recorder(tmp_path), project="p")
