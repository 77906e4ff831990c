"""The one exception that means "the user's data, list or option is at fault", and how text is shown on a terminal."""

from __future__ import annotations

import os
import sys


class UserError(ValueError):
    """Something the user can fix: where it is, what was expected, what was found, what to do (:func:`message`).

    The command line prints it as one line and exits with status 2; library users catch it as a ``ValueError``. Each
    part is an attribute of the same name, as text or None, which a process pool and a broadcast hand on.

    Args:
        where: the file, option or item at fault; alone, it is the whole text. A data loader raises a worker's error
            again from its text alone.
        expected, found, cause, remedy: as for :func:`message`.
    """

    def __init__(
        self,
        where: object,
        *,
        expected: object = None,
        found: object = None,
        cause: object = None,
        remedy: object = None,
    ) -> None:
        super().__init__(message(where, expected=expected, found=found, cause=cause, remedy=remedy))
        self.where = f"{where}"
        # as text: an array or another library's exception may not survive pickling
        self.expected, self.found, self.cause, self.remedy = (
            None if part is None else f"{part}" for part in (expected, found, cause, remedy)
        )


def message(
    where: object,
    *,
    expected: object = None,
    found: object = None,
    cause: object = None,
    remedy: object = None,
) -> str:
    """``where: expected …, found …; remedy``, without the parts that are None.

    Args:
        where: the file, option or item at fault; left out where it is "".
        expected: what should be there.
        found: what is there; without ``expected`` a statement, as in ``out.yaml: exists already; choose another name``.
        cause: in place of ``found``, what another program reported, quoted after ``found:``.
        remedy: what to do.
    """
    facts = []
    if expected is not None:
        facts.append(f"expected {expected}")
    if found is not None:
        facts.append(f"{found}" if expected is None else f"found {found}")
    if cause is not None:
        facts.append(f"found: {cause}")
    text = ": ".join(part for part in (f"{where}", ", ".join(facts)) if part)
    return text if remedy is None else f"{text}; {remedy}"


def escape_control_characters(text: object) -> str:
    """Text as a terminal may show it: what would move its cursor, or cannot be encoded, is shown as an escape.

    File names and data lists come from elsewhere; line feeds stay, because a message may have several lines.
    """
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


def echo(text: object) -> None:
    """Print the output of a command immediately, as a terminal may show it (:func:`escape_control_characters`).

    Where the reader has gone, as after ``| head``, the command goes on without one: what it writes is not lost.
    """
    try:
        print(escape_control_characters(text), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
