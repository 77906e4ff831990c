"""The one exception that means "the user's data, list or option is at fault", and how text is shown on a terminal."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user can mend: the message names the file, what was expected, what was found, what to do.

    The command line prints it as one line and exits with status 2; library users catch it as a ``ValueError``.
    """


def printable(text: object) -> str:
    """Text as a terminal may show it: what would move its cursor, or cannot be encoded, stands as an escape.

    File names and data lists come from elsewhere; line feeds stay, for a message may have several lines.
    """
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


def say(text: object) -> None:
    """Print what a command has to tell, at once, as a terminal may show it (:func:`printable`)."""
    print(printable(text), flush=True)
