"""``{seed}``, ``{fold}``, ``{STEP}`` in a study's texts, replaced by values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def names_in(value: Any) -> set[str]:
    """The names in braces, anywhere in texts, lists and mappings."""
    if isinstance(value, str):
        return set(_NAME.findall(value))
    if isinstance(value, Mapping):
        return set().union(*map(names_in, value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*map(names_in, value))
    return set()


def fill(value: Any, values: Mapping[str, Any]) -> Any:
    """``value`` with names in braces replaced, in texts, lists and mappings at any depth.

    A text that is one name alone becomes the value itself: ``"{seed}"`` an integer.

    Args:
        value: texts, lists, mappings, and others, which stay.
        values: name -> what takes its place.

    Raises:
        KeyError: a name that has no value.
    """
    if isinstance(value, str):
        whole = _NAME.fullmatch(value)
        return values[whole[1]] if whole else _NAME.sub(lambda match: str(values[match[1]]), value)
    if isinstance(value, Mapping):
        return {key: fill(inner, values) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill(inner, values) for inner in value]
    return value
