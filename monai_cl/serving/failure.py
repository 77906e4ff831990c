"""What a failure stems from, in one line: MONAI wraps it in exceptions that name a line of a config instead."""

from __future__ import annotations

from collections.abc import Sequence

from monai_cl.engines.launch.error_report import one_line, user_error_in
from monai_cl.errors import UserError


def failure_message(error: BaseException) -> str:
    """The message of the `UserError` an exception stems from, or of the first exception, with its class."""
    cause: BaseException | None = user_error_in(error)
    if cause is None:
        cause = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
    return one_line(cause) if isinstance(cause, UserError) else f"{type(cause).__name__}: {one_line(cause)}"


def reported_error(lines: Sequence[str]) -> str | None:
    """What a run of several processes printed as its error: the first line that begins with ``error:``."""
    return next((line.partition("error: ")[2] for line in lines if line.startswith("error: ")), None)
