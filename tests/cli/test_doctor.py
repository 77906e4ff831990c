"""``python -m monai_cl doctor`` as a user or a script calls it."""

from __future__ import annotations

import json

import pytest

from monai_cl.cli.doctor import doctor_command
from monai_cl.engines.doctor import checks as checkup
from monai_cl.engines.doctor.check import PROBLEM, Check
from monai_cl.errors import UserError


def test_it_tells_what_it_found_and_ends_well(tmp_path, capsys):
    doctor_command(output_dir=str(tmp_path))
    shown = capsys.readouterr().out
    assert "shared memory" in shown
    assert "nothing blocks a run" in shown


def test_what_blocks_makes_the_status_one(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as end:
        doctor_command(output_dir=str(tmp_path / "file"))
    assert end.value.code == 1
    assert f"{tmp_path / 'file'} is a file" in capsys.readouterr().out


def test_json_is_for_programs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checkup, "diagnose", lambda **options: [Check("disk", PROBLEM, "full", "free it")])
    with pytest.raises(SystemExit):
        doctor_command(json=True)
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "blocks": True,
        "checks": [{"name": "disk", "state": "problem", "found": "full", "advice": "free it"}],
    }


@pytest.mark.parametrize("processes", [0, True, "two"])
def test_a_number_of_processes_is_a_number(processes):
    with pytest.raises(UserError, match="--processes: expected an integer >= 1, found"):
        doctor_command(processes=processes)
