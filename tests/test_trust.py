"""What a file from elsewhere may do: be read. Enforced from the source, and tried with files that would do more."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import monai_cl
from monai_cl.cli.commands import main
from monai_cl.data import read_features, read_results
from monai_cl.engines.checkpoints.checkpoint_file import read_checkpoint
from monai_cl.engines.probe.linear import LinearProbe
from monai_cl.errors import UserError
from monai_cl.networks import load_encoder
from monai_cl.networks.transfer import read_weights
from tests.data.volume_files import ct_array, label_array, write_nifti

PACKAGE = Path(monai_cl.__file__).parent
ROOT = PACKAGE.parent
OURS = sorted(file for name in ("monai_cl", "benchmarks", "data_lists") for file in (ROOT / name).rglob("*.py"))
# a bundle's config is code, and these modules are about bundles
READS_CONFIGS = {
    *("engines/launch/command_line.py", "engines/segmentation/bundle.py", "engines/launch/exported_config.py"),
    *("engines/launch/method_parts.py", "engines/launch/deployed_network.py"),
    *("engines/planning/step.py", "engines/preview/batches.py"),  # look at a run before it is started
    "compat.py",  # asks which workflow is running
    *("serving/app_folder.py", "serving/replacement.py"),
    *("serving/segmentation_task.py", "serving/training_task.py"),
}


def calls(file: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """``np.load(path, allow_pickle=False)`` -> ("np.load", {"allow_pickle": False}), for every call of a file."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            constants = {word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)}
            yield ast.unparse(node.func), constants


def test_every_file_of_weights_or_arrays_is_read_safely():
    found = [(name, options, file) for file in OURS for name, options in calls(file)]
    torch_loads = [(options.get("weights_only"), file) for name, options, file in found if name == "torch.load"]
    numpy_loads = [(options.get("allow_pickle"), file) for name, options, file in found if name == "np.load"]
    assert len(torch_loads) >= 2
    assert len(numpy_loads) >= 3
    assert [file for safe, file in torch_loads if safe is not True] == []
    assert [file for pickle, file in numpy_loads if pickle is not False] == []
    for file in OURS:  # under no other name
        assert not re.search(r"from (torch|numpy) import .*\bload\b", file.read_text(encoding="utf-8")), file


RUNS_CODE = """\
eval("1")
exec("1")
import pickle
from pickle import loads
import joblib; joblib.load("a")
import torch; torch.jit.load("a")
import yaml; yaml.load("a", yaml.Loader)
import os; os.system("ls")
import subprocess; subprocess.run("ls", shell=True)
from monai.data import PersistentDataset
"""


@pytest.mark.parametrize("place", ["monai_cl/data/new.py", "benchmarks/new.py"])
def test_the_linter_refuses_what_runs_code_out_of_a_file(place):
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "json"]
    done = subprocess.run(
        [*command, "--stdin-filename", place, "-"], cwd=ROOT, input=RUNS_CODE, capture_output=True, encoding="utf-8"
    )
    faults = [fault for fault in json.loads(done.stdout) if re.match(r"S\d|TID251", fault["code"])]
    refused = {fault["location"]["row"] for fault in faults}
    assert refused == set(range(1, RUNS_CODE.count("\n") + 1))


def test_only_what_is_about_bundles_evaluates_configs():
    for file in sorted(PACKAGE.rglob("*.py")):
        if re.search(r"^\s*(from|import) monai\.bundle", file.read_text(encoding="utf-8"), re.MULTILINE):
            assert str(file.relative_to(PACKAGE)) in READS_CONFIGS


def test_bundles_use_no_loader_that_unpickles():
    unsafe = ("torch.load", "pickle", "CheckpointLoader", "PersistentDataset", "LMDBDataset", "eval(", "np.load")
    for file in sorted((ROOT / "bundles").glob("*/configs/**/*.*")):
        text = file.read_text(encoding="ascii")  # MONAI reads it in the locale's encoding
        assert [word for word in unsafe if word in text] == [], file
        reader = r"_target_: LoadImaged\n(?:.*\n)?\s+reader:(?: \$|\n\s+_target_: )(\S+)"
        assert re.findall(reader, text) == ["monai_cl.data.CTReader"] * text.count("_target_: LoadImaged"), file


