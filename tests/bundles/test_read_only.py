"""Folders on a file system that is mounted read-only, as archives of hospitals are: a real mount, in a namespace."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.bundles.conftest import PRETRAINING, config_files, words

_PRELUDE = """
import ctypes, subprocess
assert ctypes.CDLL(None, use_errno=True).unshare(0x00020000) == 0  # CLONE_NEWNS: the mounts of this process only
for words in (["--make-rprivate", "/"], ["--bind", {folder!r}, {folder!r}], ["-o", "remount,bind,ro", {folder!r}]):
    subprocess.run(["mount", *words], check=True)
"""


def read_only_prelude(folder: Path) -> str:
    """Lines that make ``folder`` read-only for the Python process that begins with them."""
    return _PRELUDE.format(folder=str(folder))


def may_mount() -> bool:
    """Whether this machine lets a test mount in a namespace of its own."""
    words = ["unshare", "--mount", "mount", "--bind", "/", "/"]
    try:
        return subprocess.run(words, capture_output=True, timeout=20, check=False).returncode == 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not may_mount(), reason="needs the right to mount in a namespace")


@pytest.fixture
def train_beside(launcher, training_options, tmp_path):
    """``train_beside(folder, output_dir, **options)``: a pre-training for which ``folder`` is read-only."""

    def run(folder: Path, output_dir: Path, **options: object):
        files = "['" + "','".join(config_files(PRETRAINING, "train")) + "']"
        chosen = words({**training_options(PRETRAINING, **options), "output_dir": str(output_dir)})
        (tmp_path / "cwd").mkdir()
        arguments = ("run", "--config_file", files, *chosen)
        prelude = read_only_prelude(folder)
        return launcher.start("monai.bundle", *arguments, cwd=tmp_path / "cwd", prelude=prelude).wait()

    return run


def test_scans_may_lie_on_a_read_only_disk(train_beside, cohort, tmp_path):
    run = tmp_path / "run"
    train_beside(cohort, run, store_dir=str(tmp_path / "store"), iterations=2).check()
    assert (run / "results.json").is_file()


@pytest.mark.parametrize("which", ["output_dir", "store_dir"])
def test_a_read_only_folder_to_write_to_is_named_and_nothing_is_computed(train_beside, tmp_path, which):
    archive = tmp_path / "archive"
    archive.mkdir()
    places = {"output_dir": tmp_path / "run", "store_dir": tmp_path / "store", which: archive / "inside"}
    finished = train_beside(archive, places["output_dir"], store_dir=str(places["store_dir"]))
    assert finished.status != 0
    assert finished.last_error_line.startswith("error: "), finished.err[-3000:]
    assert str(archive) in finished.last_error_line
    assert "read-only" in finished.last_error_line.lower()
    assert not any(archive.iterdir())
    assert not list(tmp_path.glob("run/*.pt"))
