"""The study with few labelled scans runs to its table at a small size, and goes on where it stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "few_labels.py"


def call(what: str, folder: Path) -> str:
    size = "--patients 4 --test 1 --size 32 --features 4 4 8 8 16 4 --steps 4 --pretrain_steps 4 --epochs 2 --seeds 0"
    words = [*size.split(), "--labelled", "1", "--methods", "supervised", "self_paced", "--labelled_batch", "2"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), what, "--output", str(folder), *words],
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_study_runs_to_its_table_and_goes_on(tmp_path):
    first = call("run", tmp_path)
    assert [line.split()[0] for line in first.splitlines() if line[:3] in ("all", "sup", "sel")] == [
        "all",
        "supervised",
        "self_paced",
    ]
    records = [json.loads(line) for line in (tmp_path / "few_labels.jsonl").read_text().splitlines()]
    assert [(row["method"], row["labelled"]) for row in records] == [("all", 8), ("supervised", 1), ("self_paced", 1)]
    assert all(set(row["per_case"]) == {"test_000_ED", "test_000_ES"} for row in records)
    assert "seconds" in records[0]
    assert "git_commit" in records[0]
    assert not any(line.startswith(("all", "sup", "sel")) for line in call("run", tmp_path).splitlines())
    table = call("table", tmp_path).splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == ["all", "supervised", "self_paced"]
