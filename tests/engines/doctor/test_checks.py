"""What the doctor reports about described machines, and about this one."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from monai_cl.engines.doctor import checks as checkup
from monai_cl.engines.doctor import machine
from monai_cl.engines.doctor.check import NOTE, OK, PROBLEM, WARNING, Check
from monai_cl.engines.doctor.checks import as_json, as_text, blocks, run_checks
from monai_cl.engines.doctor.machine import GIB, MIB
from monai_cl.engines.doctor.software import judge_packages, packages
from monai_cl.errors import UserError
from monai_cl.shipped import tested_versions as pins


def test_only_a_problem_blocks_and_what_to_do_stands_under_it():
    checks = [Check("disk", WARNING, "2 GiB", "free it"), Check("gpu", OK, "a card")]
    assert not blocks(checks)
    checks.append(Check("shared memory", PROBLEM, "64 MiB", "more of it"))
    assert blocks(checks)
    lines = as_text(checks).splitlines()
    assert lines[0].split() == ["warning", "disk", "2", "GiB"]
    assert lines[1].strip() == "-> free it"
    assert lines[-1] == "something blocks a run (problems: 1, warnings: 1, notes: 0)"
    assert json.loads(json.dumps(as_json(checks)))["checks"][1] == {
        "name": "gpu", "state": "ok", "found": "a card", "advice": "",
    }  # fmt: skip


def test_a_check_that_fails_is_a_problem_and_the_next_is_made():
    def broken():
        raise OSError("libcudart.so: cannot open")

    def users():
        raise UserError("list.json: no such file")

    found = list(run_checks({"gpu": broken, "list": users, "good": lambda: Check("good", OK, "fine")}))
    assert [(check.name, check.state) for check in found] == [("gpu", PROBLEM), ("list", PROBLEM), ("good", OK)]
    assert found[0].found == "OSError: libcudart.so: cannot open"
    assert found[1].found == "list.json: no such file"


REQUIRED = ["monai>=1.6.1,<1.7", "torch>=2.8", "einops"]
TESTED = {"monai": "1.6.1", "torch": "2.13.0", "einops": "0.8.2"}


def judged(**versions: str | None) -> list[Check]:
    return judge_packages(REQUIRED, version_of={**TESTED, **versions}.get, tested=TESTED)


def test_the_tested_versions_are_well():
    assert [check.state for check in judged(torch="2.13.0+cu130")] == [OK]  # a CUDA build is that version too


def test_a_missing_package_and_one_out_of_range_block():
    (missing,) = judged(einops=None)
    assert (missing.name, missing.state, missing.found) == ("einops", PROBLEM, "not installed")
    (old,) = judged(monai="1.5.2")
    assert (old.name, old.state) == ("monai", PROBLEM)
    assert old.found in ("1.5.2; expected <1.7,>=1.6.1", "1.5.2; expected >=1.6.1,<1.7")
    assert "tested: 1.6.1" in old.advice


def test_other_versions_than_the_tested_ones_are_reported():
    (other,) = judged(torch="2.9.0", einops="0.8.1")
    assert other.state == NOTE
    assert "torch 2.9.0 (tested: 2.13.0), einops 0.8.1 (tested: 0.8.2)" in other.found


def test_the_tested_versions_are_those_of_the_constraints():
    found = pins()
    assert found["torch"] == "2.13.0"
    assert found["pytorch-ignite"]
    assert all(version[0].isdigit() and " " not in version for version in found.values())
    assert PROBLEM not in {check.state for check in packages()}  # the tests could not run


@pytest.mark.parametrize(
    ("version", "cuda", "there", "state", "advice"),
    [
        ("2.13.0+cpu", None, False, NOTE, ""),
        ("2.13.0+cpu", None, True, WARNING, "CUDA build of torch 2.13.0"),
        ("2.13.0", "13.0", True, WARNING, "nvidia-smi"),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_reported(version, cuda, there, state, advice):
    check = machine.judge_no_gpu(version, cuda, there=there)
    assert check.state == state
    assert advice in check.advice


def free(monkeypatch, amount: int) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda place: SimpleNamespace(free=amount))


@pytest.mark.parametrize(
    ("amount", "processes", "state"), [(64 * MIB, 1, PROBLEM), (512 * MIB, 4, PROBLEM), (8 * GIB, 4, OK)]
)
def test_shared_memory_is_enough_for_the_processes_or_blocks(monkeypatch, tmp_path, amount, processes, state):
    free(monkeypatch, amount)
    check = machine.shared_memory(processes, place=str(tmp_path))
    assert check.state == state
    assert ("--shm-size=8g" in check.advice) == (state == PROBLEM)
    assert machine.shared_memory(place=str(tmp_path / "none")).state == NOTE


@pytest.mark.parametrize(("amount", "state"), [(100 * GIB, OK), (2 * GIB, WARNING), (MIB, PROBLEM)])
def test_a_disk_has_room_for_checkpoints_or_is_to_be_freed(monkeypatch, tmp_path, amount, state):
    free(monkeypatch, amount)
    check = machine.folder("output folder", str(tmp_path / "not" / "yet"))
    assert check.state == state
    assert str(tmp_path) in check.found
    assert ("6 GiB of checkpoints" in check.advice) == (state != OK)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_blocks(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert machine.folder("store", str(tmp_path / "file")).state == PROBLEM

    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)  # root may write anywhere
    found = machine.folder("output folder", str(tmp_path))
    assert found.state == PROBLEM
    assert "cannot be written to (Permission denied)" in found.found


def test_everything_is_examined_on_this_machine(tmp_path):
    found = checkup.diagnose(output_dir=str(tmp_path), store=str(tmp_path))
    names = [check.name for check in found if not check.name.startswith("gpu")]
    assert names == ["packages", "shared memory", "output folder", "store"]