class Touch:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize(
    "read",
    [
        read_weights,
        read_checkpoint,
        LinearProbe.load,
        read_features,
        lambda path: load_encoder(torch.nn.Linear(1, 1), path),
    ],
    ids=["weights", "checkpoint", "probe", "features", "encoder"],
)
@pytest.mark.parametrize("form", ["torch", "numpy", "npz"])
def test_code_in_a_weights_file_is_not_run(tmp_path, read, form):
    path, bomb = tmp_path / "model.pt", Touch(tmp_path / "ran")
    if form == "torch":
        torch.save({"network": bomb, "iteration": 1, "epoch": 1}, path)
    else:
        with path.open("wb") as file:
            names = dict.fromkeys(("features", "patient", "label", "weight", "bias", "C"), np.array([bomb], object))
            np.savez(file, **names) if form == "npz" else np.save(file, names["weight"], allow_pickle=True)
    with pytest.raises(UserError, match=r"model\.pt"):
        read(path)
    assert not (tmp_path / "ran").exists()


def test_a_yaml_config_makes_no_python_objects(tmp_path):
    from monai.bundle import ConfigParser

    path = tmp_path / "train.yaml"
    path.write_text(f"a: !!python/object/apply:builtins.open [{tmp_path / 'ran'}, w]\n")
    with pytest.raises(Exception, match="could not determine a constructor"):
        ConfigParser.load_config_files(str(path))
    assert not (tmp_path / "ran").exists()


def _cohort(folder: Path, text: str) -> Path:
    """A data list in which every free text is ``text``, and its files."""
    write_nifti(folder / "a.nii.gz", ct_array())
    write_nifti(folder / "b.nii.gz", label_array())
    item = {"image": "a.nii.gz", "label": "b.nii.gz", "patient": text, "meta": {text: [text, {"_target_": text}]}}
    labels = {"0": "background", "1": text, "2": f"{text} 2", "5": f"{text} 5"}
    document = {"name": text, "labels": labels, "training": [item], "source": text, "description": text}
    path = folder / "list.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    "text", ["$open('ran', 'w')", "@data_list", "%list.json", "$__import__('os').mkdir('ran')", "__import__('os')"]
)
def test_a_data_list_is_never_evaluated(tmp_path, monkeypatch, capsys, text):
    monkeypatch.chdir(tmp_path)
    path = _cohort(tmp_path, text)
    main(["datalist", "validate", str(path)])
    main(["datalist", "summary", str(path)])
    main(["prepare", str(path), "--store", "store", "--progress=False"])
    assert "1 prepared" in capsys.readouterr().out
    assert not (tmp_path / "ran").exists()
    document = json.loads(path.read_text(encoding="utf-8"))
    for key in ("image", "label"):  # as a path it is the name of a file that is not there
        document["training"][0][key] = text
    path.write_text(json.dumps(document))
    with pytest.raises(SystemExit):
        main(["datalist", "validate", str(path)])
    shown = capsys.readouterr()
    assert text in shown.out + shown.err
    assert not (tmp_path / "ran").exists()


def test_what_a_list_says_cannot_drive_the_terminal(tmp_path, capsys):
    path = _cohort(tmp_path, "\x1b[2J\x1b]0;owned\x07 organ")
    document = json.loads(path.read_text(encoding="utf-8"))
    document["training"].append({"image": "\x1b[31mred\r.nii.gz"})
    path.write_text(json.dumps(document))
    with pytest.raises(SystemExit):
        main(["datalist", "validate", str(path)])
    shown = capsys.readouterr()
    assert "\\x1b[31mred\\r.nii.gz" in shown.out
    with pytest.raises(SystemExit):
        main(["prepare", str(tmp_path / "\x1b[2Jlist.json")])
    shown = shown.out + shown.err + "".join(capsys.readouterr())
    assert "\\x1b[2Jlist.json" in shown
    assert not set(shown) & {"\x1b", "\x07"}


def test_results_are_data_too(tmp_path):
    (tmp_path / "results.json").write_text("$open('ran', 'w')")
    with pytest.raises(UserError, match=r"results\.json"):
        read_results(tmp_path)
