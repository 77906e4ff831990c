"""What the doctor says of machines that it is told of, and of this one."""

from __future__ import annotations

import json
import os
import resource
import socket
from pathlib import Path

import pytest
import torch

from monai_cl.data import Preparation, VolumeStore, prepare
from monai_cl.engines.doctor import checks as checkup
from monai_cl.engines.doctor import data as checkup_data
from monai_cl.engines.doctor import machine as checkup_machine
from monai_cl.engines.doctor.check import NOTE, OK, PROBLEM, WARNING, Check
from monai_cl.engines.doctor.checks import as_json, as_text, blocks, run_checks
from monai_cl.engines.doctor.machine import GIB, MIB
from monai_cl.engines.doctor.software import judge_packages, packages
from monai_cl.errors import UserError
from monai_cl.shipped import tested_versions as pins
from tests.data.volume_files import items_of


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


def test_a_check_without_an_advice_is_refused():
    with pytest.raises(ValueError, match="disk: a problem needs an advice"):
        Check("disk", PROBLEM, "full")
    with pytest.raises(ValueError, match="state must be one of ok, note, warning, problem, got 'fine'"):
        Check("disk", "fine", "full")


REQUIRED = ["monai>=1.6.1,<1.7", "torch>=2.8", "einops"]
TESTED = {"monai": "1.6.1", "torch": "2.13.0", "einops": "0.8.2"}


def judged(**versions: str | None) -> list[Check]:
    return judge_packages(REQUIRED, installed={**TESTED, **versions}, tested=TESTED)


def test_the_tested_versions_are_well():
    assert [check.state for check in judged(torch="2.13.0+cu130")] == [OK]  # a CUDA build is that version too


def test_a_missing_package_and_one_out_of_range_block():
    (missing,) = judged(einops=None)
    assert (missing.name, missing.state, missing.found) == ("einops", PROBLEM, "not installed")
    (old,) = judged(monai="1.5.2")
    assert (old.name, old.state) == ("monai", PROBLEM)
    assert old.found in ("1.5.2; expected <1.7,>=1.6.1", "1.5.2; expected >=1.6.1,<1.7")
    assert "tested: 1.6.1" in old.advice


def test_other_versions_than_the_tested_ones_are_told():
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
    ("check", "state", "advice"),
    [
        (checkup_machine.judge_no_gpu("2.13.0+cpu", None, there=False), NOTE, ""),
        (checkup_machine.judge_no_gpu("2.13.0+cpu", None, there=True), WARNING, "CUDA build of torch 2.13.0"),
        (checkup_machine.judge_no_gpu("2.13.0", "13.0", there=True), WARNING, "nvidia-smi"),
        (checkup_machine.judge_memory(16 * GIB), OK, ""),
        (checkup_machine.judge_memory(4 * GIB), WARNING, "patch_size"),
        (checkup_machine.judge_memory(12 * GIB, processes=2), WARNING, "number of processes"),
        (checkup_machine.judge_memory(None), NOTE, ""),
        (checkup_machine.judge_shared_memory(64 * MIB), PROBLEM, "--shm-size=8g"),
        (checkup_machine.judge_shared_memory(8 * GIB, processes=4), OK, ""),
        (checkup_machine.judge_shared_memory(512 * MIB, processes=4), PROBLEM, "--num_workers 0"),
        (checkup_machine.judge_shared_memory(None), NOTE, ""),
        (checkup_machine.judge_open_files(-1, -1), OK, ""),
        (checkup_machine.judge_open_files(1024, 4096), OK, ""),
        (checkup_machine.judge_open_files(512, 4096), WARNING, "ulimit -n 4096"),
        (checkup_machine.judge_open_files(512, -1), WARNING, "ulimit -n 4096"),
        (checkup_machine.judge_open_files(128, 200), PROBLEM, "higher limit than 200"),
        (checkup_machine.judge_room("x", Path("/"), 100 * GIB, least=6 * GIB), OK, ""),
        (checkup_machine.judge_room("x", Path("/"), 2 * GIB, least=6 * GIB), WARNING, "6 GiB of checkpoints"),
        (checkup_machine.judge_room("x", Path("/"), MIB, least=6 * GIB), PROBLEM, "free the disk"),
        (checkup_machine.judge_room("x", Path("/"), MIB, least=GIB), PROBLEM, "TMPDIR"),
        (checkup_machine.processors(10**6), WARNING, "or fewer"),
    ],
)
def test_a_machine_is_judged_by_its_numbers(check, state, advice):
    assert check.state == state
    assert advice in check.advice
    assert bool(check.advice) == (state in (WARNING, PROBLEM))


