"""The question before something is deleted."""

from __future__ import annotations

import sys

from monai_cl.errors import UserError


def agreed(question: str) -> bool:
    """Ask before something is deleted; only y and yes agree.

    Args:
        question: what is about to happen.

    Raises:
        UserError: nobody can answer, because the input is not a terminal.
    """
    if not sys.stdin.isatty():
        raise UserError(question, expected="an answer in a terminal", found="no terminal", remedy="add --yes")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
