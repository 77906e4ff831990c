"""A command whose reader has gone, as after ``| head``, does its work and says nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys

from monai_cl.data import load_data_list
from tests.data.volume_files import items_of
from tests.study.studies import opened

MONAI_CL = [sys.executable, "-m", "monai_cl"]


def without_reader(*words: object) -> subprocess.CompletedProcess:
    """Run a command whose standard output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [*MONAI_CL, *map(str, words)]
        return subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, encoding="utf-8", timeout=120)
    finally:
        os.close(writer)


def test_files_are_written_all_the_same(tmp_path):
    items_of(tmp_path)
    patterns = ("--images", "{case}.nii.gz", "--labels", "{case}_label.nii.gz")
    done = without_reader("datalist", "create", tmp_path, *patterns, "--output", tmp_path / "list.json")
    assert done.returncode == 0
    assert "Error" not in done.stderr
    assert len(load_data_list(tmp_path / "list.json").items("training")) == 3


def test_a_table_is_written_all_the_same(tmp_path):
    *_, folder = opened(tmp_path)
    done = without_reader("study", "table", tmp_path / "study.yaml", "--output", folder.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder.path / "table.md").is_file()


def test_a_version_nobody_reads_is_no_error():
    done = without_reader("--version")
    assert (done.returncode, done.stderr) == (0, "")
