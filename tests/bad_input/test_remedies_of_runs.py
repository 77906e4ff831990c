"""What a message about a run, a probe, the label server or a report advises, done as it says."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monai_cl.data import SliceFeatures
from monai_cl.data.datalist.folds import check_fraction
from monai_cl.engines.probe.folds import read_folds
from monai_cl.engines.probe.run import run_probe
from monai_cl.engines.schedule import epochs_of
from monai_cl.engines.segmentation.network import segmentation_unetr
from monai_cl.errors import UserError
from monai_cl.serving import organ_values
from monai_cl.serving.interpreter import access_token, check_port
from tests.bad_input.doors import command
from tests.engines.probe.feature_cohorts import feature_cohort
from tests.engines.runs import TinyRun, same
from tests.report.examples import segmentation

ORGANS = ["liver", "spleen"]


# -- resuming ----------------------------------------------------------------------------------------------------------
def _contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_in_the_way_is_continued_or_left_alone(tmp_path):
    whole = TinyRun(tmp_path / "whole").go(epochs=4)
    TinyRun(tmp_path / "run").go(epochs=2)
    before = _contents(tmp_path / "run")
    with pytest.raises(UserError, match="continue with --resume auto, or choose another --output_dir"):
        TinyRun(tmp_path / "run", resume="none").go(epochs=4)
    other = TinyRun(tmp_path / "other", resume="none").go(epochs=4)
    assert _contents(tmp_path / "run") == before
    continued = TinyRun(tmp_path / "run", resume="auto").go(epochs=4)
    assert same(other.weights, whole.weights)
    assert same(continued.weights, whole.weights)
    assert continued.seen == whole.seen[len(whole.seen) // 2 :]


def test_checkpoints_of_another_run_are_continued_or_left_alone(tmp_path):
    TinyRun(tmp_path / "one").go(epochs=2)
    TinyRun(tmp_path / "two").go(epochs=2)
    before, named = _contents(tmp_path / "two"), str(tmp_path / "one" / "checkpoint_iteration=4.pt")
    with pytest.raises(UserError, match="continue that run with --resume auto, or choose another --output_dir"):
        TinyRun(tmp_path / "two", resume=named).go(epochs=4)
    TinyRun(tmp_path / "three", resume=named).go(epochs=4)
    assert _contents(tmp_path / "two") == before
    TinyRun(tmp_path / "two", resume="auto").go(epochs=4)


def test_checkpoints_that_cannot_be_read_are_moved_away_and_not_deleted(tmp_path):
    TinyRun(tmp_path / "run").go(epochs=2)
    for path in (tmp_path / "run").glob("checkpoint*"):
        path.write_bytes(b"damaged")
    with pytest.raises(UserError, match="move them away to start afresh"):
        TinyRun(tmp_path / "run").go(epochs=2)
    (tmp_path / "run").rename(tmp_path / "away")
    assert same(TinyRun(tmp_path / "run").go(epochs=2).weights, TinyRun(tmp_path / "new").go(epochs=2).weights)


# -- numbers -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("iterations", "length", "interval"), [(5, 2, 1), (10, 4, 3), (1, 7, 2)])
def test_iterations_are_those_that_the_message_names(iterations, length, interval):
    with pytest.raises(UserError) as error:
        epochs_of(iterations, length, interval)
    named = int(re.search(r"use (\d+)$", str(error.value))[1])
    assert iterations <= named < iterations + length * interval
    assert epochs_of(named, length, interval) % interval == 0


@pytest.mark.parametrize("percent", [15, 100, 1.5])
def test_a_share_of_labels_is_written_as_the_message_names_it(percent):
    with pytest.raises(UserError) as error:
        check_fraction(percent)
    named = float(re.search(r"write (\S+)$", str(error.value))[1])
    assert named == pytest.approx(percent / 100)
    check_fraction(named)


def test_a_patch_of_multiples_of_16_is_taken():
    sizes = {"in_channels": 1, "out_channels": 2, "feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}
    with pytest.raises(UserError, match="three multiples of 16, at least 32 voxels"):
        segmentation_unetr(img_size=(50, 50, 50), **sizes)
    segmentation_unetr(img_size=(48, 48, 48), **sizes)


# -- probes ------------------------------------------------------------------------------------------------------------
def _classes(positive: int, patients: int = 12) -> SliceFeatures:
    made = feature_cohort(patients=patients, slices=2)
    return replace(made, label=np.repeat((np.arange(patients) < positive).astype(int), 2))


def _probe(folder, made: SliceFeatures, *, folds: Path | None = None, fold_count: int = 5) -> str | None:
    """The error of ``python -m monai_cl probe``, without its pictures and with few resamples."""
    try:
        read = None if folds is None else read_folds(folds)
        run_probe(made, folder / "probe", folds=read, fold_count=fold_count, grid=(0.1, 1.0), resamples=20)
    except UserError as error:
        return str(error)
    return None


def _positive_of_folds(folder, positive: int) -> list[int]:
    names = {f"p{number:03d}" for number in range(positive)}
    folds = json.loads((folder / "probe" / "folds.json").read_text(encoding="utf-8"))["folds"]
    return [len(names & set(part)) for part in folds]


def test_the_number_of_folds_that_is_named_is_enough(tmp_path):
    error = _probe(tmp_path, _classes(3), fold_count=5)
    count = int(re.search(r"use (\d) folds, or add patients", error)[1])
    assert _probe(tmp_path, _classes(3), fold_count=count) is None
    assert _positive_of_folds(tmp_path, 3) == [1, 1, 1]


@pytest.mark.parametrize(("positive", "count"), [(1, 2), (2, 3), (2, 2)])
def test_where_no_number_of_folds_is_enough_patients_are_added(tmp_path, positive, count):
    error = _probe(tmp_path, _classes(positive), fold_count=count)
    assert "add patients" in error or "give each class three patients or more, and use three folds or more" in error
    assert " folds, or add" not in error
    assert _probe(tmp_path, _classes(3), fold_count=3) is None
    assert _positive_of_folds(tmp_path, 3) == [1, 1, 1]


@pytest.mark.parametrize(
    "folds",
    [[["p000"], ["p001"]], [[f"p{n:03d}" for n in range(6)], [f"p{n:03d}" for n in range(6, 12)]], "nowhere"],
    ids=["of other patients", "not stratified", "no file"],
)
def test_folds_that_do_not_fit_are_left_out(tmp_path, folds):
    path = tmp_path / "folds.json"
    if folds != "nowhere":
        path.write_text(json.dumps({"schema": 1, "folds": folds}))
    assert re.search(r"--folds|leave it out", _probe(tmp_path, _classes(6), folds=path))
    assert _probe(tmp_path, _classes(6), fold_count=3) is None
    assert _positive_of_folds(tmp_path, 6) == [2, 2, 2]


# -- the label server --------------------------------------------------------------------------------------------------
def test_a_token_that_is_too_short_is_made_by_the_command():
    with pytest.raises(UserError) as error:
        access_token("0.0.0.0", "short")
    code = re.search(r'python -c "(.*)"$', str(error.value))[1]
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True, timeout=60)
    token = made.stdout.strip()
    assert access_token("0.0.0.0", token) == token


def test_a_port_that_is_taken_and_a_host_of_another_machine_are_told_apart(free_port):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(UserError, match="try another --port"):
            check_port("127.0.0.1", taken.getsockname()[1])
        check_port("127.0.0.1", free_port())
    with pytest.raises(UserError, match=r"192\.0\.2\.1:\d+: cannot listen there .*try another --host"):
        check_port("192.0.2.1", free_port())


@pytest.mark.parametrize(
    ("names", "said", "renamed", "values"),
    [
        (["tumour"], "rename the segments", ["spleen"], {1: 2}),
        (["liver", "Liver"], "merge them", ["liver"], {1: 1}),
        ([], "send the names of the segments", ["liver", "cyst", "spleen"], {1: 1, 2: 0, 3: 2}),
    ],
)
def test_segments_are_named_as_the_message_says(names, said, renamed, values):
    def info(organs: list[str]) -> list[dict[str, object]]:
        return [{"name": name, "idx": number} for number, name in enumerate(organs, 1)]

    with pytest.raises(UserError, match=said):
        organ_values(info(names), ORGANS, range(4 if not names else len(names) + 1), source="a.nii.gz")
    assert organ_values(info(renamed), ORGANS, range(len(renamed) + 1), source="a.nii.gz") == values


# -- reports -----------------------------------------------------------------------------------------------------------
def test_a_run_whose_results_are_damaged_is_left_out_and_kept(tmp_path):
    for name, dice in (("good", 0.8), ("bad", 0.3)):
        (tmp_path / name).mkdir()
        record = json.dumps(segmentation({"case_1": {"spleen": dice}}, name=name))
        (tmp_path / name / "results.json").write_text(record if name == "good" else record[:99], encoding="utf-8")
    words = ("report", tmp_path / "good", tmp_path / "bad", "--output", tmp_path / "report.html")
    error = command(*words).error
    assert "bad/results.json: expected JSON as a run writes it" in error
    assert "copy it again, or leave the folder of this run out" in error
    assert command(*(word for word in words if word != tmp_path / "bad")).error is None
    assert "0.800" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len((tmp_path / "bad" / "results.json").read_text(encoding="utf-8")) == 99
