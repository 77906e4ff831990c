"""Switches of a bundle that may also be given as the words true and false, which MONAI hands on as texts."""

from __future__ import annotations

from typing import Any

from monai_cl.errors import UserError

WORDS = {"true": True, "false": False}
"""What a command line may say in lower case, see :func:`is_switched_on`."""

SWITCHES = ("allow_other_preprocessing", "allow_overlap", "overwrite")
"""The keys whose readers understand :data:`WORDS`."""


def is_switched_on(name: str, value: Any) -> bool:
    """The value of a switch.

    Args:
        name: of the option, for the message.
        value: true or false, or one of these words.

    Raises:
        UserError: anything else.
    """
    switched = value if isinstance(value, bool) else WORDS.get(value.lower()) if isinstance(value, str) else None
    if switched is None:
        raise UserError(f"--{name}", expected="true or false", found=f"{value!r}")
    return switched
