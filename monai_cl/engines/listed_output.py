"""An iteration's output in the form in which MONAI's own handlers look for the loss."""

from __future__ import annotations

from ignite.engine import Engine, Events


class ListedOutput:
    """Handler, the last of a trainer's: puts the output of an iteration into a list of one.

    A batch's output is not taken apart here into one a sample (``decollate: false``), and so it is a dictionary. What
    MONAI adds behind our handlers, such as those of ``--tracking mlflow``, reads the loss from a list's first entry.
    """

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._wrap)

    def _wrap(self, engine: Engine) -> None:
        if isinstance(engine.state.output, dict):
            engine.state.output = [engine.state.output]
