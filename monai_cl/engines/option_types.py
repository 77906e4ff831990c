"""Whether an option is of the kind that the config has: MONAI takes anything, and it would fail somewhere later."""

from __future__ import annotations

from typing import Any

_EXPRESSIONS = ("$", "@", "%")
# words that stand for "not set", where an option knows them
_UNSET = ("none", "null")


def type_fault(default: Any, given: Any) -> str | None:
    """What was expected in place of ``given``, or None where it may stand.

    Args:
        default: the value in the config; of an expression, a text or null nothing is known.
        given: the value in its place; expressions and references are left to MONAI.
    """
    if isinstance(given, str) and (given.startswith(_EXPRESSIONS) or given.lower() in _UNSET):
        return None
    if isinstance(default, bool):
        return None if isinstance(given, bool) else "True or False"
    if isinstance(default, int):
        whole = isinstance(given, int) or (isinstance(given, float) and given.is_integer())
        return None if whole and not isinstance(given, bool) else "a whole number"
    if isinstance(default, float):
        return None if isinstance(given, (int, float)) and not isinstance(given, bool) else "a number"
    if isinstance(default, list):
        # an edge of three equal ones may be a number
        return None if isinstance(given, (list, tuple, int, float)) and not isinstance(given, bool) else "a list"
    if isinstance(default, dict):
        return None if isinstance(given, dict) else "an object of options"
    return None
