"""What MONAI's handlers find in an iteration's output."""

from __future__ import annotations

from ignite.engine import Engine, Events
from monai.handlers import from_engine

from monai_cl.engines import ListedOutput


def test_a_handler_behind_finds_the_loss_and_one_before_the_dictionary():
    before, behind = [], []
    engine = Engine(lambda engine, batch: {"loss": batch})
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: before.append(engine.state.output["loss"]))
    ListedOutput().attach(engine)
    loss = from_engine(["loss"], first=True)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: behind.append(loss(engine.state.output)))
    engine.run([0.5, 0.25], max_epochs=2)
    assert before == behind == [0.5, 0.25, 0.5, 0.25]
