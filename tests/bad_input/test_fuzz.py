"""Files damaged at random: read truly or refused by name, and no crash, whatever the damage.

``MONAI_CL_FUZZ`` is the number of damages a format (default 60), ``MONAI_CL_FUZZ_SEED`` chooses others.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from monai_cl.errors import UserError
from tests.bad_input import fuzz

COUNT = int(os.environ.get("MONAI_CL_FUZZ", "60"))
SEED = int(os.environ.get("MONAI_CL_FUZZ_SEED", "0"))
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(600)
def test_readers_survive_any_damage_to_their_files():
    # a process of its own, for native code may crash on damaged files; it says on stderr what it is at
    command = [sys.executable, "-m", "tests.bad_input.fuzz", "all", str(SEED), str(COUNT)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=590
    )
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
    assert done.stdout.count("noticed") == len(fuzz.FORMATS)


def test_a_reader_that_takes_damaged_files_is_caught(monkeypatch):
    def careless(folder: Path):
        path = folder / "a.bin"
        path.write_bytes(bytes(range(200)))
        return path, lambda file: np.frombuffer(file.read_bytes()[:1], np.uint8), fuzz.damage, True

    monkeypatch.setitem(fuzz.FORMATS, "careless", careless)
    with pytest.raises(AssertionError, match="was not noticed"):
        fuzz.fuzz("careless", 0, 200)


def test_an_error_that_names_no_file_is_caught(monkeypatch):
    def nameless(folder: Path):
        path = folder / "a.bin"
        path.write_bytes(bytes(200))

        def read(file: Path) -> None:
            if file.read_bytes() != bytes(200):
                raise UserError("something is wrong")

        return path, read, fuzz.damage, False

    monkeypatch.setitem(fuzz.FORMATS, "nameless", nameless)
    with pytest.raises(AssertionError, match="it names no file"):
        fuzz.fuzz("nameless", 0, 20)


def test_damage_is_damage_and_the_same_again():
    raw = bytes(range(256)) * 4
    made = [fuzz.damage(raw, np.random.default_rng([1, number])) for number in range(200)]
    assert made == [fuzz.damage(raw, np.random.default_rng([1, number])) for number in range(200)]
    assert sum(one != raw for one in made) > 150
    assert {len(one) > len(raw) for one in made} == {True, False}
