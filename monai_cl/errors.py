"""The one exception that means "the user's data, list or option is at fault", with a message that stands alone."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user can mend: the message names the file, what was expected, what was found, what to do.

    The command line prints it as one line and exits with status 2; library users catch it as a ``ValueError``.
    """
