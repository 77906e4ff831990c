"""Errors of a run as one line for the user."""

from __future__ import annotations

import difflib
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import monai.transforms

from monai_cl.engines.launch.command_line import invocation
from monai_cl.engines.launch.failures import chain, explain_failure, lost_process_in
from monai_cl.errors import UserError, escape_control_characters

_NO_COMPONENT = re.compile(r"Cannot locate class or function path: '([^']+)'")
_NO_ARGUMENT = re.compile(r"Failed to instantiate component '([^']+)'")
_REFUSERS = ("monai_cl.", "torch.optim.", "torch.utils.data.")


def report_errors() -> None:
    """In a process of ``monai.bundle run``: print a `UserError`, or the loss of another process, in one line."""
    if invocation() is not None:
        sys.excepthook = _one_line_excepthook


def user_error_in(error: BaseException | None) -> ValueError | None:
    """The error a user can fix that caused an exception, if any.

    That is a `UserError`, or a `ValueError` by which a function of this package, an optimiser or a loader of torch
    refused an option; but not one from within an engine's loop: that is a bug of ours. A component of the config that
    does not exist, or has no such argument, is one too.
    """
    for cause in chain(error):
        if isinstance(cause, UserError) or (isinstance(cause, ValueError) and _refuses_an_option(cause)):
            return cause
        if fault := _component_fault(cause):
            return fault
    return None


def _component_fault(error: BaseException) -> UserError | None:
    """What MONAI's parser says of a ``_target_`` in the config, in one line."""
    if isinstance(error, ModuleNotFoundError) and (absent := _NO_COMPONENT.search(str(error))):
        near = difflib.get_close_matches(absent[1], dir(monai.transforms), n=1)
        remedy = f"did you mean {near[0]}?" if near else "correct it"
        return UserError(
            "_target_", expected="a class of MONAI, or the path of another", found=absent[1], remedy=remedy
        )
    wrong = _NO_ARGUMENT.search(str(error)) if isinstance(error, RuntimeError) else None
    if wrong and isinstance(error.__cause__, TypeError) and not wrong[1].startswith("monai_cl."):
        return UserError(f"_target_: {wrong[1]}", found=str(error.__cause__), remedy="correct its arguments")
    return None


@contextmanager
def one_cause() -> Iterator[None]:
    """Errors of a config's functions as the user's error behind them, without what MONAI's parser wraps around it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        cause = user_error_in(error)
        if cause is None:
            raise
        raise UserError(str(cause)) from error


def _refuses_an_option(error: ValueError) -> bool:
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    in_engine = any(module.startswith("ignite.") for module in modules)
    return bool(modules) and modules[-1].startswith(_REFUSERS) and not in_engine


def one_line(error: BaseException) -> str:
    """The message of an error, without the traceback that a loader's worker puts in front."""
    text = str(getattr(error, "msg", None) or error)
    if text.startswith("Caught ") and "Original Traceback" in text:
        text = text.rpartition(f"{type(error).__name__}: ")[2]
    return " ".join(text.split())


def _one_line_excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    cause = user_error_in(error)
    line: str | None
    if cause is not None:
        line = one_line(cause)
    else:
        line = lost_process_in(error) or explain_failure(error, _config())
    if line is None:
        sys.__excepthook__(kind, error, trace)
    else:
        print(f"error: {escape_control_characters(line)}", file=sys.stderr)


def _config() -> dict[str, Any]:
    """The config of this run as written, or an empty one where it is unavailable; read only after a failure."""
    try:
        call = invocation()
        return call.merged_config() if call else {}
    except Exception:
        return {}
