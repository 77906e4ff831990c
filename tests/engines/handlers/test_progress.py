"""The progress bar, with the loss in it."""

from __future__ import annotations

import torch
from ignite.engine import Engine

from monai_cl.engines import LossProgress


def shown(capsys, *, output=None, **options) -> str:
    engine = Engine(lambda engine, batch: output)
    LossProgress("pre-training", **options).attach(engine)
    engine.run(range(3), max_epochs=1)
    return capsys.readouterr().err


def test_the_bar_names_the_work_and_shows_the_loss(capsys):
    text = shown(capsys, output={"loss": torch.tensor(0.25)})
    assert "pre-training" in text
    assert "loss=0.25" in text


def test_a_list_of_decollated_items_shows_its_first_loss(capsys):
    assert "loss=0.5" in shown(capsys, output=[{"loss": torch.tensor(0.5)}, {"loss": torch.tensor(9.0)}])


def test_an_evaluation_shows_no_loss(capsys):
    assert "loss" not in shown(capsys, output=[{}], show_loss=False)


def test_other_processes_draw_nothing(capsys):
    assert shown(capsys, output={"loss": torch.tensor(0.25)}, is_writer=False) == ""