def test_memory_is_the_less_of_the_machines_and_the_containers(tmp_path):
    assert checkup_machine.available_memory(str(tmp_path)) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 32000000 kB\nMemAvailable:  16000000 kB\n")
    assert checkup_machine.available_memory(str(tmp_path)) == 16000000 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("1000\n")
    (group / "memory.max").write_text("max\n")
    assert checkup_machine.available_memory(str(tmp_path)) == 16000000 * 1024
    (group / "memory.max").write_text("5000\n")
    assert checkup_machine.available_memory(str(tmp_path)) == 4000


def test_a_folder_is_written_to_and_left_as_it_was(tmp_path):
    found = checkup_machine.folder("output folder", str(tmp_path / "not" / "yet"))
    assert found.state in (OK, WARNING)
    assert str(tmp_path) in found.found
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_blocks(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert checkup_machine.folder("store", str(tmp_path / "file")).state == PROBLEM

    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkup_machine.tempfile, "mkstemp", refuse)  # root may write anywhere
    found = checkup_machine.folder("output folder", str(tmp_path))
    assert found.state == PROBLEM
    assert "cannot be written to (Permission denied)" in found.found


def test_a_machine_without_an_address_is_told(monkeypatch):
    def unknown(name):
        raise OSError("Name or service not known")

    monkeypatch.setattr(socket, "gethostbyname", unknown)
    found = checkup_machine.host_name()
    assert (found.state, "--local_addr" in found.advice) == (WARNING, True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without a GPU")
def test_gloo_is_tried_and_the_group_is_left():
    assert checkup_machine.backend() == Check("backend", OK, "gloo")
    assert not torch.distributed.is_initialized()


def test_the_limits_of_this_process_are_read():
    assert checkup_machine.open_files() == checkup_machine.judge_open_files(*resource.getrlimit(resource.RLIMIT_NOFILE))
    assert checkup_machine.processors().found == str(len(os.sched_getaffinity(0)))


@pytest.fixture
def data(tmp_path) -> Path:
    """A list of three volumes."""
    items_of(tmp_path)
    names = [{"image": f"case{number}.nii.gz"} for number in range(3)]
    names[0]["label"] = "case0_label.nii.gz"
    labels = {"0": "background", "1": "spleen", "2": "liver"}
    content = {"name": "tiny", "labels": labels, "label_map": {"1": 2, "5": 1}, "training": names}
    (tmp_path / "tiny.json").write_text(json.dumps(content))
    return tmp_path


def test_a_list_and_a_store_are_looked_at(data):
    found = checkup_data.listed(str(data / "tiny.json"))
    assert (found.state, "3 items" in found.found) == (OK, True)
    (none,) = checkup_data.stored(str(data / "store"))
    assert none.state == NOTE
    items = [{"image": str(data / "case0.nii.gz"), "label": str(data / "case0_label.nii.gz"), "id": "case0"}]
    prepare(items, data / "store", Preparation(spacing=(4, 4, 4)), progress=False)
    volumes, of_list = checkup_data.stored(str(data / "store"), str(data / "tiny.json"))
    assert (volumes.state, volumes.found.split()[0]) == (OK, "1")
    assert of_list.state == NOTE
    assert "prepare" in of_list.advice


def test_a_list_with_a_missing_file_blocks_and_the_validation_is_named(data):
    (data / "case1.nii.gz").unlink()
    found = checkup_data.listed(str(data / "tiny.json"))
    assert found.state == PROBLEM
    assert "case1.nii.gz" in found.found
    assert f"datalist validate {data / 'tiny.json'}" in found.advice
    assert "--data_root" in found.advice


def test_a_damaged_and_an_unfinished_store_are_told(data):
    items = [{"image": str(data / f"case{i}.nii.gz"), "id": f"case{i}"} for i in range(2)]
    prepare(items, data / "store", progress=False)
    store = VolumeStore.open(data / "store")
    (store.root / store.keys()[0] / "entry.json").write_text("{")
    (store.root / ".tmp-killed-1-abcd").mkdir()
    damaged, left = checkup_data.stored(str(data / "store"))
    assert (damaged.state, left.state) == (PROBLEM, WARNING)
    assert damaged.advice == left.advice == f"python -m monai_cl store repair {data / 'store'}"


def test_everything_is_examined_on_this_machine(data):
    prepare([{"image": str(data / "case0.nii.gz"), "id": "case0"}], data / "store", progress=False)
    found = checkup.examine(output_dir=str(data), data_list=str(data / "tiny.json"), store=str(data / "store"))
    names = [check.name for check in found]
    for name in (
        "python",
        "packages",
        "backend",
        "memory",
        "shared memory",
        "open files",
        "output folder",
        "data list",
    ):
        assert name in names
    assert names[-3:] == ["store", "prepared volumes", "prepared of the list"]
    assert names[2].startswith("gpu")
