"""What a file from elsewhere may do: be read. Enforced from the source, and tried with files that would do more."""

from __future__ import annotations

import ast
import json
import re
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
OURS = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])
CONFIGS = sorted((ROOT / "bundles").glob("*/configs/*.*"))
# modules whose reading runs code that is in the file
UNPICKLERS = ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "torch.hub", "torch.package")
# functions that run text, or unpickle
FORBIDDEN = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "joblib.load", "pandas.read_pickle"),
    *("torch.jit.load", "torch.serialization.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load"),
    *("numpy.fromfile", "monai.data.PersistentDataset", "monai.handlers.CheckpointLoader", "monai.bundle.load"),
}
# a bundle's config is code, and these modules are about bundles
READS_CONFIGS = {
    *("engines/launch/command_line.py", "engines/segmentation/bundle.py", "engines/launch/exported_config.py"),
    *("serving/app_folder.py", "serving/segmentation_task.py", "serving/training_task.py"),
}


class Names(ast.NodeVisitor):
    """Calls of a file under their full names, whatever they were imported as: ``("torch.load", node)``."""

    def __init__(self, source: str) -> None:
        self.known: dict[str, str] = {}
        self.modules: set[str] = set()
        self.calls: list[tuple[str, ast.Call]] = []
        self.visit(ast.parse(source))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.modules.add(alias.name)
            self.known[alias.asname or alias.name.split(".")[0]] = (
                alias.name if alias.asname else alias.name.split(".")[0]
            )

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.modules |= {str(node.module), f"{node.module}.{alias.name}"}
            self.known[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        parts, function = [], node.func
        while isinstance(function, ast.Attribute):
            parts, function = [function.attr, *parts], function.value
        if isinstance(function, ast.Name):
            self.calls.append((".".join([self.known.get(function.id, function.id), *parts]), node))


def faults(source: str) -> Iterator[str]:
    """What a file may not do, in words."""
    names = Names(source)
    for module in sorted(names.modules):
        if any(module == bad or module.startswith(f"{bad}.") for bad in UNPICKLERS):
            yield f"imports {module}"
    for name, node in names.calls:
        options = {word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)}
        if name in FORBIDDEN:
            yield f"calls {name}"
        if name == "torch.load" and options.get("weights_only") is not True:
            yield "calls torch.load without weights_only=True"
        if name == "numpy.load" and options.get("allow_pickle") is not False:
            yield "calls numpy.load without allow_pickle=False"
        if name.startswith("subprocess.") and options.get("shell"):
            yield f"calls {name} with a shell"


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import torch\ntorch.load('a')", "without weights_only=True"),
        ("import torch as t\nt.load('a', weights_only=False)", "without weights_only=True"),
        ("import torch\nx = True\ntorch.load('a', weights_only=x)", "without weights_only=True"),
        ("from torch import load as read\nread('a')", "without weights_only=True"),
        ("import numpy as np\nwith np.load('a') as f:\n    pass", "without allow_pickle=False"),
        ("import numpy\nnumpy.load('a', allow_pickle=True)", "without allow_pickle=False"),
        ("import pickle", "imports pickle"),
        ("def f():\n    from pickle import loads", "imports pickle"),
        ("import joblib\njoblib.load('a')", "calls joblib.load"),
        ("eval('1')", "calls eval"),
        ("import yaml\nyaml.load('a', yaml.Loader)", "calls yaml.load"),
        ("import subprocess\nsubprocess.run('ls', shell=True)", "with a shell"),
        ("from monai.data import PersistentDataset\nPersistentDataset([])", "PersistentDataset"),
    ],
)
def test_the_check_sees_what_it_is_to_see(source, fault):
    assert any(fault in found for found in faults(source))


@pytest.mark.parametrize("file", OURS, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_is_unpickled_and_no_text_is_run(file):
    found = list(faults(file.read_text(encoding="utf-8")))
    if PACKAGE not in file.parents:  # a benchmark times MONAI's cache beside ours, and reads what it wrote itself
        found = [fault for fault in found if "PersistentDataset" not in fault]
    assert found == []


def test_every_checkpoint_of_the_tests_is_read_safely_too():
    for file in sorted((ROOT / "tests").rglob("*.py")):
        found = [fault for fault in faults(file.read_text(encoding="utf-8")) if "torch.load" in fault]
        assert found == [], file


def test_torch_load_is_in_use_so_that_the_check_checks_something():
    calls = [name for file in OURS for name, _ in Names(file.read_text(encoding="utf-8")).calls]
    assert calls.count("torch.load") >= 2
    assert calls.count("numpy.load") >= 3


def test_only_what_is_about_bundles_evaluates_configs():
    for file in sorted(PACKAGE.rglob("*.py")):
        modules = Names(file.read_text(encoding="utf-8")).modules
        if any(module.startswith("monai.bundle") for module in modules):
            assert str(file.relative_to(PACKAGE)) in READS_CONFIGS


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: "/".join(file.parts[-3::2]))
def test_bundles_use_no_loader_that_unpickles(file):
    text = file.read_text(encoding="ascii")
    for word in ("torch.load", "pickle", "CheckpointLoader", "PersistentDataset", "LMDBDataset", "eval(", "np.load"):
        assert word not in text
    readers = re.findall(r"_target_: LoadImaged\n(?:.*\n)?\s+reader: (.*)", text)
    assert len(readers) == text.count("_target_: LoadImaged")
    assert set(readers) <= {"$monai_cl.data.CTReader"}


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
