"""Handlers by reference, in the form MONAI's check of a bundle reads; what they count; and what is done on failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ignite.engine import Engine, Events


class Handler(Protocol):
    """What MONAI's engines attach."""

    def attach(self, engine: Engine) -> None: ...


class Stateful(Protocol):
    """Anything with PyTorch's state protocol."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


def existing_handler(handler: Handler) -> Handler:
    """The handler itself: ``{_target_: …existing_handler, handler: "@train#recorder"}`` in a list of handlers.

    MONAI's ``check_properties`` (1.6.1) fails on a handler that is a bare reference: it expects a ``_target_`` in each.
    """
    return handler


def keep_state(engine: Engine, name: str, source: Stateful) -> None:
    """Let the checkpoints of a training hold what a handler counts, under a name of its own."""
    kept_states(engine)[name] = source


def kept_states(engine: Engine) -> dict[str, Stateful]:
    """What `keep_state` was told of, by name."""
    if not hasattr(engine, "_monai_cl_states"):
        engine._monai_cl_states = {}
    return engine._monai_cl_states


def on_exception(engine: Engine, function: Callable[[Engine, BaseException], None]) -> None:
    """Call ``function(engine, error)`` when an engine fails; the error goes on to be raised.

    Ignite leaves it to its handlers to raise the error again: the first that does keeps the others from being called,
    and without one the error would be lost. Here all are called, last one first; where some raise an error of their
    own, the last of these goes on instead. Ignite may report one error twice.
    """
    functions = getattr(engine, "_monai_cl_on_exception", None)
    if functions is None:
        functions = engine._monai_cl_on_exception = []
        engine.add_event_handler(Events.EXCEPTION_RAISED, _call_all)
    functions.append(function)


def _call_all(engine: Engine, error: BaseException) -> None:
    raised = error
    for function in reversed(engine._monai_cl_on_exception):
        try:
            function(engine, error)
        except BaseException as another:  # SystemExit is what SIGTERM becomes
            raised = another
    raise raised


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
