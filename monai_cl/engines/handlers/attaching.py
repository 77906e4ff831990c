"""Handlers by reference, in the form MONAI's check of a bundle reads; their order; what they count; failure."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Protocol, cast

from ignite.engine import Engine, Events
from monai.handlers import LrScheduleHandler, ValidationHandler

from monai_cl.compat import attached_handlers


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

    Args:
        handler: the handler that a reference names.
    """
    return handler


class Turn(IntEnum):
    """When a handler of a trainer is called after an iteration; handlers are attached in this order.

    Engines call handlers in the order in which they were attached. Those of one turn do not depend on each other.
    """

    STEP = 1
    """Checks or follows the step, or adds points to the recorder's curves."""
    RECORD = 2
    """Completes the curves' points of this iteration."""
    SAVE = 3
    """Writes a checkpoint, which holds the state of all before it."""
    OUTPUT = 4
    """Changes the form of the output, which all before it read."""


class _Notes(Protocol):
    """What is noted on an engine."""

    _monai_cl_turns: dict[str, Turn]
    _monai_cl_states: dict[str, Stateful]
    _monai_cl_on_exception: list[Callable[[Engine, BaseException], None]]


def _notes_on(engine: Engine) -> _Notes:
    return cast(_Notes, engine)


def take_turn(engine: Engine, handler: Handler, turn: Turn) -> None:
    """Note that a handler is being attached, and refuse one that comes too late.

    Raises:
        ValueError: a handler of a later turn is attached already.
    """
    name, notes = type(handler).__name__, _notes_on(engine)
    if not hasattr(engine, "_monai_cl_turns"):
        notes._monai_cl_turns = {}
        engine.add_event_handler(Events.STARTED, _check_turns_of_others)
    late = [other for other, its_turn in notes._monai_cl_turns.items() if its_turn > turn]
    if late:
        raise ValueError(f"the handler {name} must be attached before {', '.join(late)}: correct the order of handlers")
    notes._monai_cl_turns[name] = turn


def _check_turns_of_others(engine: Engine) -> None:
    """MONAI's schedule and validation must come before what saves their state; they know of no turns themselves.

    Raises:
        ValueError: one of them comes after a handler that saves.
    """
    saving = {name for name, turn in _notes_on(engine)._monai_cl_turns.items() if turn >= Turn.SAVE}
    for event in (Events.ITERATION_COMPLETED, Events.EPOCH_COMPLETED):
        before = None
        for handler in attached_handlers(engine, event):
            name = type(handler).__name__
            if name in saving:
                before = before or name
            elif before and isinstance(handler, (LrScheduleHandler, ValidationHandler)):
                raise ValueError(f"the handler {name} must be attached before {before}: correct the order of handlers")


def keep_state(engine: Engine, name: str, source: Stateful) -> None:
    """Store a handler's state in the checkpoints of a training, under its own name."""
    kept_states(engine)[name] = source


def kept_states(engine: Engine) -> dict[str, Stateful]:
    """What was registered by `keep_state`, by name."""
    if not hasattr(engine, "_monai_cl_states"):
        _notes_on(engine)._monai_cl_states = {}
    return _notes_on(engine)._monai_cl_states


def on_exception(engine: Engine, function: Callable[[Engine, BaseException], None]) -> None:
    """Call ``function(engine, error)`` when an engine fails; the error is then raised.

    Ignite leaves it to its handlers to raise the error again: the first that does prevents the others from being
    called, and without one the error would be lost. Here all are called, last one first; where some raise another
    error, the last of these is raised instead. Ignite may report one error twice.
    """
    notes = _notes_on(engine)
    if not hasattr(engine, "_monai_cl_on_exception"):
        notes._monai_cl_on_exception = []
        engine.add_event_handler(Events.EXCEPTION_RAISED, _call_all)
    notes._monai_cl_on_exception.append(function)


def _call_all(engine: Engine, error: BaseException) -> None:
    raised = error
    for function in reversed(_notes_on(engine)._monai_cl_on_exception):
        try:
            function(engine, error)
        except BaseException as another:  # SystemExit is what SIGTERM becomes
            raised = another
    raise raised


class ListedOutput:
    """Handler, the last of a trainer's: puts the output of an iteration into a list of length one.

    A batch's output is not split into one per sample (``decollate: false``), and so it is a dictionary. What MONAI adds
    after our handlers, such as those of ``--tracking mlflow``, reads the loss from a list's first entry.
    """

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        take_turn(engine, self, Turn.OUTPUT)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._wrap)

    def _wrap(self, engine: Engine) -> None:
        if isinstance(engine.state.output, dict):
            engine.state.output = [engine.state.output]
