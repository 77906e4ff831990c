"""The shell completes commands and options: the script is given to real shells."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from monai_cl.cli.commands import Commands, completion_command
from monai_cl.cli.completion import completion_script
from monai_cl.errors import UserError

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="about bash")


def completed(*words: str) -> set[str]:
    """What bash offers for the last of the words of a command line."""
    line = " ".join(f"'{word}'" for word in ("monai_cl", *words))
    script = completion_script(Commands(), "bash")
    ask = f"COMP_WORDS=({line}); COMP_CWORD={len(words)}; _complete-monai_cl; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, encoding="utf-8", check=True)
    return set(done.stdout.split())


@needs_bash
def test_commands_are_completed():
    assert completed("prep") == {"prepare"}
    assert {"doctor", "datalist", "store", "report", "completion"} <= completed("")
    assert completed("datalist", "va") == {"validate"}


@needs_bash
def test_options_of_a_command_are_completed_and_not_twice():
    assert completed("prepare", "--a") == {"--allow-outside", "--antialias"}
    assert "--store" not in completed("doctor", "--store", "--")


@needs_bash
def test_bash_reads_the_script_and_takes_files_where_nothing_fits():
    script = completion_script(Commands(), "bash")
    done = subprocess.run(
        ["bash", "-c", f"{script}\ncomplete -p monai_cl"], capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.strip() == "complete -o default -F _complete-monai_cl monai_cl"


def test_fish_has_a_script_of_its_own(capsys):
    completion_command("fish")
    shown = capsys.readouterr().out
    assert "complete -c monai_cl" in shown
    assert "doctor" in shown


def test_another_shell_is_refused():
    with pytest.raises(UserError, match="'tcsh': expected one of the shells bash, fish"):
        completion_command("tcsh")
