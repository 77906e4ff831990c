"""``python -m monai_cl plan``: what it prints and writes, and what it refuses before the work."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from monai_cl.data import load_data_list
from monai_cl.data.datalist.statistics.document import KIND, VERSION, statistics_json
from monai_cl.engines import plan_training
from monai_cl.engines.launch.command_line import invocation
from monai_cl.errors import UserError
from monai_cl.files import size_in_words
from tests.bad_input.doors import command
from tests.data.datalist.test_statistics import cohort

BUNDLE = "spleen_unetr_segmentation"
SMALL = ("--fold", "none", "--backbone", "segresnet", "--feature_size", 8)


@pytest.fixture
def files(tmp_path):
    """A list whose scans are not there, and its statistics."""
    items = [{"image": f"c{n}.nii.gz", "label": f"l{n}.nii.gz"} for n in range(10)]
    path, measured = tmp_path / "list.json", tmp_path / "statistics.json"
    path.write_text(json.dumps({"name": "ten", "labels": {"0": "background", "1": "liver"}, "training": items}))
    scans = [scan | {"split": "training", "foreground": scan["body"]} for scan in cohort(10)]
    about = {"name": "ten", "path": str(path), "sha256": load_data_list(path).sha256}
    content = {"kind": KIND, "version": VERSION, "data_list": about, "scans": scans, "unreadable": []}
    measured.write_text(statistics_json(content))
    return path, measured


def test_settings_are_printed_as_a_command_and_written_for_args_file(files, tmp_path):
    path, measured = files
    output = tmp_path / "plan.json"
    outcome = command("plan", BUNDLE, path, "--statistics", measured, "--memory", "4GB", "--output", output, *SMALL)
    assert outcome.error is None, outcome.error
    settings = json.loads(output.read_text())
    assert set(settings) == {"spacing", "patch_size", "batch_size", "window", "iterations"}
    assert settings["spacing"] == [1.0, 1.0, 3.0]
    line = next(line for line in outcome.shown.splitlines() if line.startswith("python -m monai.bundle run"))
    assert f"--data_list {path}" in line
    assert "--backbone segresnet" in line
    assert json.loads(re.search(r"--patch_size '(\[.*?\])'", line)[1]) == settings["patch_size"]
    assert "memory of a step" in outcome.shown
    options = {"fold": "none", "backbone": "segresnet", "feature_size": 8}
    made = plan_training(BUNDLE, path, statistics=measured, memory=4e9, overrides=options)
    assert made.settings == settings
    assert made.command == line
    assert (made.data_list, made.memory) == ("ten", 4e9)
    assert re.search(r"\d(\.\d)? [GM]B in", made.estimates["memory of a step"])
    again = command("plan", BUNDLE, path, "--statistics", measured, "--output", output, *SMALL)
    assert "exists already" in again.error


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--memory", "much"), "a size such as 24GB"),
        (("--memory", "0GB"), "a size such as 24GB"),
        (("--hours", -1), "a number above 0"),
        (("--bakbone", "unetr"), "did you mean --backbone"),
        (("--statistics", "gone.json"), "the JSON file that"),
    ],
)
def test_mistakes_are_refused_before_the_work(files, words, fault):
    assert fault in command("plan", BUNDLE, files[0], *words).error


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("gone.json",), "gone.json: no such file; correct the path"),
        (("LIST", "--fold", "9"), "no fold 9: data set ten has no folds"),
        (
            ("LIST", "--backbone", "resnet"),
            "expected one of dynunet, segresnet, swin_unetr, swin_unetr_1_4, swin_unetr_v2, unetr",
        ),
    ],
)
def test_what_a_function_of_the_config_refuses_is_one_line(files, words, fault):
    path, measured = files
    error = command("plan", BUNDLE, *(path if w == "LIST" else w for w in words), "--statistics", measured).error
    assert fault in error
    assert "\n" not in error


def test_statistics_of_another_list_are_refused(files):
    path, measured = files
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"training": content["training"][:5]}))
    error = command("plan", BUNDLE, path, "--statistics", measured, *SMALL).error
    assert "or of an earlier state of it" in error
    assert "python -m monai_cl datalist statistics" in error


def test_hours_on_a_gpu_need_the_seconds_of_its_steps(files, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    words = ("plan", BUNDLE, files[0], "--memory", "4GB", "--hours", 2)
    assert "--step_seconds beside it" in command(*words).error
    assert "no such file" in command(*words, "--step_seconds", 0.5, "--statistics", "gone.json").error.lower()


def test_a_bundle_of_slices_is_refused(files):
    assert "a bundle that trains on patches of volumes" in command("plan", "wsp_ct_pretraining", files[0]).error


def test_the_command_starts_the_training_as_it_is_printed(files, tmp_path, monkeypatch):
    """Every folder and file of it is named, and the run's folder is a new one."""
    path, measured = files
    monkeypatch.chdir(tmp_path)
    options = {"fold": "none", "backbone": "segresnet", "feature_size": 8}

    def planned(**more) -> dict:
        made = plan_training(BUNDLE, path, statistics=measured, memory=4e9, overrides=options | more)
        words = shlex.split(made.command)
        assert words[:4] == ["python", "-m", "monai.bundle", "run"]
        call = invocation(words[2:])
        call.check_overrides()
        merged = call.merged_config()
        assert Path(call.config_files[0]).is_file()
        assert (merged["data_list"], merged["dataset_dir"]) == (str(path), str(path.parent))
        assert merged["patch_size"] == made.settings["patch_size"]
        assert merged["feature_size"] == 8
        assert merged["store_dir"] == more.get("store_dir", "runs/store")
        return merged

    assert planned()["output_dir"] == f"runs/{BUNDLE}_planned"
    (tmp_path / "runs" / f"{BUNDLE}_planned").mkdir(parents=True)
    assert planned()["output_dir"] == f"runs/{BUNDLE}_planned_2"
    assert planned(output_dir="mine and yours", store_dir="s")["output_dir"] == "mine and yours"


def test_the_dataset_dir_of_the_training_is_where_the_scans_are_measured(files, tmp_path, monkeypatch):
    path, _ = files
    other = str(tmp_path / "elsewhere")

    class MeasuredError(Exception):
        pass

    def measured(lists, **_):
        raise MeasuredError(str(lists.items()[0]["image"]))

    monkeypatch.setattr("monai_cl.engines.planning.training.list_statistics", measured)
    for root, key in ((None, other), (other, None), (other, other)):
        options = {"fold": "none"} | ({} if key is None else {"dataset_dir": key})
        with pytest.raises(MeasuredError, match=re.escape(f"{other}/c0.nii.gz")):
            plan_training(BUNDLE, path, data_root=root, memory=4e9, overrides=options)
    with pytest.raises(UserError, match=r"--dataset_dir: expected that of data_root, .*elsewhere, found there"):
        plan_training(BUNDLE, path, data_root=other, memory=4e9, overrides={"fold": "none", "dataset_dir": "there"})


def test_from_python_the_same_is_refused(files):
    path, measured = files
    with pytest.raises(UserError, match="--hours: expected a number above 0"):
        plan_training(BUNDLE, path, hours=0)
    with pytest.raises(UserError, match="or of an earlier state of it"):
        plan_training(BUNDLE, path, statistics={**json.loads(measured.read_text()), "data_list": {
            "path": "x", "sha256": "y"}}, memory=4e9, overrides={"fold": "none"})  # fmt: skip


def test_sizes_are_in_words_that_the_command_takes():
    assert [size_in_words(count) for count in (12, 1500, 24_000_000_000)] == ["12 B", "1.5 kB", "24.0 GB"]
