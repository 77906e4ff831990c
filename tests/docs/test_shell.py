"""The shell in which the documentation's commands run."""

from __future__ import annotations

import subprocess

import pytest


def test_a_command_that_does_not_end_is_ended_and_the_next_one_runs(shell, tmp_path):
    def run(code: str, timeout: float):
        return shell.run(f"python - <<'E'\n{code}\nE", cwd=tmp_path, timeout=timeout)

    assert run("print(6 * 7)", 100).check().out == "42\n"  # the first waits for the imports
    with pytest.raises(subprocess.TimeoutExpired):
        run("import time; time.sleep(1000)", 5)
    assert run("print(6 * 7)", 30).check().out == "42\n"
