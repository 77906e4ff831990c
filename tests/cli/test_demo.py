"""The demonstration's folder holds one demonstration: another seed or size is refused, not mixed in."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from monai_cl.demo import Demo, DemoSize
from monai_cl.errors import UserError

SMALL = DemoSize(cases=5, pretrain_iterations=1)


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a demonstration with seed 0 ended at its first step."""
    monkeypatch.setattr(subprocess, "call", lambda *arguments, **options: 1)
    with pytest.raises(UserError, match="step phantom ended with status 1"):
        Demo(tmp_path / "demo", seed=0, size=SMALL).run()
    return tmp_path / "demo"


@pytest.mark.parametrize(
    ("seed", "size", "difference"),
    [
        (7, SMALL, "expected seed 7, found seed 0"),
        (0, replace(SMALL, pretrain_iterations=600), "expected pretrain_iterations 600, found pretrain_iterations 1"),
        (0, replace(SMALL, network={"feature_size": 16}), "expected network"),
    ],
)
def test_another_demonstration_in_the_folder_is_refused_before_a_step(begun: Path, seed, size, difference):
    before = {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=rf"demo\.json: {difference}.*--output"):
        Demo(begun, seed=seed, size=size).run()
    assert {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()} == before


def test_the_same_demonstration_continues(begun: Path):
    assert json.loads((begun / "demo.json").read_text(encoding="utf-8"))["seed"] == 0
    with pytest.raises(UserError, match="step phantom ended"):
        Demo(begun, seed=0, size=SMALL).run()


def test_steps_of_unknown_seed_and_size_are_refused(begun: Path):
    (begun / "demo.json").unlink()
    (begun / "pretraining").mkdir()
    (begun / "pretraining" / "results.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"demo\.json: expected the seed and the size .*--output"):
        Demo(begun, seed=0, size=SMALL).run()


def test_a_damaged_description_is_refused(begun: Path):
    (begun / "demo.json").write_text("[", encoding="utf-8")
    with pytest.raises(UserError, match=r"demo\.json"):
        Demo(begun, seed=0, size=SMALL).run()
    (begun / "demo.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match=r"demo\.json: expected the seed"):
        Demo(begun, seed=0, size=SMALL).run()
