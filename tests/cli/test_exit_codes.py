"""The page on exit codes says what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monai_cl._version import __version__
from monai_cl.cli import commands as cli
from monai_cl.engines.checkpoints.termination import EXIT_SAVED

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "exit_codes.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\S[^|]*) \| ([^|]+) \| ([^|]+) \|", PAGE, re.M)[2:]


def meaning(status: int, of: str) -> str:
    """What the page says of a status."""
    (found,) = [text for number, program, text in ROWS if number == str(status) and of in program]
    return found


def status_of(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(list(words))
    return end.value.code


def test_every_status_we_end_with_is_on_the_page():
    assert "received SIGTERM" in meaning(EXIT_SAVED, "monai.bundle run")
    assert "a mistake in data, list or options" in meaning(status_of("report", "nowhere"), "commands of")
    assert "blocks a run" in meaning(status_of("doctor", "--output_dir", __file__), "doctor")


def test_an_interrupt_is_on_the_page(monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("monai_cl.report.write_report", interrupted)
    assert "Ctrl-C" in meaning(status_of("report", "x"), "commands of")


def test_help_names_the_page(capsys):
    assert status_of("--help") == 0
    captured = capsys.readouterr()
    assert "docs/exit_codes.md" in captured.out + captured.err


def test_the_version_is_told(capsys):
    assert cli.main(["--version"]) is None
    assert capsys.readouterr().out == f"{__version__}\n"


def test_the_slurm_jobs_know_the_status_of_a_saved_run():
    script = (Path(__file__).resolve().parents[2] / "docs" / "slurm" / "train.sbatch").read_text(encoding="utf-8")
    assert f'"$status" -eq {EXIT_SAVED} ]' in script
