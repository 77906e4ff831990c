from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from monai_cl.data import read_results, run_record, write_results
from monai_cl.data.records.results import git_state
from monai_cl.errors import UserError
from tests.report.examples import pretraining, segmentation


def test_what_is_written_is_read_back(tmp_path: Path):
    record = segmentation({"a": {"spleen": 0.5, "liver": None}})
    path = write_results(tmp_path, record)
    assert path == tmp_path / "results.json"
    assert read_results(tmp_path) == record == read_results(path)


def test_numbers_json_cannot_hold_become_null(tmp_path: Path):
    record = pretraining(curves={"loss": [[1, float("nan")], [2, float("inf")], [3, 1.5]]}, wall_seconds=float("nan"))
    write_results(tmp_path, record)
    assert read_results(tmp_path)["curves"]["loss"] == [[1, None], [2, None], [3, 1.5]]
    assert read_results(tmp_path)["wall_seconds"] is None
    assert "NaN" not in (tmp_path / "results.json").read_text(encoding="utf-8")


def test_arrays_tensors_paths_and_odd_objects_become_plain(tmp_path: Path):
    config = {
        "a": np.arange(2),
        "b": np.float32(0.5),
        "c": torch.tensor(3),
        "d": Path("x/y"),
        "e": torch.float16,
        6: (7,),
    }
    write_results(tmp_path, pretraining(config=config, curves={"loss": [[np.int64(1), torch.tensor(2.0)]]}))
    found = read_results(tmp_path)
    assert found["config"] == {"a": [0, 1], "b": 0.5, "c": 3, "d": "x/y", "e": "torch.float16", "6": [7]}
    assert found["curves"] == {"loss": [[1, 2.0]]}


@pytest.mark.parametrize("key", ["seed", "kind", "name", "versions", "curves", "config", "initialisation", "data_list"])
def test_a_missing_key_is_named_and_nothing_is_written(tmp_path: Path, key: str):
    record = pretraining()
    del record[key]
    with pytest.raises(UserError, match=rf"results\.json: {key}: expected"):
        write_results(tmp_path, record)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema: expected 1 .*found 2"),
        ({"kind": "detection"}, 'kind: expected one of pretraining, segmentation, classification, demo, found "detect'),
        ({"seed": True}, "seed: expected an integer, found true"),
        ({"curves": {"loss": [[1, "x"]]}}, r"curves\.loss: expected a list of \[iteration, value\]"),
        ({"curves": {"loss": [[None, 1.0]]}}, r"curves\.loss"),
        ({"curves": {"loss": [[10**400, 1.0]]}}, r"curves\.loss"),
        ({"overlays": [3]}, r"overlays\[0\]: expected a file name, found 3"),
        ({"metrics": {"per_case": [{"id": "a"}]}}, r"per_case\[0\]: expected an object with"),
        (
            {"metrics": {"per_case": [{"id": "a", "dice": {"spleen": 86.5}}]}},
            r"dice\.spleen: expected a number from 0 to 1",
        ),
        ({"metrics": {"per_case": [{"id": "a", "dice": {}}] * 2}}, 'every case id once, found "a"'),
        (
            {"metrics": {"per_case": [{"id": "a", "dice": {}, "patient": ["b"]}]}},
            r"per_case\[0\]\.patient: expected a name or null",
        ),
        ({"data_list": {"fold": "a"}}, 'data_list.fold: expected an integer or null, found "a"'),
        ({"data_list": {"fold": True}}, "fold: expected an integer or null, found true"),
        ({"data_list": {"label_fraction": "5 %"}}, 'label_fraction: expected a number above 0 .* found "5 %"'),
        ({"data_list": {"label_fraction": 5}}, "label_fraction: expected a number above 0 and at most 1"),
        ({"data_list": {"label_fraction": 0}}, "label_fraction: expected a number above 0"),
        ({"data_list": {"datasets": [{"name": "a"}]}}, "datasets: expected an object"),
        ({"data_list": {"training_cases": "a"}}, 'training_cases: expected a list of case ids, found "a"'),
    ],
)
def test_results_of_another_form_are_refused(tmp_path: Path, change: dict, message: str):
    with pytest.raises(UserError, match=message):
        write_results(tmp_path, {**pretraining(), **change})


def test_a_lone_surrogate_does_not_lose_a_run(tmp_path: Path):
    write_results(tmp_path, pretraining(name="scan \udcff"))  # as Python reads a file name that is not UTF-8
    assert read_results(tmp_path)["name"] == r"scan \udcff"
    (tmp_path / "results.json").write_text(json.dumps(pretraining(name="half \ud800")), encoding="utf-8")
    assert read_results(tmp_path)["name"] == r"half \ud800"


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_results(tmp_path, pretraining(name="old"))

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError, match=r"results\.json: cannot be written \(No space left on device\)"):
        write_results(tmp_path, pretraining(name="new"))
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    assert read_results(tmp_path)["name"] == "old"


def test_results_can_be_read_by_the_group(tmp_path: Path):
    before = os.umask(0o022)
    try:
        path = write_results(tmp_path, pretraining())
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


def test_missing_results_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"results\.json: expected the results of a finished run, found no such file"):
        read_results(tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"schema": 1, "ki', b"\xff\xfe\x00", b"[" * 100_000])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes):
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"results\.json: expected JSON"):
        read_results(path)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"x"'])
def test_json_that_is_not_an_object_is_refused(tmp_path: Path, content: str):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(UserError, match="top level: expected an object"):
        read_results(tmp_path)


def test_a_record_tells_the_circumstances():
    record = run_record(kind="pretraining", bundle="b", name="n", seed=3, device=torch.device("cpu"))
    assert record["initialisation"] == "scratch"
    assert record["device"] == "cpu"
    assert record["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert record["versions"]["python"] == sys.version.split()[0]
    assert record["created"].endswith("+00:00")
    json.dumps(record)


def test_the_commit_is_that_of_the_package_and_null_where_it_is_not_tracked(tmp_path: Path, monkeypatch):
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True, encoding="utf-8"
        )
        return done.stdout.strip()

    package = tmp_path / "site-packages" / "monai_cl"
    (package / "data" / "records").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(sys.modules[git_state.__module__], "__file__", str(package / "data" / "records" / "results.py"))
    assert git_state() == (None, None)  # no repository
    git("init", "-q")
    (tmp_path / "other.txt").write_text("")
    git("add", "other.txt")
    git("commit", "-q", "-m", "somebody else's work")
    assert git_state() == (None, None)  # a repository that does not track the package
    git("add", "site-packages")
    git("commit", "-q", "-m", "package")
    assert git_state() == (git("rev-parse", "HEAD"), False)
    (package / "__init__.py").write_text("changed = 1")
    assert git_state() == (git("rev-parse", "HEAD"), True)


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    assert git_state() == (None, None)


def test_importing_the_report_and_reading_results_is_light(tmp_path: Path):
    write_results(tmp_path, pretraining())
    code = (
        "import sys; from monai_cl.data import read_results, run_record; read_results(sys.argv[1]);"
        "run_record(kind='pretraining', name='n', seed=0);"
        "heavy = {'torch', 'monai', 'numpy', 'matplotlib', 'scipy'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
